"""The part of the S3 protocol that reading needs, over a folder: HEAD and GET of an object or a range of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@contextmanager
def object_store(folder: Path, bucket: str = "bucket") -> Iterator[tuple[str, list[str]]]:
    """Serves s3://BUCKET/PATH as FOLDER/PATH; yields the endpoint and the requests, as they come."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, body: bool) -> None:
            asked.append(f"{self.command} {self.path} {self.headers.get('Range', '')}".strip())
            file = folder / self.path.split("?")[0].removeprefix(f"/{bucket}/")
            if not self.path.startswith(f"/{bucket}/") or not file.is_file():
                self.reply(404, b"")
                return
            data = file.read_bytes()
            span = self.headers.get("Range")
            if span is None:
                self.reply(200, data if body else b"", len(data))
                return
            first, last = span.removeprefix("bytes=").split("-")
            part = data[int(first) : int(last or len(data)) + 1]
            end = int(first) + len(part) - 1
            self.reply(206, part, len(part), f"bytes {first}-{end}/{len(data)}")

        def reply(self, code: int, data: bytes, length: int = 0, span: str | None = None) -> None:
            self.send_response(code)
            self.send_header("Content-Length", str(length))
            self.send_header("ETag", '"0"')
            self.send_header("Last-Modified", "Thu, 01 Jan 2026 00:00:00 GMT")
            if span is not None:
                self.send_header("Content-Range", span)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        server.server_close()
