"""A hub on localhost that has a dataset, its parquet conversion, SAEs, and takes uploads."""

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from tests.app.fake_hub import COMMIT, file_answer
from tests.app.localhost import Answer, Asked, answering, as_json

NAMED = "https://huggingface.co"  # what the client takes for the name of a hub; nothing is asked there
CONVERTED = "fedcba9876543210fedcba9876543210fedcba98"
_INFO = re.compile(r"^/api/(models|datasets)/([^/]+/[^/]+?)(?:/revision/([^?]+))?(?:\?.*)?$")
_FILE = re.compile(r"^/(?:datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/([^?]+)(?:\?.*)?$")


@dataclass(slots=True)
class FakeDataHub:
    """`files` by commit; `uploaded` is what a commit brought; `token` is needed to write."""

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

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked.path)
        if asked.method == "POST":
            return self.written(asked)
        if match := _FILE.match(asked.path):
            commit = match[2]
            data = self.files.get(commit, {}).get(unquote(match[3]))
            missing = as_json(404, {}, {"X-Error-Code": "EntryNotFound"})
            return missing if data is None else file_answer(data, commit)
        if match := _INFO.match(asked.path):
            status, body, code = self.info(match[2], unquote(match[3] or "main"))
            return as_json(status, body, {"X-Error-Code": code} if code else {})
        return as_json(404, {})

    def written(self, asked: Asked) -> Answer:
        if asked.headers.get("Authorization") != f"Bearer {self.token}":
            return as_json(403, {"error": "This token may not write."})
        if asked.path.endswith("/repos/create"):
            return as_json(200, {"url": f"{NAMED}/lab/tiny", "id": "lab/tiny"})
        if "/preupload/" in asked.path:
            named = [each["path"] for each in json.loads(asked.body)["files"]]
            regular = [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in named]
            return as_json(200, {"files": regular})
        for line in asked.body.splitlines():
            entry = json.loads(line)
            if entry["key"] == "file":
                self.uploaded[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
        made = {"commitOid": COMMIT, "commitUrl": f"{NAMED}/lab/tiny/commit/{COMMIT}", "success": True}
        return as_json(200, made)


@contextmanager
def serving_data(hub: FakeDataHub) -> Iterator[FakeDataHub]:
    """Serve `hub` on a free port of this machine while the block runs."""
    with answering(hub.answer) as hub.url:
        yield hub
