"""Requests to ASGI middleware, and an application behind it."""

import asyncio
from typing import Any

from crosstask.web.guard import Guard


async def answering(scope: Any, receive: Any, send: Any) -> None:
    """The application behind the guard."""
    if scope["path"] == "/broken":
        raise RuntimeError("a defect")
    status = 503 if scope["path"].endswith("/queue/join") else 200
    await send({"type": "http.response.start", "status": status, "headers": []})
    await send({"type": "http.response.body", "body": b"inside"})


def sending(*parts: bytes) -> Any:
    """`receive` of ASGI, for a body in these parts."""
    left = list(parts) or [b""]

    async def receive() -> Any:
        return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}

    return receive


def ask(
    guard: Guard,
    path: str = "/",
    method: str = "GET",
    receive: Any = None,
    root_path: str = "",
    **headers: str,
) -> tuple[int, str, Any]:
    """(status, body, headers) of a request; an empty body if none is given."""
    given = {"host": "127.0.0.1:7860"} | {k.replace("_", "-"): v for k, v in headers.items()}
    receive = receive or sending()
    scope = {
        "type": "http", "path": path, "method": method, "client": ("10.0.0.9", 4), "server": ("10.0.0.1", 7860),
        "root_path": root_path, "headers": [(k.encode(), v.encode()) for k, v in given.items()],
    }  # fmt: skip
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    answered = {k.decode(): v.decode() for k, v in sent[0]["headers"]}
    assert "frame-ancestors 'self'" in answered["content-security-policy"]
    return sent[0]["status"], sent[1]["body"].decode(), answered
