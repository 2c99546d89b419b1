"""A Hugging Face hub of one's own: a local server with the calls by which models are pushed and loaded."""

import base64
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

import pytest

SHA = "0" * 40


@dataclass
class Hub:
    """What was pushed, and who may.

    Attributes:
        files: {"owner/name": {path: content}}.
        private: {"owner/name": whether nobody else may read it}.
        token: that requests must bear.
    """

    files: dict[str, dict[str, bytes]] = field(default_factory=dict)
    private: dict[str, bool] = field(default_factory=dict)
    token: str = "hf_right"
    url: str = ""


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, body: Any = b"", **headers: str) -> None:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)

        def do_POST(self) -> None:
            sent = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Authorization") != f"Bearer {hub.token}":
                return self.answer(401, {"error": "Invalid username or password."})
            parts = urlsplit(self.path).path.strip("/").split("/")
            if parts[:3] == ["api", "repos", "create"]:
                asked = json.loads(sent)
                name = f"{asked['organization']}/{asked['name']}"
                if name in hub.files:
                    return self.answer(409, {"error": "exists", "url": f"{hub.url}/{name}"})
                hub.files[name] = {}
                hub.private[name] = asked.get("private", asked.get("visibility") == "private")
                return self.answer(200, {"url": f"{hub.url}/{name}"})
            if parts == ["api", "validate-yaml"]:  # the card's header
                return self.answer(200, {"errors": [], "warnings": []})
            name = "/".join(parts[2:4])
            if parts[4] == "preupload":
                files = [f["path"] for f in json.loads(sent)["files"]]
                said = [
                    {"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in files
                ]
                return self.answer(200, {"files": said})
            if parts[4] == "commit":
                for line in map(json.loads, sent.splitlines()):
                    if line["key"] == "file":
                        value = line["value"]
                        hub.files[name][value["path"]] = base64.b64decode(value["content"])
                url = f"{hub.url}/{name}/commit/{SHA}"
                return self.answer(200, {"commitUrl": url, "commitOid": SHA})
            return self.answer(404, {"error": "not found"})

        def do_GET(self) -> None:
            parts = urlsplit(self.path).path.strip("/").split("/")
            if parts[:2] == ["api", "models"]:
                name = "/".join(parts[2:4])
                known = [{"rfilename": path} for path in hub.files.get(name, {})]
                if name not in hub.files:
                    return self.answer(404, {"error": "not found"}, X_Error_Code="RepoNotFound")
                if "tree" in parts:
                    sizes = {path: len(content) for path, content in hub.files[name].items()}
                    entries = [
                        {"type": "file", "path": path, "size": size, "oid": SHA}
                        for path, size in sizes.items()
                    ]
                    return self.answer(200, entries)
                said = {"id": name, "modelId": name, "sha": SHA, "siblings": known}
                return self.answer(200, said | {"private": hub.private[name], "tags": []})
            content = hub.files.get("/".join(parts[:2]), {}).get("/".join(parts[4:]))
            if content is None:
                return self.answer(404, {"error": "not found"}, X_Error_Code="EntryNotFound")
            digest = hashlib.sha256(content).hexdigest()
            return self.answer(200, content, ETag=f'"{digest}"', X_Repo_Commit=SHA)

        do_HEAD = do_GET

    return Handler


@contextmanager
def running_hub(patch: pytest.MonkeyPatch, cache: Path) -> Iterator[Hub]:
    """The client of this process talks to the stand-in, and keeps what it loads in `cache`."""
    from huggingface_hub import constants

    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    patch.setattr(constants, "ENDPOINT", hub.url)
    template = hub.url + "/{repo_id}/resolve/{revision}/{filename}"
    patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    patch.setattr(constants, "HF_HUB_OFFLINE", False)
    patch.setattr(constants, "HF_HUB_CACHE", str(cache))
    patch.setenv("HF_TOKEN", hub.token)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
