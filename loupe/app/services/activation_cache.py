"""One finished cache of activations: its record, and what its own manifest says."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.services.activations_request import LEFT_OUT
from loupe.engine.errors import CorruptFile, LoupeError, UnknownFormat
from loupe.storage.repos.artefacts import ArtefactRecord
from loupe.storage.store import Store

if TYPE_CHECKING:
    from loupe.engine.sae.cache import CacheFacts

log = logging.getLogger(__name__)
KIND = "activations"


@dataclass(frozen=True, slots=True)
class Cache:
    """A finished cache. One with a `problem` cannot be read: it is listed so that it can be seen and deleted."""

    id: str
    name: str
    folder: Path
    size: int
    created_at: datetime
    facts: "CacheFacts | None" = None
    problem: str | None = None

    def made_of(self, tokenisation: str) -> bool:
        """Whether it was written from these token rows."""
        return self.facts is not None and self.facts.source.get("tokenisation") == tokenisation


async def caches_of(store: Store, tokenisation: str | None = None) -> list[Cache]:
    """The finished caches, the newest first; of some token rows, or all."""
    records = await store.artefact_records.of_kind(KIND)
    found = await asyncio.to_thread(lambda: [_cache(store.artefacts.root / each.id, each) for each in records])
    return [cache for cache in found if tokenisation is None or cache.made_of(tokenisation)]


def cache_json(cache: Cache) -> dict[str, Any]:
    """A cache for programs; what is not known of a damaged one is left out."""
    told = {"id": cache.id, "name": cache.name, "size": cache.size, "created_at": cache.created_at.isoformat()}
    if (facts := cache.facts) is None:
        return told | {"complete": False, "problem": cache.problem}
    return told | {
        "points": [str(point) for point in facts.points],
        "rows": facts.rows,
        "d_in": facts.d_in,
        "dtype": facts.dtype,
        "complete": facts.complete,
        "model": facts.source["model"],
        "tokenisation": facts.source["tokenisation"],
        "source": facts.source,
        "statistics": facts.statistics,
    }


def whole(cache: Cache) -> "CacheFacts":
    """What a cache holds. Raises CorruptFile where that cannot be read."""
    if cache.facts is None:
        raise CorruptFile(f"{cache.name} cannot be read: {cache.problem}")
    return cache.facts


def _cache(folder: Path, record: ArtefactRecord) -> Cache:
    from loupe.engine.sae.cache import read_facts

    known = (record.id, record.name, folder, record.size, record.created_at)
    try:
        facts = read_facts(folder)
        if missing := {"model", "tokenisation", *LEFT_OUT} - facts.source.keys():
            raise UnknownFormat(f"It does not say: {', '.join(sorted(missing))}.")
    except (LoupeError, OSError) as error:
        log.warning("a cache of activations cannot be read", extra={"fields": {"cache": record.id}})
        return Cache(*known, problem=str(error))
    return Cache(*known, facts=facts)
