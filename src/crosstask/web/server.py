"""The web page of a model: `crosstask serve`. Needs gradio and plotly, the extra `web`."""

import os
import shutil
import socket
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from crosstask.web.guard import Guard, Uploads, log_refused
from crosstask.web.session import Example, Studio, render_examples
from crosstask.web.style import CSS

MOST_SESSIONS = 32


def load_gradio() -> ModuleType:
    """gradio, with its reports home, share links and history switched off.

    Raises:
        ModuleNotFoundError: an extra is missing; says how to install it.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_RUN_HISTORY"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    spared = os.environ.get("NO_PROXY", "").split(",")  # gradio asks itself whether it answers
    spared += [own for own in ("127.0.0.1", "localhost") if own not in spared]
    os.environ["NO_PROXY"] = ",".join(filter(None, spared))
    try:
        import gradio
        import plotly  # noqa: F401
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f'the web page needs {error.name}; install it with: pip install "crosstask[web]"'
        ) from error
    return gradio


def check_port(host: str, port: int) -> int:
    """The port, or a free one for 0.

    Raises:
        ValueError: in use, or not to be had.
    """
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            return int(probe.getsockname()[1])
    except (OSError, OverflowError) as error:
        why = (isinstance(error, OSError) and error.strerror) or str(error)
        raise ValueError(
            f"`port` is {port}, which cannot be had on {host} ({why}); choose another with --port, "
            "or any free one with --port 0"
        ) from None


@dataclass
class Server:
    """A running page.

    Attributes:
        url: where it is.
        folder: where uploads and point clouds lie while their session lasts.
    """

    url: str
    folder: Path
    page: Any

    def close(self) -> None:
        """Stops answering and deletes every file."""
        self.page.close(verbose=False)
        shutil.rmtree(self.folder, ignore_errors=True)


def start(
    studios: Studio | Sequence[Studio],
    host: str = "127.0.0.1",
    port: int = 7860,
    examples: Sequence[Example] | None = None,
    *,
    password: str | None = None,
    allowed_hosts: Sequence[str] = (),
) -> Server:
    """Serves the page from threads of this process; returns at once.

    Args:
        studios: one model, or two that are compared; the limits of the first hold.
        port: 0 takes a free one.
        examples: offered on the page; four rendered streets if left out.
        password, allowed_hosts: see `crosstask.web.guard.Guard`.

    Raises:
        ValueError: the port is in use.
        ModuleNotFoundError: gradio or plotly is missing.
    """
    port = check_port(host, port)
    gradio = load_gradio()
    # gradio prints a stack trace for whatever a visitor sends that does not fit.
    gradio.queueing.traceback = SimpleNamespace(print_exc=log_refused)
    gradio.routes.traceback = SimpleNamespace(print_exc=log_refused)
    from starlette.middleware import Middleware

    from crosstask.web.page import Page

    served = [studios] if isinstance(studios, Studio) else list(studios)
    limits = served[0].limits
    folder = Path(tempfile.mkdtemp(prefix="crosstask-serve-"))
    os.environ["GRADIO_TEMP_DIR"] = str(folder)
    page = Page(served, folder, render_examples() if examples is None else examples).build()
    limit = round(limits.upload_mb * 2**20)
    guard = Middleware(
        Guard,
        host=host,
        allowed=tuple(allowed_hosts),
        password=password,
        uploads=Uploads(
            folder, limit, limits.images, limits.uploads_a_minute, MOST_SESSIONS * limit
        ),
        waiting=MOST_SESSIONS,
    )
    local = ["ui-sans-serif", "system-ui", "sans-serif"]
    try:
        _, url, _ = page.queue(max_size=MOST_SESSIONS, api_open=False).launch(
            server_name=host,
            server_port=port,
            share=False,
            quiet=True,
            prevent_thread_lock=True,
            footer_links=[],
            max_file_size=limit,
            state_session_capacity=MOST_SESSIONS,
            ssr_mode=False,
            theme=gradio.themes.Default(font=local, font_mono=["ui-monospace", "monospace"]),
            css=CSS,
            app_kwargs={"middleware": [guard]},
        )
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Server(url, folder, page)
