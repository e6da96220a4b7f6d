"""A model hub on localhost with just the routes its client asks for: model info, and files by commit."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

COMMIT = "0123456789abcdef0123456789abcdef01234567"
INFO = re.compile(r"^/api/models/([^/]+/[^/]+?)(?:/revision/([^/?]+))?(?:\?.*)?$")
FILE = re.compile(r"^/([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)(?:\?.*)?$")


@dataclass(slots=True)
class FakeHub:
    """What the hub has, and what it was asked for."""

    files: dict[str, bytes]
    url: str = ""
    gated: bool = False
    short: str = ""  # a file that is cut off half-way
    token: str = ""  # terms were accepted by whoever has this token: info is open, files are not
    asked: list[str] = field(default_factory=list)

    def info(self, repo: str, revision: str) -> tuple[int, dict[str, Any], str]:
        if repo != "lab/tiny":
            return 404, {"error": "Repository not found"}, "RepoNotFound"
        if self.gated:
            return 403, {"error": "Access to model lab/tiny is restricted."}, "GatedRepo"
        if revision not in ("main", "v1", COMMIT):
            return 404, {"error": "Invalid rev id"}, "RevisionNotFound"
        siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files.items()]
        card = {"license": "mit"}
        found = {
            "gated": "auto" if self.token else False,
            "id": repo,
            "modelId": repo,
            "sha": COMMIT,
            "private": False,
            "siblings": siblings,
            "cardData": card,
        }
        return 200, found, ""


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve `hub` on a free port of this machine while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def log_message(self, *_: object) -> None:
            return

        def _answer(self, *, with_body: bool) -> None:
            hub.asked.append(self.path)
            if match := FILE.match(self.path):
                self._file(match[2], match[3], with_body=with_body)
            elif match := INFO.match(self.path):
                status, body, code = hub.info(match[1], match[2] or "main")
                headers = {"Content-Type": "application/json"} | ({"X-Error-Code": code} if code else {})
                self._send(status, json.dumps(body).encode(), headers)
            else:
                self._send(404, b"{}", {"Content-Type": "application/json"})

        def _file(self, commit: str, name: str, *, with_body: bool) -> None:
            data = hub.files.get(name)
            if hub.token and self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._send(403, b"{}", {"X-Error-Code": "GatedRepo"})
                return
            if data is None or commit != COMMIT:
                self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
                return
            etag = hashlib.sha256(data).hexdigest()
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
            sent = data[: len(data) // 2] if name == hub.short else data
            self._send(200, sent, headers, with_body=with_body)

        def _send(self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool = True) -> None:
            self.send_response(status)
            for key, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(key, value)
            self.end_headers()
            if with_body and self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
