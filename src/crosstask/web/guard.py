"""Who may use the page, and how much: names of the server, password, uploads. No gradio here.

A page on the network is open to every site that its visitors' browsers look at: such a site may send
requests here (another `Origin`), or give its own name this server's address (DNS rebinding: another
`Host`). Both are refused before anything else is read. So is what has no password, where there is one, and what
the page never asks, see `crosstask.web.requests`.
"""

import base64
import binascii
import contextlib
import hashlib
import hmac
import ipaddress
import json
import os
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crosstask.web.requests import (
    QUEUE,
    Refused,
    check_length,
    check_route,
    has_small_body,
    is_startup,
    is_upload,
    own_length,
    read_small,
    route,
)

# Nothing but this server is ever asked for anything, whatever the page's code would like.
CONTENT_POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; form-action 'self'; "
    "frame-ancestors 'self'; object-src 'none'"
)
HEADERS = [
    (b"content-security-policy", CONTENT_POLICY.encode()),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
]
PASSWORD_VARIABLE = "CROSSTASK_PASSWORD"
_LOCAL = ("localhost", "127.0.0.1", "::1")
_MOST_VISITORS = 10_000


def read_password(source: str | None) -> str | None:
    """The password that a command line asks for; itself it stands in no process list.

    Args:
        source: a file whose first line it is; "" is the environment variable CROSSTASK_PASSWORD; None
            is no password.

    Raises:
        ValueError: there is none at that place. The message does not repeat what was given, which may
            have been the password.
    """
    if source is None:
        return None
    if source:
        try:
            lines = Path(source).read_text().splitlines()
        except (OSError, UnicodeDecodeError):
            raise ValueError(
                "`--password` takes the name of a file that can be read, never the password itself, "
                f"which every user of this machine could see; or nothing, for {PASSWORD_VARIABLE}"
            ) from None
        found = lines[0].strip() if lines else ""
    else:
        found = os.environ.get(PASSWORD_VARIABLE, "")
    if not found:
        where = "the file's first line" if source else f"the variable {PASSWORD_VARIABLE}"
        raise ValueError(f"`--password`: {where} is empty; expected the password")
    return found


@dataclass
class Uploads:
    """How many files a visitor (an address) may upload, and how much may lie on disk at a time.

    Args:
        folder: where uploads wait until they are read.
        largest: bytes of a file.
        at_once: most files of one request.
        a_minute: files of a visitor.
        stored: bytes of all files that wait.
        kept: seconds after which an uploaded file without a request for its prediction is deleted.
    """

    folder: Path
    largest: int
    at_once: int = 1
    a_minute: int = 20
    stored: int = 2**29
    kept: float = 600.0
    clock: Callable[[], float] = time.monotonic
    _times: dict[str, deque[float]] = field(default_factory=dict)

    def admit(self, visitor: str, length: int) -> None:
        """Counts an upload.

        Args:
            length: bytes of the request.

        Raises:
            Refused: too large, too many, or the disk is full of unused uploads.
        """
        if length > self.at_once * (self.largest + 65_536):  # with the form around it
            raise Refused(
                413,
                f"the file exceeds the maximum of {self.largest / 2**20:g} MB; take a smaller one",
            )
        if self._on_disk() + length > self.stored:
            raise Refused(503, "too many uploads are waiting here; try again in a few minutes")
        self.count(visitor)

    def count(self, visitor: str) -> None:
        """Counts one more file of a visitor.

        Raises:
            Refused: there were too many within a minute.
        """
        now = self.clock()
        if len(self._times) > _MOST_VISITORS:
            self._times = {v: t for v, t in self._times.items() if t and now - t[-1] < 60}
        times = self._times.setdefault(visitor, deque())
        while times and now - times[0] >= 60:
            times.popleft()
        if len(times) >= self.a_minute:
            wait = 60 - (now - times[0])
            raise Refused(
                429,
                f"{self.a_minute} images were uploaded within a minute; try again in {wait:.0f} seconds",
            )
        times.append(now)

    def _on_disk(self) -> int:
        """Bytes of what waits, after deleting what has waited too long."""
        total = 0
        for file in self.folder.rglob("*"):
            if "sessions" in file.parts or not file.is_file():
                continue
            with contextlib.suppress(FileNotFoundError):  # read and deleted meanwhile
                about = file.stat()
                if time.time() - about.st_mtime > self.kept:
                    file.unlink()
                else:
                    total += about.st_size
        return total


class CountedFiles:
    """The body of an upload, handed on while its files are counted.

    Args:
        receive: of ASGI.
        uploads: counts each file after the first, which counted before the body came.
        visitor: whose they are.
    """

    _MARK = b"content-disposition"  # of each part, in any case

    def __init__(self, receive: Any, uploads: Uploads, visitor: str) -> None:
        self.receive, self.uploads, self.visitor = receive, uploads, visitor
        self.files, self._tail = 0, b""

    async def __call__(self) -> Any:
        """The next part of the body.

        Raises:
            Refused: more files than a request, or a visitor within a minute, may send.
        """
        message = await self.receive()
        joined = self._tail + message.get("body", b"")
        self._tail = joined[-len(self._MARK) + 1 :]
        for _ in range(joined.lower().count(self._MARK)):
            self.files += 1
            if self.files > self.uploads.at_once:
                raise Refused(413, f"at most {self.uploads.at_once} files are taken at once")
            if self.files > 1:
                self.uploads.count(self.visitor)
        return message


class Guard:
    """ASGI middleware: refuses, or hands on; the content policy is on every answer.

    Args:
        host: the address that is listened on.
        allowed: further names under which visitors know the server (a proxy's).
        password: asked for by HTTP basic authentication, with any user name; None is no password.
        uploads: see `Uploads`.
        waiting: how many may wait; told to who comes then.
    """

    def __init__(
        self,
        app: Any,
        host: str = "127.0.0.1",
        allowed: Sequence[str] = (),
        password: str | None = None,
        uploads: Uploads | None = None,
        waiting: int = 32,
    ) -> None:
        self.app, self.uploads, self.waiting = app, uploads, waiting
        self.named = {name.lower().rstrip(".") for name in allowed}
        self.names = {*_LOCAL, host.lower(), *self.named}
        if host not in _LOCAL:
            self.names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._password = None if password is None else _digest(password.encode())

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":  # the page uses none
            await send({"type": "websocket.close", "code": 1008})
            return
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, full = False, False

        async def answer(message: Any) -> None:
            nonlocal begun, full
            if message["type"] == "http.response.start":
                begun = True
                message["headers"] = [*message.get("headers", []), *HEADERS]
                full = message["status"] == 503 and route(scope) == QUEUE
                if full:
                    text = f"{self.waiting} visitors are waiting already; try again in a minute"
                    await _refuse(send, Refused(503, text))
            if not full:
                await send(message)

        try:
            self.check(scope)
            if has_small_body(scope):
                receive = await read_small(receive)
            elif self.uploads is not None and is_upload(scope):
                receive = CountedFiles(receive, self.uploads, _visitor(scope))
            if receive is not None:
                await self.app(scope, receive, answer)
        except Refused as refused:
            await _refuse(send, refused)
        except Exception as error:
            log_refused(error)
            if not begun:
                await _refuse(send, Refused(400, "this request cannot be answered"))

    def check(self, scope: Any) -> None:
        """Raises `Refused` unless the request may be answered."""
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        host = headers.get("host", "")
        self._check_host(host, scope)
        self._check_origin(headers, host)
        if self._password is not None and not is_startup(scope):
            self._check_password(headers.get("authorization", ""))
        check_route(scope)
        if has_small_body(scope):
            check_length(headers)
        elif self.uploads is not None and is_upload(scope):
            self.uploads.admit(_visitor(scope), own_length(headers))

    def _check_host(self, host: str, scope: Any) -> None:
        name = _hostname(f"//{host}")
        if name in self.names or (name and name == _address((scope.get("server") or ("",))[0])):
            return
        raise Refused(
            421,
            "this server is not known under that name; whoever runs it can add it with "
            "--allow-host NAME",
        )

    def _check_origin(self, headers: dict[str, str], host: str) -> None:
        origin = headers.get("origin")
        foreign = headers.get("sec-fetch-site") == "cross-site" and (
            headers.get("sec-fetch-mode") != "navigate"
        )
        if origin is not None:
            foreign = (
                urlsplit(origin).netloc.lower() != host.lower()
                and _hostname(origin) not in self.named
            )
        if foreign:
            raise Refused(403, "requests of other web sites are not answered")

    def _check_password(self, authorization: str) -> None:
        kind, _, coded = authorization.partition(" ")
        given = b""
        if kind.lower() == "basic":
            try:
                given = base64.b64decode(coded, validate=True).partition(b":")[2]
            except binascii.Error:
                given = b""
        if not hmac.compare_digest(_digest(given), self._password or b""):
            raise Refused(401, "a password is needed here (any user name)")


def _visitor(scope: Any) -> str:
    return str((scope.get("client") or ("",))[0])


def _digest(password: bytes) -> bytes:
    """Of equal length whatever the password, so that comparing tells nothing of it."""
    return hashlib.sha256(password).digest()


def _hostname(url: str) -> str:
    try:
        name = urlsplit(url).hostname or ""
    except ValueError:
        return ""
    return _address(name.rstrip("."))


def _address(name: str) -> str:
    """An address in its one spelling; a name as it is."""
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


async def _refuse(send: Any, refused: Refused) -> None:
    body = json.dumps({"detail": str(refused)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += HEADERS
    if refused.status == 401:
        headers.append((b"www-authenticate", b'Basic realm="crosstask", charset="UTF-8"'))
    if refused.status in (429, 503):
        headers.append((b"retry-after", b"60"))
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def log_refused(error: BaseException | None = None) -> None:
    """One line about a request that failed, and where; a stack trace would bury the log."""
    error = error or sys.exc_info()[1] or RuntimeError("unknown")
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = "" if last is None else f" ({last.tb_frame.f_code.co_filename}:{last.tb_lineno})"
    text = " ".join(str(error).split())[:300]
    print(f"request refused: {type(error).__name__}: {text}{where}", file=sys.stderr, flush=True)
