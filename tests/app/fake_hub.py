"""A model hub on localhost with just the routes its client asks for: model info, and files by commit."""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.app.localhost import Answer, Asked, answering, as_json

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

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked.path)
        if match := FILE.match(asked.path):
            return self.file(match[2], match[3], asked.headers.get("Authorization"))
        if match := INFO.match(asked.path):
            status, body, code = self.info(match[1], match[2] or "main")
            return as_json(status, body, {"X-Error-Code": code} if code else {})
        return as_json(404, {})

    def file(self, commit: str, name: str, authorization: str | None) -> Answer:
        data = self.files.get(name)
        if self.token and authorization != f"Bearer {self.token}":
            return as_json(403, {}, {"X-Error-Code": "GatedRepo"})
        if data is None or commit != COMMIT:
            return as_json(404, {}, {"X-Error-Code": "EntryNotFound"})
        sent = data[: len(data) // 2] if name == self.short else data
        return file_answer(sent, commit, etag=hashlib.sha256(data).hexdigest())


def file_answer(sent: bytes, commit: str, etag: str = "") -> Answer:
    """A file as a hub sends it."""
    headers = {"ETag": f'"{etag or hashlib.sha256(sent).hexdigest()}"', "X-Repo-Commit": commit}
    return Answer(200, sent, headers | {"Accept-Ranges": "bytes"})


@contextmanager
def serving(hub: FakeHub) -> Iterator[FakeHub]:
    """Serve `hub` on a free port of this machine while the block runs."""
    with answering(hub.answer) as hub.url:
        yield hub
