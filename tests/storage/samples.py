"""Things to keep; imported by child processes that die, so it imports little."""

import zlib

from loupe.storage.artefacts import Artefact, ArtefactStore
from loupe.storage.uploads import UploadRecord, UploadStore

PIECES = (b"The fox lost her lantern.\n", b"The owl found it", b" at the mill.\n")


def saved(artefacts: ArtefactStore, *, kind: str = "run", data: bytes = b"{}") -> Artefact:
    """An artefact with one file at the top and one in a folder."""
    with artefacts.write(kind, "a story", {"positions": 3}) as draft:
        draft.write("result.json", data)
        draft.write("vectors/gold.bin", bytes(range(256)) * 10)
    assert draft.artefact is not None
    return draft.artefact


def send(uploads: UploadStore, confirmed: list[int] | None = None) -> UploadRecord:
    """Send `PIECES` as one file, from wherever an earlier attempt stopped; notes what was confirmed."""
    size = sum(map(len, PIECES))
    record = next(iter(uploads.records()), None) or uploads.begin("fox.txt", size)
    start = 0
    for data in PIECES:
        if record.received == start:
            with uploads.piece(record.id, start, f"crc32:{zlib.crc32(data):08x}") as piece:
                piece.write(data)
                record = piece.finish()
            if confirmed is not None:
                confirmed.append(record.received)
        start += len(data)
    return record
