"""A file sent to a server in pieces: after a break it goes on, also in another process, a day later.

Every piece is its own short request, so that no proxy on the way has one to cut. Where pieces do not get through,
smaller ones are tried.
"""

import hashlib
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from loupe.app.cli.client import Client, Refused
from loupe.app.cli.output import meter
from loupe.app.errors import Conflict, ServerUnreachable

PIECE_BYTES = 8 << 20
SMALLEST_BYTES = 256 << 10
TRIES = 8  # in a row, without a byte getting through
LONGEST_WAIT_S = 30.0


def send_file(client: Client, path: Path, *, quiet: bool, pause: Callable[[float], None] = time.sleep) -> str:
    """Send a file, or what is missing of it; returns the upload's id. Raises Refused, ServerUnreachable, Conflict."""
    before = _state(path)
    wanted = {"file": path.name, "size": before[0], "fingerprint": f"{path.resolve()} {before[1]}"[-200:]}
    upload = client.post("/uploads", wanted)["data"]
    sender = _Sender(client, upload, pause)
    with path.open("rb") as file, meter(path.name, quiet=quiet) as bar:
        while sender.received < before[0]:
            bar(sender.received, before[0])
            file.seek(sender.received)
            sender.send(file.read(sender.piece))
    if _state(path) != before:
        client.delete(f"/uploads/{upload['id']}")
        raise Conflict(f"{path.name} was changed while it was sent. Send it again.")
    return upload["id"]


class _Sender:
    """How far one upload is, and how large pieces may be that get through."""

    def __init__(self, client: Client, upload: dict[str, Any], pause: Callable[[float], None]) -> None:
        self._client = client
        self._path = f"/uploads/{upload['id']}"
        self._pause = pause
        self._failures = 0
        self.received: int = upload["received"]
        self.piece = min(PIECE_BYTES, upload["largest_piece"])

    def send(self, data: bytes) -> None:
        """Send the next piece, or find out where to go on. Raises what further attempts will not change."""
        checksum = f"sha256:{hashlib.sha256(data).hexdigest()}"
        try:
            answer = self._client.put_bytes(self._path, data, offset=self.received, checksum=checksum)
        except Refused as refused:
            self._note(refused, refused.problem.get("retryable") or refused.problem.get("code") == "wrong_offset")
            self._go_on(refused.problem.get("details", {}).get("received"), refused.wait_s)
        except ServerUnreachable as error:
            self._note(error, True)
            self.piece = max(min(self.piece, SMALLEST_BYTES), self.piece // 2)
            self._go_on(None, 0)
        else:
            self.received, self._failures = answer["data"]["received"], 0

    def _note(self, error: Exception, may_pass: bool) -> None:
        self._failures += 1
        if not may_pass or self._failures >= TRIES:
            raise error

    def _go_on(self, received: int | None, wait_s: float) -> None:
        if received is None:
            self._pause(max(wait_s, min(LONGEST_WAIT_S, 2.0 ** (self._failures - 1))))
            received = self._asked()
        if received > self.received:
            self._failures = 0
        self.received = received

    def _asked(self) -> int:
        try:
            return int(self._client.get(self._path)["data"]["received"])
        except ServerUnreachable:
            return self.received
        except Refused as refused:
            if refused.problem.get("retryable"):
                return self.received
            raise


def _state(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns
