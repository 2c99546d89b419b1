"""The command line: a thin, lazy dispatcher. Heavy libraries load only where they are used.

Exit codes: 0 done; 1 a check or comparison failed; 2 wrong use or bad input; 130 interrupted, 143
terminated.
"""

import importlib
import os
import re
import select
import signal
import sys
from collections.abc import Sequence

from crosstask.engine.interruption import Stopped, stopping_at_once
from crosstask.engine.threads import prepare_environment
from crosstask.suggest import nearest

# command -> (module with main(argv) -> exit code, one line of help)
COMMANDS: dict[str, tuple[str, str]] = {
    "train": ("crosstask.cli.train", "train a recipe into a run directory"),
    "evaluate": ("crosstask.cli.evaluate", "score a run on its validation split"),
    "predict": (
        "crosstask.cli.predict",
        "predict photographs and videos, to images and data",
    ),
    "stream": ("crosstask.cli.stream", "predict a camera, a network stream or a video, live"),
    "info": ("crosstask.cli.info", "parameters and multiply-accumulates of a recipe, by part"),
    "study": ("crosstask.cli.study", "run a named grid of architectures, tasks and seeds"),
    "table": ("crosstask.cli.table", "compare finished runs, with gains, controls and cost"),
    "compare": ("crosstask.cli.compare", "the same images through several runs"),
    "knockout": ("crosstask.cli.knockout", "who helps whom: cut one direction at a time"),
    "attention": ("crosstask.cli.attention", "where each task looks in each other task"),
    "bench": ("crosstask.cli.bench", "latency, memory and cost of architectures, by part"),
    "export": (
        "crosstask.cli.export",
        "write a model as ONNX, .pt2 or OpenVINO, compared with eager",
    ),
    "report": ("crosstask.cli.report", "one HTML page about runs, with curves and images"),
    "serve": ("crosstask.cli.serve", "a web page: drop an image, click, turn it in 3-D"),
    "data": ("crosstask.cli.data", "list, check, preview, stats, prepare datasets"),
    "notebook": ("crosstask.cli.notebook", "copy the example notebooks beside you"),
    "recipes": ("crosstask.cli.recipes", "list recipes"),
    "models": ("crosstask.cli.models", "list architectures"),
    "doctor": ("crosstask.cli.doctor", "what is wrong with this machine, and what to do"),
    "completion": ("crosstask.cli.completion", "completion script for bash or zsh"),
}


def usage() -> str:
    """The text of `crosstask --help`."""
    from importlib.metadata import version

    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return (
        f"crosstask {version('crosstask')}: dense multi-task scene understanding\n\n"
        "usage: crosstask COMMAND [...]\n\n"
        f"{lines}\n\n"
        "crosstask COMMAND --help tells more; crosstask train RECIPE --help lists a recipe's options.\n"
        "Exit codes: 0 done, 1 a check or comparison failed, 2 wrong use or bad input,\n"
        "130 interrupted (Ctrl-C), 143 terminated; training saves first."
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit code. Errors a user can cause are one clear message.

    Where the reader of the output has gone (`| head`), it ends quietly.
    """
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
    except BrokenPipeError:
        if not _reader_has_gone():
            raise
        return 128 + signal.SIGPIPE
    return code


def _reader_has_gone() -> bool:
    """Whether the output's reader has gone; the rest of the output is then dropped."""
    gone = False
    for number in (1, 2):
        poll = select.poll()
        poll.register(number, 0)
        if any(event & select.POLLERR for _, event in poll.poll(0)):
            gone = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return gone


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if args else 2
    if args[0] in ("--version", "-V"):
        from importlib.metadata import version

        print(f"crosstask {version('crosstask')}")
        return 0
    command, rest = args[0], args[1:]
    if command not in COMMANDS:
        print(f"error: {nearest(command, list(COMMANDS), 'command')}", file=sys.stderr)
        return 2
    prepare_environment()  # before torch is loaded
    module = importlib.import_module(COMMANDS[command][0])
    try:
        with stopping_at_once():
            return int(module.main(rest) or 0)
    except SystemExit as stop:  # argument parsers
        return int(stop.code) if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 128 + signal.SIGINT
    except Stopped as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:
        if not is_users(error):
            raise
        print(f"error: {message_of(error)}", file=sys.stderr)
        return 2


def message_of(error: Exception) -> str:
    """What an error says; of one that a loader process raised without the stack trace that torch adds."""
    text = str(error)
    found = re.match(r"Caught (\w+) in DataLoader worker process \d+\.\nOriginal Traceback", text)
    if found is None:
        return text
    return text.rpartition(f"{found[1]}: ")[2].strip() or text


def is_users(error: Exception) -> bool:
    """Whether an error is about input (one message) rather than a defect (a stack trace)."""
    if {"NonFiniteError", "ProcessEndedError", "SampleError"} & {
        kind.__name__ for kind in type(error).__mro__
    }:
        return True
    if isinstance(error, ImportError):  # an extra that is not installed, and says how to get it
        return "pip install" in str(error)
    return isinstance(error, ValueError | OSError) and bool(str(error))


if __name__ == "__main__":
    sys.exit(main())
