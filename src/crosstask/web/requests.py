"""Which requests the page needs; the rest of what gradio answers is refused. No gradio here.

gradio also takes direct calls of functions (`run`, `api`, `call`), which pass by the queue, and fetches
addresses of the Internet for whoever asks. The page uses neither.
"""

import json
import re
from typing import Any

API = "/gradio_api/"
STARTUP = f"{API}startup-events"
UPLOAD = f"{API}upload"
QUEUE = f"{API}queue/join"
_POSTS = (UPLOAD, QUEUE, f"{API}cancel", f"{API}reset")
_READING = ("GET", "HEAD", "OPTIONS")
_FILES = (f"{API}file=", f"{API}file/")
_FETCHING = f"{API}proxy="
_LINKS = f"{API}deep_link"
_SCHEME = re.compile(r"\s*[a-z][a-z0-9+.-]+:", re.IGNORECASE)  # longer than the letter of a drive
MOST_BODY = 2**20
"""Bytes of a request that is no upload; those of the page are a few thousand."""


class Refused(Exception):
    """A request that is not answered: status and what the visitor reads."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def route(scope: Any) -> str:
    """The path that the application looks up: without `root_path`, as Starlette takes it away."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    return path[len(root) :] if root and path.startswith(f"{root}/") else path


def is_startup(scope: Any) -> bool:
    """Whether this is what gradio asks of itself when it starts, before anybody has a password."""
    return bool(scope["method"] == "GET" and route(scope) == STARTUP)


def is_upload(scope: Any) -> bool:
    """Whether files of a visitor come."""
    return bool(scope["method"] == "POST" and route(scope) == UPLOAD)


def has_small_body(scope: Any) -> bool:
    """Whether something is sent that is no file."""
    return scope["method"] not in _READING and not is_upload(scope)


def check_route(scope: Any) -> None:
    """Raises `Refused` for what the page never asks."""
    method, path = scope["method"], route(scope)
    if method not in _READING and (method != "POST" or path.rstrip("/") not in _POSTS):
        raise Refused(
            403,
            "functions of this page cannot be called directly; open the page in a browser, or use "
            "`crosstask predict` or `crosstask.load`",
        )
    if path.startswith(_LINKS):
        raise Refused(403, "this page makes no links to what it shows; download the results")
    rest = next((path[len(start) :] for start in _FILES if path.startswith(start)), "")
    if path.startswith(_FETCHING) or is_address(rest):
        raise Refused(403, "this server fetches nothing from other addresses")


def check_length(headers: dict[str, str]) -> None:
    """Raises `Refused` unless the body of a request that is no upload says that it is small."""
    if own_length(headers) > MOST_BODY:
        raise _too_large()


def _too_large() -> Refused:
    most = f"{MOST_BODY / 2**20:g} MB"
    return Refused(
        413, f"the request exceeds the maximum of {most}; send files by the page's upload"
    )


def own_length(headers: dict[str, str]) -> int:
    """Bytes of the body, as its header says.

    Raises:
        Refused: it does not say, or comes in chunks of any number.
    """
    length = headers.get("content-length", "")
    if "transfer-encoding" in headers or not (length.isascii() and length.isdecimal()):
        raise Refused(411, "a request with a body must say its length (Content-Length)")
    return int(length)


def is_address(text: str) -> bool:
    """Whether a file's name is an address instead, of whatever protocol."""
    return "://" in text or text.startswith("//") or _SCHEME.match(text) is not None


async def read_small(receive: Any) -> Any:
    """Reads the body of a request that is no upload, and looks through it.

    It is read before the application asks, which would answer a refusal there with words of its own.

    Args:
        receive: of ASGI.

    Returns:
        What takes the place of `receive`; None where the visitor has left.

    Raises:
        Refused: too large, or it names a file by an address, which gradio would fetch.
    """
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > MOST_BODY:
            raise _too_large()
    check_files(body)
    whole = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return whole.pop() if whole else await receive()

    return again


def check_files(body: bytes) -> None:
    """Raises `Refused` if a file in a JSON body is an address; what is no JSON is left to gradio."""
    try:
        left = [json.loads(body)]
    except ValueError:
        return
    except RecursionError:
        raise Refused(400, "this request cannot be answered: its JSON is nested too deep") from None
    while left:
        value = left.pop()
        if isinstance(value, dict):
            path = value.get("path")
            if isinstance(path, str) and is_address(path):
                raise Refused(
                    403, "this server fetches no files from other addresses; upload the file itself"
                )
            left += value.values()
        elif isinstance(value, list):
            left += value
