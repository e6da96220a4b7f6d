"""Saved runs: kept with everything needed to repeat them, listed, opened, renamed, imported; deleted into a bin.

And the starter's samples, which are runs that nobody can change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from loupe.app.bridge import Bridge
from loupe.app.errors import NotFound
from loupe.app.plain import file_label
from loupe.app.services.catalogue import Catalogue
from loupe.app.services.imports import read_runs
from loupe.app.services.run_files.document import FACTS, Document
from loupe.app.services.run_files.older import read as bare_document
from loupe.engine.errors import BadOption
from loupe.storage.artefacts import Artefact
from loupe.storage.records import Page
from loupe.storage.repos.runs import MadeRun, NewRun, RunRecord
from loupe.storage.rows import WorkState
from loupe.storage.store import Store

RESULT = "result.json"
SAMPLE = "sample:"
MAX_NAME = 200
CARRIED = (
    *("text", "request", "model", "layer", "seed", "device", "dtype"),
    *("token_ids", "fingerprints", "versions"),
)
Result = dict[str, Any]


class Runs:
    """The saved runs of a data directory, and the samples that come with the starter."""

    def __init__(
        self, store: Store, catalogue: Catalogue, bridge: Bridge | None = None, *, kept_days: float = 7
    ) -> None:
        self.store = store
        self.rows = store.runs
        self.catalogue = catalogue
        self.bridge = bridge
        self.kept_days = kept_days

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
        if record.deleted_at is not None:
            raise NotFound(f"Run {id} was deleted. Restore it to read it.")
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

    async def document(self, id: str) -> Document:
        """A finished run as it travels: its facts and its result. `sample:ID` is one of the starter's samples.

        Raises NotFound, CorruptArtefact.
        """
        if id.startswith(SAMPLE):
            return await self._sample_document(id)
        record = await self.rows.get(id)
        result = await self.result(id)
        facts = {name: value for name, value in record_json(record).items() if name in FACTS}
        return Document(orjson.loads(orjson.dumps(facts)), result["metadata"], tuple(result["data"]))

    async def take_in(self, content: bytes, file: str, *, by: str = "", job: str = "") -> tuple[RunRecord, ...]:
        """Keep every run of an uploaded file, or none; `job` does it. Raises ImportRefused, StoreFull, StoreFailed."""
        kind, documents = await asyncio.to_thread(read_runs, content)
        made: list[MadeRun] = []
        try:
            for document in documents:
                made.append(await asyncio.to_thread(self._made, document, by, _origin(document, kind, file, job)))
            records = await self.rows.add(made)
        except BaseException:  # cancelling included: all runs of a file or none
            for each in made:
                await self.store.remove(each.artefact.id)
            raise
        self._changed()
        return records

    async def rename(self, id: str, name: str) -> RunRecord:
        """Call a run something else. Raises NotFound, BadOption."""
        name = " ".join(name.split())
        if not 0 < len(name) <= MAX_NAME:
            raise BadOption(f"A name has between 1 and {MAX_NAME} characters; this one has {len(name)}.")
        _check_whole(name)
        record = await self.rows.rename(id, name)
        self._changed()
        return record

    async def delete(self, id: str, *, by: str = "", forever: bool = False) -> RunRecord:
        """Put a run into the bin, or with `forever` remove it and, when nothing else needs it, its result at once.

        Raises NotFound.
        """
        record = await self.rows.get(id)
        if forever:
            await self.store.delete_run(id)
        else:
            record = await self.rows.put_in_bin(id, by=by)
        self._changed()
        return record

    async def restore(self, id: str) -> RunRecord:
        """Take a run out of the bin. Raises NotFound, also when it has been swept already."""
        record = await self.rows.restore(id)
        self._changed()
        return record

    async def sweep(self, now: datetime | None = None) -> int:
        """Remove for good what lies in the bin for longer than the setting allows; returns how many runs went."""
        gone = await self.rows.in_bin_since((now or datetime.now(UTC)) - timedelta(days=self.kept_days))
        for id in gone:
            await self.store.delete_run(id)
        if gone:
            self._changed()
        return len(gone)

    def gone_at(self, record: RunRecord) -> datetime | None:
        """When a run in the bin is removed for good; None for others."""
        return record.deleted_at and record.deleted_at + timedelta(days=self.kept_days)

    def _changed(self) -> None:
        if self.bridge is not None:
            self.bridge.publish("runs")

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

    async def _sample_document(self, id: str) -> Document:
        name = id.removeprefix(SAMPLE)
        result = await self.sample(name)
        title = next(sample["title"] for sample in self.samples() if sample["id"] == name)
        found = await asyncio.to_thread(bare_document, result)
        return Document({**found.run, "id": id, "name": title, "model": "starter"}, found.metadata, found.data)

    def _made(self, document: Document, by: str, origin: dict[str, Any]) -> MadeRun:
        facts = document.run
        name = str(facts.get("name") or "")[:MAX_NAME] or "Imported run"
        carried: dict[str, Any] = {"text": "", "request": {}} | {n: facts[n] for n in CARRIED if n in facts}
        new = NewRun(name=name, author=by, **carried)
        artefact = self._write(name, document.result)
        return MadeRun(new=new, artefact=artefact, summary=summary_of(document.result), origin=origin)

    def _write(self, name: str, result: Result) -> Artefact:
        with self.store.artefacts.write("run", name) as draft:
            draft.write(RESULT, orjson.dumps(result))
        assert draft.artefact is not None, "a draft that was left without an exception is an artefact"
        return draft.artefact

    def _read(self, artefact_id: str) -> Result:
        return orjson.loads(self.store.artefacts.open(artefact_id).path(RESULT).read_bytes())


def _origin(document: Document, kind: str, file: str, job: str) -> dict[str, Any]:
    """Where an imported run comes from, as far as its file says."""
    facts = document.run
    before = facts.get("origin")
    known = {
        "format": str(kind),
        "file": file_label(file),
        "job": job,
        "run": facts.get("id"),
        "author": facts.get("author"),
        "created_at": facts.get("created_at"),
        "before": {k: v for k, v in before.items() if k != "before"} if isinstance(before, dict) else None,
    }
    return {name: value for name, value in known.items() if value}


def _check_whole(name: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in name):
        raise BadOption("The name has half of a surrogate pair in it.")


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
