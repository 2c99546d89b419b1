"""Types of options that several commands share, as argparse wants them."""

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from crosstask.media.progress import Progress
from crosstask.suggest import nearest_option


class CommandParser(argparse.ArgumentParser):
    """The parser of a command: for an unknown option it names the nearest ones.

    Options may stand anywhere, also between a command's model and its images.
    """

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse.

        Raises:
            ValueError: an unknown option.
        """
        nested = any(isinstance(action, argparse._SubParsersAction) for action in self._actions)
        parse = self.parse_known_args if nested else self.parse_known_intermixed_args
        found, unknown = parse(args, namespace)
        self.check_known(unknown, found)
        return found

    def check_known(self, unknown: Sequence[str], namespace: Any) -> None:
        """Refuses what no option has taken."""
        options = [word.partition("=")[0] for word in unknown if word.startswith("--")]
        if options:
            parser = self.chosen(namespace)
            known = [o for a in parser._actions for o in a.option_strings if o.startswith("--")]
            raise ValueError(nearest_option(options[0], known, parser.prog))
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")

    def chosen(self, namespace: Any) -> argparse.ArgumentParser:
        """This parser, or that of the command of it which was given (`data check`)."""
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                parser = action.choices[vars(namespace)[action.dest]]
                return parser.chosen(namespace) if isinstance(parser, CommandParser) else parser
        return self


def metres(text: str) -> float:
    """A length above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r}; expected metres above 0, for example 1.6")
    return value


def model_or_default(model: str | None) -> str:
    """The model that was named, or the one that comes with the package, which is told."""
    from crosstask.engine.box import DEFAULT

    if model is None:
        print(f"model: {DEFAULT}, which comes with crosstask (see docs/zoo.md)", file=sys.stderr)
    return model or DEFAULT


def add_model(parser: argparse.ArgumentParser, several: str = "") -> None:
    """The model of a command that takes the one of the package where none is named.

    Args:
        several: what the command does with more than one, which `model` is a list of then.
    """
    parser.add_argument(
        "model",
        nargs="*" if several else "?",
        help="run directory, model directory, checkpoint or exported .onnx file; streets, which comes "
        f"with the package, if left out{several}",
    )


def add_opening(parser: argparse.ArgumentParser) -> None:
    """How the model is opened, of every command that predicts; see `opened`."""
    add_checkpoint(parser)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument(
        "--engine",
        choices=("auto", "onnx", "torch"),
        default="auto",
        help="what computes: torch from weights, or onnxruntime from an exported file (of a directory "
        "its model.onnx); auto takes onnxruntime for .onnx files",
    )
    add_trust(parser)


def opened(args: Any, model: str) -> Any:
    """The model for prediction, as `add_opening` was answered."""
    from crosstask.engine.hardware import choose
    from crosstask.predict.engine import open_model

    return open_model(
        model,
        args.engine,
        checkpoint=args.checkpoint,
        device=choose(args.device).device,
        trust=trust_of(args),
    )


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """`--checkpoint`, of every command that opens a run."""
    parser.add_argument(
        "--checkpoint",
        choices=("best", "last"),
        help="of a run; the one that its scores are from if left out (the last, unless it was trained "
        "with `--select best`)",
    )


def add_quiet(parser: argparse.ArgumentParser) -> None:
    """`--quiet`, of every command that makes one wait."""
    parser.add_argument("--quiet", action="store_true", help="do not tell progress")


def progress_of(args: Any) -> Progress:
    """What was said by `add_quiet`; nothing is told beside a result in JSON."""
    return Progress(quiet=args.quiet or vars(args).get("json", False))


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Where, how and in which processes a run is trained, of `train` and `study`."""
    parser.add_argument("--accelerator", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--precision", default="auto", help="auto, bf16 or 32")
    parser.add_argument(
        "--devices", type=int, default=1, help="processes or GPUs of a run on this machine"
    )
    parser.add_argument("--num_nodes", type=int, default=1, help="machines of a cluster, of a run")
    parser.add_argument(
        "--strategy", default="auto", help="a strategy of Lightning, for example ddp"
    )
    parser.add_argument(
        "--cuda_graphs",
        action="store_true",
        help="replay the network's passes on a GPU: small networks train several times as fast",
    )


def add_trust(parser: argparse.ArgumentParser) -> None:
    """`--trust` and `--trust-file`, of every command that opens a run or a model."""
    parser.add_argument(
        "--trust",
        action="store_true",
        help="run the Python files that the run or model names (recipe, architecture, task ...); "
        "without it nothing of theirs runs",
    )
    parser.add_argument(
        "--trust-file",
        action="append",
        default=[],
        metavar="FILE",
        help="run this file where one of its name is asked for; repeatable",
    )


def trust_of(args: Any) -> list[bool | str]:
    """What was said by `add_trust`, as `crosstask.plugins.trust.Trust`."""
    files: list[bool | str] = list(args.trust_file)
    return [True, *files] if args.trust else files


def trust_arguments(args: Any) -> list[str]:
    """The same as a command line, to hand on."""
    files = [word for file in args.trust_file for word in ("--trust-file", file)]
    return [*(["--trust"] if args.trust else []), *files]


def checked_options(options: Mapping[str, Any], argv: Sequence[str], args: Any) -> dict[str, Any]:
    """A recipe's options, once the files in them may run: those that the command line itself names.

    Others come from a `--config` file, which may be of unknown origin.
    """
    from crosstask.plugins.trust import named_in, references, trusted, whole_paths

    named = named_in(argv)
    known = [file.resolve() for file in named]
    if all(reference.file.resolve() in known for reference in references(options)):
        return whole_paths(options)
    trust = [*trust_of(args), *(str(file) for file in named if file.is_file())]
    return trusted(options, "the configuration (`--config`)", trust)
