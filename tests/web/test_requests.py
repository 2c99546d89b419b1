"""Which requests are answered: those of the page, without password only gradio's own, and small ones."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from crosstask.web.guard import Guard, Uploads
from fakes.asgi import answering, ask, sending

STARTUP = "/gradio_api/startup-events"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", STARTUP, 200),  # gradio asks it of itself, before anybody has a password
        ("POST", STARTUP, 401),
        ("POST", "/gradio_api/run/startup-events", 401),
        ("POST", "/gradio_api/api/startup-events", 401),
        ("GET", "/gradio_api/file=https://example.org/x/startup-events", 401),
        ("GET", "/gradio_api/file=/a/startup-events", 401),
        ("GET", "/startup-events", 401),
        ("GET", f"/x{STARTUP}", 401),
        ("GET", f"{STARTUP}/", 401),
    ],
)
def test_only_gradio_s_own_question_needs_no_password(method: str, path: str, status: int) -> None:
    guard = Guard(answering, password="secret")
    assert ask(guard, path, method, content_length="0")[0] == status


def test_a_root_path_is_taken_away_as_the_application_does() -> None:
    guard = Guard(answering, password="secret")

    def status(path: str, root: str) -> int:
        return ask(guard, path, root_path=root)[0]

    assert status(f"/app{STARTUP}", "/app") == status(STARTUP, "/app") == 200
    assert status(f"/application{STARTUP}", "/app") == status(f"/app{STARTUP}", "") == 401


JOIN = "/gradio_api/queue/join"


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("POST", "/gradio_api/run/take_upload", "cannot be called directly"),
        ("POST", "/gradio_api/api/predict/", "cannot be called directly"),
        ("POST", "/gradio_api/call/take_upload", "cannot be called directly"),
        ("POST", "/gradio_api/call/v2/take_upload", "cannot be called directly"),
        ("POST", "/gradio_api/component_server", "cannot be called directly"),
        ("POST", "/gradio_api/x/upload", "cannot be called directly"),
        ("PUT", "/gradio_api/queue/join", "cannot be called directly"),
        ("GET", "/gradio_api/file=https://example.org/x.png", "fetches nothing"),
        ("HEAD", "/gradio_api/file=HTTP://example.org/x.png", "fetches nothing"),
        ("GET", "/gradio_api/file/https://example.org/x.png", "fetches nothing"),
        ("GET", "/gradio_api/file=//example.org/x.png", "fetches nothing"),
        ("GET", "/gradio_api/proxy=https://example.org/x.png", "fetches nothing"),
        ("GET", "/gradio_api/deep_link", "no links"),
    ],
)
def test_what_the_page_never_asks_is_refused(method: str, path: str, words: str) -> None:
    status, body, _ = ask(Guard(answering), path, method, content_length="0")
    assert status == 403 and words in json.loads(body)["detail"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", JOIN.replace("queue/join", "cancel")),
        ("POST", "/gradio_api/reset/"),
        ("GET", "/gradio_api/file=/a/crosstask-serve-x/sessions/y/scene.ply"),
        ("GET", "/gradio_api/queue/data"),
        ("HEAD", "/"),
    ],
)
def test_what_the_page_asks_is_answered(method: str, path: str) -> None:
    assert ask(Guard(answering), path, method, content_length="0")[:2] == (200, "inside")


async def echoing(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers with what it was sent."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message["body"], message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


def file_data(path: str) -> bytes:
    file = {"path": path, "meta": {"_type": "gradio.FileData"}}
    return json.dumps({"data": [[{"value": file}], 0], "fn_index": 0}).encode()


def test_other_requests_are_small_and_name_no_addresses() -> None:
    def post(*parts: bytes, **headers: str) -> tuple[int, str]:
        sent = {"content_length": str(sum(map(len, parts))), **headers}
        return ask(Guard(echoing), JOIN, "POST", sending(*parts), **sent)[:2]

    own = file_data("/a/crosstask-serve-x/a.png")
    assert post(own[:30], own[30:]) == (200, own.decode())
    assert post(b"no JSON") == (200, "no JSON")  # gradio says what is wrong
    assert post(b"[" * 200_000)[0] == 400
    for address in ("https://example.org/x.png", "ftp://example.org/x", "//example.org/x"):
        status, text = post(file_data(address))
        assert status == 403 and "upload the file itself" in text
    status, text = post(b" ", content_length=str(2**20 + 1))
    assert status == 413 and "the maximum of 1 MB" in text
    assert post(*[b" " * 2**17] * 9, content_length="9")[0] == 413  # whatever was said
    for headers in ({"content_length": ""}, {"transfer_encoding": "chunked"}):
        status, text = post(b"{}", **headers)
        assert status == 411 and "Content-Length" in text


def test_an_upload_comes_in_no_chunks(tmp_path: Path) -> None:
    guard = Guard(answering, uploads=Uploads(tmp_path, 1000))
    headers = {"content_length": "9", "transfer_encoding": "chunked"}
    assert ask(guard, "/gradio_api/upload", "POST", **headers)[0] == 411


def test_a_visitor_who_leaves_is_not_answered() -> None:
    async def leaving() -> Any:
        return {"type": "http.disconnect"}

    scope = {
        "type": "http", "path": JOIN, "method": "POST",
        "headers": [(b"host", b"localhost"), (b"content-length", b"9")],
    }  # fmt: skip
    asyncio.run(Guard(echoing)(scope, leaving, None))
