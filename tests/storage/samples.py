"""Things to keep; imported by child processes that die, so it imports little."""

from loupe.storage.artefacts import Artefact, ArtefactStore


def saved(artefacts: ArtefactStore, *, kind: str = "run", data: bytes = b"{}") -> Artefact:
    """An artefact with one file at the top and one in a folder."""
    with artefacts.write(kind, "a story", {"positions": 3}) as draft:
        draft.write("result.json", data)
        draft.write("vectors/gold.bin", bytes(range(256)) * 10)
    assert draft.artefact is not None
    return draft.artefact
