"""`crosstask serve [RUN|MODEL] [RUN|MODEL]`: a web page on this machine."""

import signal
import threading
from pathlib import Path
from typing import Any

from crosstask.cli.arguments import (
    CommandParser,
    add_model,
    add_opening,
    model_or_default,
    opened,
)

DESCRIPTION = """\
A web page for a model, or for two with a slider between them: drop images or a short video, see every
task beside an image and over it, click a pixel to read it and to see the attention between tasks, and turn
the scene in space. The page sends requests to this server only. Needs the extra `web`. Stop it with
Ctrl-C."""


def main(argv: list[str]) -> int:
    args = _parser().parse_args(argv)

    from crosstask.web.guard import read_password
    from crosstask.web.server import check_port, load_gradio, start

    password = read_password(args.password)
    check_port(args.host, args.port)  # says what is wrong before a model is loaded
    load_gradio()

    from crosstask.recipes.options import parse_size
    from crosstask.web.session import Limits, Studio

    limits = Limits(
        upload_mb=args.max_upload_mb, megapixels=args.max_megapixels, seconds=args.time_limit
    )
    size = parse_size(args.size) if args.size else None
    if len(args.model) > 2:
        raise ValueError(f"{len(args.model)} models are given; expected one, or two to compare")
    chosen = args.model or [model_or_default(None)]
    studios = [Studio(opened(args, one), limits, size, Path(one).name or one) for one in chosen]
    server = start(
        studios,
        args.host,
        args.port,
        password=password,
        allowed_hosts=args.allow_host,
    )
    print(f"crosstask serves {' and '.join(chosen)} at {server.url} (Ctrl-C stops it)", flush=True)
    try:
        _wait()
    finally:
        server.close()
    return 0


def _parser() -> CommandParser:
    parser = CommandParser(prog="crosstask serve", description=DESCRIPTION)
    add_model(parser, several="; two are compared with a slider")
    parser.add_argument(
        "--host", default="127.0.0.1", help="0.0.0.0 lets other machines in; see --password"
    )
    parser.add_argument(
        "--password",
        nargs="?",
        const="",
        metavar="FILE",
        help="ask visitors for the password that FILE holds; without FILE, that of CROSSTASK_PASSWORD",
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name of this server, as visitors type it (of a proxy, say)",
    )
    parser.add_argument("--port", type=int, default=7860, help="0 takes a free one")
    parser.add_argument(
        "--size", help="HEIGHTxWIDTH of the network's input; as in training if left out"
    )
    parser.add_argument("--max-upload-mb", type=float, default=20.0, help="largest file")
    parser.add_argument("--max-megapixels", type=float, default=40.0, help="largest image")
    parser.add_argument(
        "--time-limit", type=float, default=60.0, help="seconds the network may take for an image"
    )
    add_opening(parser)
    return parser


def _wait() -> None:
    """Until Ctrl-C or a request to end."""
    stopped = threading.Event()

    def stop(*_: Any) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        stopped.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
