"""Results cached by content: the same question about the same bytes has the same answer, so it is computed once."""

import asyncio
import hashlib
import json
import logging

from loupe.storage.artefacts import Artefact, ArtefactStore
from loupe.storage.errors import CorruptArtefact, NotFound
from loupe.storage.repos.results import Results

logger = logging.getLogger(__name__)


def content_key(**parts: object) -> str:
    """The sha256 of a question: every fingerprint, id and option that the answer depends on, as plain JSON values.

    The order of the parts does not matter. Raises ValueError or TypeError for what has no one text (NaN, objects).
    """
    text = json.dumps(parts, sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


class ResultCache:
    """Answers by key. A damaged answer is no answer: its entry is dropped and the question is asked again."""

    def __init__(self, results: Results, artefacts: ArtefactStore):
        self._results = results
        self._artefacts = artefacts

    async def find(self, key: str) -> Artefact | None:
        """The verified artefact that answers, or None."""
        id = await self._results.find(key)
        if id is None:
            return None
        try:
            return await asyncio.to_thread(self._artefacts.open, id)
        except (NotFound, CorruptArtefact) as error:
            logger.warning("a cached result is dropped: %s", error)
            await self._results.drop(key)
            return None

    async def put(self, key: str, artefact_id: str) -> None:
        """Enter an answer whose artefact is recorded already."""
        await self._results.put(key, artefact_id)

    async def prune(self, max_bytes: int) -> int:
        """Drop the least recently used answers until the cache fits; returns how many entries went.

        Folders that a run still refers to stay on the disk; they only leave the cache.
        """
        dropped = 0
        while await self._results.size() > max_bytes and (key := await self._results.oldest()) is not None:
            if (id := await self._results.drop(key)) is not None:
                await asyncio.to_thread(self._artefacts.delete, id)
            dropped += 1
        return dropped
