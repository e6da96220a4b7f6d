"""A hub on localhost that has a dataset, its parquet conversion, SAEs, and takes uploads."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

NAMED = "https://huggingface.co"  # what the client takes for the name of a hub; nothing is asked there
COMMIT = "0123456789abcdef0123456789abcdef01234567"
CONVERTED = "fedcba9876543210fedcba9876543210fedcba98"
_INFO = re.compile(r"^/api/(models|datasets)/([^/]+/[^/]+?)(?:/revision/([^?]+))?(?:\?.*)?$")
_FILE = re.compile(r"^/(?:datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)(?:\?.*)?$")


@dataclass(slots=True)
class FakeDataHub:
    """`files` by commit; `uploaded` is what a commit brought; `token` opens files, and is needed to write."""

    files: dict[str, dict[str, bytes]]
    token: str = ""
    url: str = ""
    uploaded: dict[str, bytes] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def info(self, repo: str, revision: str) -> tuple[int, dict[str, Any], str]:
        commit = {"main": COMMIT, "refs/convert/parquet": CONVERTED}.get(revision, revision)
        if repo != "lab/tiny":
            return 404, {"error": "Repository not found"}, "RepoNotFound"
        if commit not in self.files:
            return 404, {"error": "Invalid rev id"}, "RevisionNotFound"
        siblings = [{"rfilename": name, "size": len(data)} for name, data in self.files[commit].items()]
        found = {"id": repo, "sha": commit, "private": False, "gated": False, "siblings": siblings}
        return 200, found | {"cardData": {"license": "cc-by-4.0", "homepage": "https://lab.example"}}, ""


@contextmanager
def serving_data(hub: FakeDataHub) -> Iterator[FakeDataHub]:
    """Serve `hub` on a free port of this machine while the block runs."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self._answer(with_body=True)

        def do_HEAD(self) -> None:
            self._answer(with_body=False)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            hub.asked.append(self.path)
            if self.headers.get("Authorization") != f"Bearer {hub.token}":
                self._send(403, {"error": "This token may not write."})
            elif self.path.endswith("/repos/create"):
                self._send(200, {"url": f"{NAMED}/lab/tiny", "id": "lab/tiny"})
            elif "/preupload/" in self.path:
                named = [each["path"] for each in json.loads(body)["files"]]
                regular = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in named]
                self._send(200, {"files": regular})
            else:
                self._commit(body)

        def log_message(self, *_: object) -> None:
            return

        def _commit(self, body: bytes) -> None:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    hub.uploaded[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            self._send(200, {"commitOid": COMMIT, "commitUrl": f"{NAMED}/lab/tiny/commit/{COMMIT}", "success": True})

        def _answer(self, *, with_body: bool) -> None:
            hub.asked.append(self.path)
            if match := _FILE.match(self.path):
                self._file(match[2], unquote(match[3]), with_body=with_body)
            elif match := _INFO.match(self.path):
                status, body, code = hub.info(match[2], unquote(match[3] or "main"))
                self._send(status, body, {"X-Error-Code": code} if code else {})
            else:
                self._send(404, {})

        def _file(self, commit: str, name: str, *, with_body: bool) -> None:
            data = hub.files.get(commit, {}).get(name)
            if data is None:
                self._send(404, {}, {"X-Error-Code": "EntryNotFound"})
                return
            etag = hashlib.sha256(data).hexdigest()
            self._raw(200, data, {"ETag": f'"{etag}"', "X-Repo-Commit": commit}, with_body=with_body)

        def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
            self._raw(status, json.dumps(body).encode(), {"Content-Type": "application/json"} | (headers or {}))

        def _raw(self, status: int, body: bytes, headers: dict[str, str], *, with_body: bool = True) -> None:
            self.send_response(status)
            for key, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(key, value)
            self.end_headers()
            if with_body and self.command != "HEAD":
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
