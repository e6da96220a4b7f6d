"""Saved runs: kept with everything needed to repeat them, listed, opened, deleted; and the starter's samples."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from loupe.app.errors import NotFound
from loupe.app.services.catalogue import Catalogue
from loupe.storage.artefacts import Artefact
from loupe.storage.records import Page
from loupe.storage.repos.runs import NewRun, RunRecord
from loupe.storage.rows import WorkState
from loupe.storage.store import Store

RESULT = "result.json"
Result = dict[str, Any]


class Runs:
    """The saved runs of a data directory, and the samples that come with the starter."""

    def __init__(self, store: Store, catalogue: Catalogue) -> None:
        self.store = store
        self.rows = store.runs
        self.catalogue = catalogue

    async def create(self, new: NewRun) -> RunRecord:
        """Accept a run: from now on it is never forgotten."""
        return await self.rows.create(new)

    async def get(self, id: str) -> RunRecord:
        """The record of a run. Raises NotFound."""
        return await self.rows.get(id)

    async def list(self, **query: Any) -> Page[RunRecord]:
        """A page of records, newest first. Raises ValueError for an impossible page or column."""
        return await self.rows.list(**query)

    async def result(self, id: str) -> Result:
        """The result of a finished run, `{metadata, data}`. Raises NotFound, CorruptArtefact."""
        record = await self.rows.get(id)
        if record.artefact_id is None:
            raise NotFound(f"Run {id} is {record.state} and has no result.")
        return await asyncio.to_thread(self._read, record.artefact_id)

    async def keep(self, id: str, result: Result) -> RunRecord:
        """Write a finished result and note it. Raises StoreFull, StoreFailed; the run is then not marked as done."""
        name = str(result["metadata"].get("name") or id)
        artefact = await asyncio.to_thread(self._write, name, result)
        await self.store.keep(artefact)
        return await self.rows.finish(id, artefact_id=artefact.id, summary=summary_of(result))

    async def answer(self, id: str, artefact: Artefact) -> Result:
        """Finish a run with the artefact of an equal one. Returns the result."""
        result = await asyncio.to_thread(self._read, artefact.id)
        await self.rows.finish(id, artefact_id=artefact.id, summary=summary_of(result))
        return result

    async def delete(self, id: str) -> None:
        """Delete a run and, when nothing else needs it, its result. Raises NotFound."""
        await self.store.delete_run(id)

    def samples(self) -> list[dict[str, str]]:
        """The starter's sample runs: id and title, in the order of their file names."""
        folder = self.catalogue.starter / "runs"
        found = sorted(folder.glob("*.json")) if folder.is_dir() else []
        return [{"id": path.stem, "title": _title(path)} for path in found]

    async def sample(self, id: str) -> Result:
        """One sample run. Raises NotFound."""
        path = next(
            (self.catalogue.starter / "runs" / f"{s['id']}.json" for s in self.samples() if s["id"] == id), None
        )
        if path is None:
            raise NotFound(f"The starter has no sample run {id!r}.")
        return orjson.loads(await asyncio.to_thread(path.read_bytes))

    def _write(self, name: str, result: Result) -> Artefact:
        with self.store.artefacts.write("run", name) as draft:
            draft.write(RESULT, orjson.dumps(result))
        assert draft.artefact is not None, "a draft that was left without an exception is an artefact"
        return draft.artefact

    def _read(self, artefact_id: str) -> Result:
        return orjson.loads(self.store.artefacts.open(artefact_id).path(RESULT).read_bytes())


def _title(path: Path) -> str:
    words = path.stem.lstrip("0123456789-_ ").replace("-", " ").replace("_", " ").strip()
    return words[:1].upper() + words[1:] if words else path.stem


def summary_of(result: Result) -> dict[str, Any]:
    """Means over reliable positions, and how many there were."""
    reliable = [row for row in result["data"] if not row.get("flags")]
    means = {}
    for name in ("fve_nrm", "cosine", "mse_nrm", "kl"):
        values = [row[name] for row in reliable if row.get(name) is not None]
        if values:
            means[name] = sum(values) / len(values)
    return {"positions": len(result["data"]), "reliable": len(reliable), **means}


def record_json(record: RunRecord) -> dict[str, Any]:
    """A record for programs; absent values are left out."""
    known = asdict(record) | {"state": WorkState(record.state).value}
    return {name: value for name, value in known.items() if value is not None and value != ""}


def listed_json(record: RunRecord) -> dict[str, Any]:
    """A record as lists show it: without the token ids and with the beginning of the text."""
    whole: Mapping[str, Any] = record_json(record)
    short = {k: v for k, v in whole.items() if k not in ("token_ids", "request", "fingerprints", "versions", "text")}
    return short | {"text": record.text[:200]}
