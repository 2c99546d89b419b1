"""Who may use the page: names of the server, foreign sites, password, uploads, the 34th visitor."""

import base64
import json
import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import torch

from crosstask.cli import main
from crosstask.web.guard import Guard, Uploads, read_password
from crosstask.web.session import Example, Limits, Studio
from fakes.asgi import answering, ask, sending
from fakes.served import tiny_model


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:7860", 200),
        ("127.0.0.1", 200),
        ("[::1]:7860", 200),
        ("10.0.0.1:7860", 200),  # the address that the request came to
        ("gpu7.lab.example", 200),  # --allow-host
        ("GPU7.lab.example.:7860", 200),
        ("10.0.0.2:7860", 421),
        ("evil.example", 421),  # which resolves to 127.0.0.1: DNS rebinding
        ("localhost.evil.example:7860", 421),
        ("127.0.0.1.evil.example", 421),
        ("evil.example@127.0.0.1", 200),  # a user name; the host is 127.0.0.1
        ("[::1", 421),
        ("", 421),
    ],
)
def test_only_names_of_this_server_are_answered(host: str, status: int) -> None:
    guard = Guard(answering, "0.0.0.0", ["gpu7.lab.example"])
    found, body, _ = ask(guard, host=host)
    assert found == status and (body == "inside") == (status == 200)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"origin": "http://127.0.0.1:7860"}, 200),
        ({"origin": "https://gpu7.lab.example"}, 200),  # a proxy with TLS before this server
        ({"origin": "http://127.0.0.1:3000"}, 403),  # another program on this machine
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": ""}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}, 403),
        ({"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}, 200),  # a link
        ({"sec_fetch_site": "same-origin", "sec_fetch_mode": "cors"}, 200),
    ],
)
def test_other_sites_are_refused(headers: dict[str, str], status: int) -> None:
    guard = Guard(answering, allowed=["gpu7.lab.example"])
    sent = {"content_length": "0", **headers}
    assert ask(guard, "/gradio_api/cancel", "POST", **sent)[0] == status


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (basic("", "grüße:x"), 200),
        (basic("anybody", "grüße:x"), 200),
        (basic("", "grüße"), 401),
        (basic("grüße:x", ""), 401),
        ("", 401),
        ("Basic %%%", 401),
        ("Bearer grüße:x", 401),
    ],
)
def test_the_password_is_asked_for(authorization: str, status: int) -> None:
    guard = Guard(answering, password="grüße:x")
    found, body, headers = ask(guard, authorization=authorization)
    assert found == status and "grüße" not in body
    assert ("www-authenticate" in headers) == (status == 401)
    assert b"gr" not in (guard._password or b"gr")[:2]  # only a digest is kept


def test_where_the_password_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "password"
    file.write_text("secret\nmore\n")
    assert read_password(str(file)) == "secret"
    assert read_password(None) is None
    monkeypatch.setenv("CROSSTASK_PASSWORD", "other")
    assert read_password("") == "other"
    monkeypatch.setenv("CROSSTASK_PASSWORD", "")
    with pytest.raises(ValueError, match="the variable CROSSTASK_PASSWORD is empty"):
        read_password("")
    assert main(["serve", str(tmp_path), "--password", "hunter2"]) == 2
    said = capsys.readouterr().err
    assert "never the password itself" in said and "hunter2" not in said


def test_uploads_are_limited_by_visitor_size_and_disk(tmp_path: Path) -> None:
    now = [0.0]
    uploads = Uploads(tmp_path, 1000, a_minute=2, stored=100_000, clock=lambda: now[0])
    guard = Guard(answering, uploads=uploads)

    def upload(length: str | None = "900") -> tuple[int, str]:
        given = {} if length is None else {"content_length": length}
        return ask(guard, "/gradio_api/upload", "POST", **given)[:2]

    assert upload(None)[0] == 411 and upload("-1")[0] == 411
    status, text = upload("99999999")
    assert status == 413 and "exceeds the maximum" in text
    assert upload()[0] == upload()[0] == 200
    status, text = upload()
    assert status == 429 and "try again in 60 seconds" in text
    uploads.admit("another visitor", 900)
    now[0] = 61.0
    assert upload()[0] == 200
    (tmp_path / "x").mkdir()
    waiting = tmp_path / "x" / "image.png"
    waiting.write_bytes(bytes(99_500))
    assert upload()[0] == 503
    os.utime(waiting, (time.time() - 601,) * 2)  # nobody has asked to predict it
    assert upload()[0] == 200 and not waiting.exists()


def form(files: int, name: bytes = b"Content-Disposition") -> list[bytes]:
    """The body of an upload, in parts that cut names in two."""
    part = b"--x\r\n" + name + b': form-data; name="files"; filename="a.png"\r\n\r\npixels\r\n'
    body = part * files
    return [body[k : k + 7] for k in range(0, len(body), 7)]


@pytest.mark.parametrize("name", [b"Content-Disposition", b"content-DISPOSITION"])
def test_every_file_of_a_request_counts(tmp_path: Path, name: bytes) -> None:
    uploads = Uploads(tmp_path, 1000, at_once=4, a_minute=8)

    async def reading(scope: Any, receive: Any, send: Any) -> None:
        while (await receive())["more_body"]:
            pass
        await answering(scope, receive, send)

    guard = Guard(reading, uploads=uploads)

    def upload(files: int) -> tuple[int, str]:
        receive = sending(*form(files, name))
        return ask(guard, "/gradio_api/upload", "POST", receive, content_length="900")[:2]

    assert upload(4)[0] == 200
    status, text = upload(5)
    assert status == 413 and "at most 4 files" in text
    assert upload(1)[0] == 429  # twice four were counted


def test_many_visitors_leave_no_trace_in_memory(tmp_path: Path) -> None:
    now = [0.0]
    uploads = Uploads(tmp_path, 1000, clock=lambda: now[0])
    for number in range(10_002):
        uploads.admit(f"visitor {number}", 9)
    now[0] = 100.0
    uploads.admit("last", 9)
    assert len(uploads._times) == 1


def test_what_fails_inside_is_one_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(Guard(answering), "/broken")[0] == 400
    said = capsys.readouterr().err
    assert said.startswith("request refused: RuntimeError: a defect (") and said.count("\n") == 1


def test_who_comes_too_late_reads_why() -> None:
    status, body, headers = ask(
        Guard(answering), "/gradio_api/queue/join", "POST", content_length="0"
    )
    assert status == 503 and headers["retry-after"] == "60"
    assert json.loads(body)["detail"] == "32 visitors are waiting already; try again in a minute"


# ---- over HTTP -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server() -> Iterator[Any]:
    pytest.importorskip("gradio", reason="the web page needs gradio")
    pytest.importorskip("plotly", reason="the web page needs plotly")
    from crosstask.web.server import start

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", "")  # set by `start`; put back afterwards
        examples = [Example("noise", torch.rand(3, 32, 64), 100.0)]
        studio = Studio(tiny_model(), Limits(upload_mb=0.2))
        made = start(studio, "127.0.0.1", 0, examples, password="secret")
        made.studio = studio
        yield made
        made.close()


def send(
    server: Any, path: str, body: Any = None, method: str = "POST", **headers: str
) -> tuple[int, str]:
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=60)
    kind = {"Content-Type": "application/json"} if not isinstance(body, bytes) else {}
    content = body if isinstance(body, bytes) or body is None else json.dumps(body)
    given = {"Authorization": basic("", "secret")} | {
        k.replace("_", "-"): v for k, v in headers.items()
    }
    connection.request(method, path, content, {**kind, **given})
    answer = connection.getresponse()
    text = answer.read().decode(errors="replace")
    connection.close()
    return answer.status, text


def test_the_running_page_refuses_strangers(server: Any) -> None:
    assert send(server, "/", method="GET")[0] == 200
    assert send(server, "/", method="GET", Host="evil.example")[0] == 421
    assert send(server, "/config", method="GET", Origin="http://evil.example")[0] == 403
    assert send(server, "/", method="GET", Authorization=basic("", "guess"))[0] == 401
    assert "secret" not in send(server, "/config", method="GET")[1]


def direct(server: Any, function: str = "take_example") -> dict[str, Any]:
    data = [None] * (5 if function == "take_upload" else 1)
    return {"fn_index": functions(server)[function], "data": data, "session_hash": "s"}


@pytest.mark.parametrize("kind", ["run", "api", "call", "call/v2"])
def test_no_function_runs_without_password_or_queue(
    server: Any, kind: str, capfd: pytest.CaptureFixture[str]
) -> None:
    path, body = f"/gradio_api/{kind}/startup-events", direct(server)
    capfd.readouterr()
    status, text = send(server, path, body, Authorization="")
    assert status == 401 and "a password is needed" in text
    status, text = send(server, path, body)
    assert status == 403 and "cannot be called directly" in text
    assert "Traceback" not in capfd.readouterr().err


def test_the_queue_alone_runs_functions_also_behind_the_guard(
    server: Any, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert server.page.api_open is False
    body = direct(server)
    monkeypatch.setattr("crosstask.web.guard.check_route", lambda scope: None)
    status, text = send(server, "/gradio_api/run/take_example", body)
    assert status == 404 and "join the queue" in text
    monkeypatch.setattr(server.page, "api_open", True)
    assert send(server, "/gradio_api/run/take_example", body)[0] == 500
    said = capfd.readouterr().err
    assert "request refused: " in said and "Traceback" not in said


def test_nothing_is_fetched_for_a_visitor(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither through the address of a file nor through one in a function's data."""
    for path in ("file=https://example.org/x.png", "file=https%3A//example.org/startup-events"):
        assert send(server, f"/gradio_api/{path}", method="GET")[0] == 403
        assert send(server, f"/gradio_api/{path}", method="GET", Authorization="")[0] == 401
    file = {"path": "https://example.org/x.png", "meta": {"_type": "gradio.FileData"}}
    status, text = join(server, "s", functions(server)["take_upload"], [[file], 0, 0, 0])
    assert status == 403 and "upload the file itself" in text
    assert send(server, "/gradio_api/queue/join", {"data": ["x" * 2**20]})[0] == 413


def upload(server: Any, content: bytes) -> tuple[int, str]:
    edge = uuid.uuid4().hex
    head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    body = head.encode() + content + f"\r\n--{edge}--\r\n".encode()
    kind = f"multipart/form-data; boundary={edge}"
    return send(server, "/gradio_api/upload", body, **{"Content-Type": kind})


def test_a_file_that_is_too_large_leaves_nothing(
    server: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    status, text = upload(server, b"x" * 400_000)
    assert status == 413 and "maximum" in text
    assert not [p for p in server.folder.rglob("*") if p.is_file() and p.stat().st_size]
    assert "Traceback" not in capfd.readouterr().err


def join(server: Any, session: str, function: int, data: Any, event: Any = None) -> tuple[int, str]:
    body = {"fn_index": function, "data": data, "session_hash": session, "event_data": event}
    return send(server, "/gradio_api/queue/join", body)


def functions(server: Any) -> dict[str, int]:
    config = json.loads(send(server, "/config", method="GET")[1])
    return {d["api_name"] or str(d["id"]): d["id"] for d in config["dependencies"]}


@pytest.mark.parametrize(
    ("function", "data", "event"),
    [
        ("take_upload", [{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, 0], None),
        ("take_upload", ["x", "y", "z"], None),
        ("take_upload", {}, None),
        ("take_click", [None], {"row": "x"}),
        ("take_click", [], None),
        ("show_cloud", [None, "nothing", 1e9], None),
        (999, [], None),
        (-1, [], None),
    ],
)
def test_requests_that_do_not_fit_leave_no_stack_trace(
    server: Any, capfd: pytest.CaptureFixture[str], function: str | int, data: Any, event: Any
) -> None:
    number = function if isinstance(function, int) else functions(server)[function]
    session = uuid.uuid4().hex
    status, text = join(server, session, number, data, event)
    assert status in (200, 400, 404, 422, 500) and "Traceback" not in text
    if status == 200:  # the answer comes as a stream, and says that it ended
        address = f"/gradio_api/queue/data?session_hash={session}"
        status, text = send(server, address, method="GET")
        assert "process_completed" in text and "Traceback" not in text and "root:" not in text
    assert "Traceback" not in capfd.readouterr().err


def wait(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not done() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_of_forty_visitors_at_once_those_refused_are_told(
    server: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    example, queue = functions(server)["take_example"], server.page._queue
    with (
        server.studio._lock,
        ThreadPoolExecutor(40) as pool,
    ):  # the first one's image takes its time
        first = join(server, "first", example, [None], {"example": 0})
        assert first[0] == 200
        wait(lambda: any(queue.active_jobs))  # it is being computed, and so no longer waiting
        answers = list(
            pool.map(lambda k: join(server, f"v{k}", example, [None], {"example": 0}), range(39))
        )
    refused = [text for status, text in answers if status != 200]
    assert len(refused) == 7 and [s for s, _ in answers].count(200) == 32
    for text in refused:
        assert json.loads(text)["detail"].startswith("32 visitors are waiting already")
    assert "Traceback" not in capfd.readouterr().err
    wait(
        lambda: not len(queue) and not any(queue.active_jobs)
    )  # the page is free for the next test
