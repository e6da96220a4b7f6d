"""Activations on disk: shards of rows per hook point, written once from a stream, read memory-mapped as a stream.

    cache.json                      what it is of, the shards that are whole, statistics, where the stream stood
    00000/blocks.3.resid_post.bin   the rows of a shard end to end

The manifest is replaced after every shard, so whatever ends the process, the shards it lists are whole, and writing
goes on after the last of them with the rows that would have come. The order of reading is a function of (seed, epoch)
for shards and (seed, block) for rows, as in the live stream.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from loupe.engine.context import JobContext
from loupe.engine.data.making import Free, free_bytes
from loupe.engine.errors import BadOption, CorruptFile, DatasetTooLarge, UnknownFormat
from loupe.engine.jobs import Event, Priority, Progress
from loupe.engine.models.hooks import HookPoint
from loupe.engine.randomness import seed_of
from loupe.engine.sae.buffer import Rows, ShuffleBuffer
from loupe.engine.sae.statistics import ActivationStatistics
from loupe.engine.sae.stream import ActivationStream, Blocks, check_state

MANIFEST = "cache.json"
_FORMAT = 1
_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
_SPARE = 256 << 20
_PIECE_ROWS = 8192


@dataclass(frozen=True, slots=True)
class CacheFacts:
    """What a cache holds: rows of each hook point, bytes in all, whether it is finished, statistics by hook point.

    `largest_shard` is in rows: the least that a buffer which reads it must hold.
    """

    points: tuple[HookPoint, ...]
    d_in: int
    dtype: str
    rows: int
    size: int
    complete: bool
    statistics: dict[str, dict[str, Any]]
    source: dict[str, Any]
    largest_shard: int


@dataclass(slots=True)
class WriteCache:
    """The job that fills `folder` from a stream: one epoch of it, at most `rows` rows or `max_bytes`; goes on if begun.

    `source` says what it is of (model, text); a folder begun with another one is refused. Raises BadOption,
    DatasetTooLarge, and what the stream raises.
    """

    stream: ActivationStream
    folder: Path
    source: Mapping[str, Any]
    max_bytes: int
    rows: int | None = None
    shard_rows: int = 65_536
    dtype: str = "fp16"
    free: Free = free_bytes
    name: str = "activations"
    priority: Priority = Priority.BATCH

    def run(self, ctx: JobContext) -> Generator[Event, None, CacheFacts]:
        """Write what is missing."""
        manifest = self._begun()
        most = self._most_rows()
        statistics = _statistics(manifest, self.stream.points, self.stream.d_in)
        done = sum(shard["rows"] for shard in manifest["shards"])
        while not manifest["complete"]:
            shard, ended = yield from self._shard(min(self.shard_rows, most - done), done, most)
            self._check_disk(_nbytes(shard, self.dtype))
            done += len(next(iter(shard.values())))
            manifest["shards"].append(self._save(len(manifest["shards"]), shard, statistics))
            manifest["complete"] = ended or done >= most
            manifest["stream"] = self.stream.state()
            manifest["sums"] = {str(point): each.to_dict() for point, each in statistics.items()}
            _replace(self.folder / MANIFEST, manifest)
            yield Progress(done, most if self.rows is not None else None, f"{len(manifest['shards'])} shards")
        return read_facts(self.folder)

    def _begun(self) -> dict[str, Any]:
        wanted = {
            "format": _FORMAT,
            "source": dict(self.source),
            "points": [str(point) for point in self.stream.points],
            "d_in": self.stream.d_in,
            "dtype": self.dtype,
        }
        if self.dtype not in _DTYPES:
            raise BadOption(f"dtype = {self.dtype!r}: activations are kept as {', '.join(_DTYPES)}.")
        self.folder.mkdir(parents=True, exist_ok=True)
        if not (self.folder / MANIFEST).is_file():
            return wanted | {"shards": [], "complete": False}
        manifest = _manifest(self.folder)
        if differing := [name for name, value in wanted.items() if manifest.get(name) != value]:
            raise BadOption(f"{self.folder} was begun with another {differing[0]}: choose another folder.")
        if manifest["shards"] and not manifest["complete"]:
            self.stream.restore(manifest["stream"])
        return manifest

    def _most_rows(self) -> int:
        row = len(self.stream.points) * self.stream.d_in * _DTYPES[self.dtype].itemsize
        most = min(self.max_bytes // row, self.rows if self.rows is not None else self.max_bytes)
        if most < 1:
            raise BadOption(f"The cap of {self.max_bytes} bytes does not hold one row of {row} bytes.")
        return most

    def _shard(self, rows: int, done: int, most: int) -> Generator[Event, None, tuple[Rows, bool]]:
        """Up to `rows` rows, fewer at the end of the epoch, and whether that end was reached."""
        parts: list[Rows] = []
        count, point, ended = 0, self.stream.points[0], False
        while count < rows and not ended:
            steps = self.stream.next_part(rows - count)
            while True:
                try:
                    next(steps)
                except StopIteration as end:
                    parts.append(end.value)
                    break
                yield Progress(done + count, most if self.rows is not None else None)
            count += len(parts[-1][point])
            ended = self.stream.at_epoch_end
        return {each: torch.cat([part[each] for part in parts]) for each in self.stream.points}, ended

    def _save(self, number: int, shard: Rows, statistics: Mapping[HookPoint, ActivationStatistics]) -> dict[str, Any]:
        folder = self.folder / f"{number:05d}"
        folder.mkdir(exist_ok=True)
        digests = {}
        for point, rows in shard.items():
            statistics[point].add(rows)
            raw = rows.to("cpu", _DTYPES[self.dtype]).contiguous().view(torch.uint8).numpy().tobytes()
            digests[str(point)] = hashlib.sha256(raw).hexdigest()
            _write(folder / f"{point}.bin", raw)
        return {"rows": len(next(iter(shard.values()))), "sha256": digests}

    def _check_disk(self, needed: int) -> None:
        free = self.free(self.folder)
        if free < needed + _SPARE:
            raise DatasetTooLarge(
                f"The next shard needs {needed >> 20:,} MiB, and {free >> 20:,} MiB are free on that disk, of which "
                f"{_SPARE >> 20} MiB stay free. The shards so far are kept; make room and go on."
            )


class CachedRows(Blocks):
    """The rows of a cache as a stream. `points` None reads all of its hook points; `buffer_rows` is the shuffle buffer.

    Raises UnknownFormat (not a cache), CorruptFile (a shard is not whole), BadOption.
    """

    def __init__(
        self,
        folder: Path,
        points: Sequence[HookPoint] | None = None,
        *,
        seed: int = 0,
        buffer_rows: int = 131_072,
        device: torch.device | str = "cpu",
    ) -> None:
        facts = read_facts(folder)
        super().__init__(points or facts.points, facts.d_in, seed)
        if missing := [str(point) for point in self.points if point not in facts.points]:
            raise BadOption(f"{', '.join(missing)} is not in this cache; it has {', '.join(map(str, facts.points))}.")
        if not facts.rows:
            raise BadOption(f"{folder} has no row yet.")
        self.facts, self._folder = facts, folder
        manifest = _manifest(folder)
        self._sizes = [int(shard["rows"]) for shard in manifest["shards"]]
        self._digest = hashlib.sha256(json.dumps(manifest["shards"], sort_keys=True).encode()).hexdigest()[:16]
        if buffer_rows < max(self._sizes):
            raise BadOption(f"The buffer of {buffer_rows} rows cannot hold a shard of {max(self._sizes)}: enlarge it.")
        capacity = min(buffer_rows, facts.rows)
        self._buffer = ShuffleBuffer(self.points, capacity, facts.d_in, _DTYPES[facts.dtype], torch.device(device))
        self._place = self._start = (0, 0)

    def state(self) -> dict[str, Any]:
        """Where the current block began, and how much of it was read."""
        position = self._position()
        place = self._start if position["block"] == self.block else self._place
        return {**self._identity(), **position, "place": list(place)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Raises BadOption for one of another cache or order."""
        check_state(state, self._identity())
        self._go_to(state)
        self._place = self._start = (state["place"][0], state["place"][1])

    def _identity(self) -> dict[str, Any]:
        return {
            "kind": "cache",
            "seed": self.seed,
            "shards": self._digest,
            "points": [str(point) for point in self.points],
            "buffer_rows": self._buffer.capacity,
        }

    def _fill(self) -> Generator[None, None, None]:
        epoch, at = self._start = self._place
        order = np.random.default_rng(seed_of(self.seed, "epoch", epoch)).permutation(len(self._sizes))
        while at < len(order) and self._sizes[order[at]] <= self._buffer.room:
            for piece in self._pieces(int(order[at])):
                self._buffer.add(piece)
                yield
            at += 1
        self._place = (epoch, at) if at < len(order) else (epoch + 1, 0)

    def _pieces(self, number: int) -> Iterator[Rows]:
        files = {point: shard_rows(self._folder, number, point, self.facts) for point in self.points}
        for start in range(0, self._sizes[number], _PIECE_ROWS):
            yield {point: rows[start : start + _PIECE_ROWS] for point, rows in files.items()}


def read_facts(folder: Path) -> CacheFacts:
    """What a cache holds; every shard that it lists is there in full. Raises UnknownFormat, CorruptFile."""
    manifest = _manifest(folder)
    try:
        points = tuple(HookPoint.parse(point) for point in manifest["points"])
        width = int(manifest["d_in"]) * _DTYPES[manifest["dtype"]].itemsize
        rows = [int(shard["rows"]) for shard in manifest["shards"]]
        sums = manifest.get("sums", {})
        statistics = {point: ActivationStatistics.from_dict(values).summary() for point, values in sums.items()}
        complete, source = bool(manifest["complete"]), dict(manifest["source"])
    except (KeyError, TypeError, ValueError) as error:
        raise CorruptFile(f"{folder / MANIFEST} lacks or garbles {error}.") from error
    for number, count in enumerate(rows):
        for point in points:
            file = folder / f"{number:05d}" / f"{point}.bin"
            if not file.is_file() or file.stat().st_size != count * width:
                raise CorruptFile(f"{file} is missing or cut off. Delete the cache and write it again.")
    size = sum(rows) * width * len(points)
    known = (points, manifest["d_in"], manifest["dtype"], sum(rows), size, complete, statistics, source)
    return CacheFacts(*known, largest_shard=max(rows, default=0))


def verify(folder: Path) -> Generator[None, None, int]:
    """Compare every byte with the manifest, a file per step; returns how many files. Raises CorruptFile."""
    files = 0
    for number, shard in enumerate(_manifest(folder)["shards"]):
        for point, digest in shard["sha256"].items():
            file = folder / f"{number:05d}" / f"{point}.bin"
            with file.open("rb") as stream:
                if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                    raise CorruptFile(f"{file} is damaged. Delete the cache and write it again.")
            files += 1
            yield
    return files


def shard_rows(folder: Path, number: int, point: HookPoint, facts: CacheFacts) -> Tensor:
    """The rows of one shard at one hook point, memory-mapped: [rows, d_in]. Do not write to them."""
    dtype = _DTYPES[facts.dtype]
    file = folder / f"{number:05d}" / f"{point}.bin"
    count = file.stat().st_size // dtype.itemsize
    mapped = torch.from_file(str(file), shared=False, size=count, dtype=dtype)
    return mapped.view(-1, facts.d_in)


def _statistics(
    manifest: Mapping[str, Any], points: Sequence[HookPoint], d_in: int
) -> dict[HookPoint, ActivationStatistics]:
    kept = manifest.get("sums", {})
    return {
        point: ActivationStatistics.from_dict(kept[str(point)]) if str(point) in kept else ActivationStatistics(d_in)
        for point in points
    }


def _manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnknownFormat(f"{folder} is no cache of activations: it has no {MANIFEST}.") from None
    except ValueError as error:
        raise CorruptFile(f"{folder / MANIFEST} is not JSON. Delete the cache and write it again.") from error
    if not isinstance(manifest, dict) or manifest.get("format") != _FORMAT:
        raise UnknownFormat(f"{folder} is a cache of another version. Delete it and write it again.")
    return manifest


def _nbytes(shard: Rows, dtype: str) -> int:
    return sum(rows.numel() for rows in shard.values()) * _DTYPES[dtype].itemsize


def _replace(file: Path, value: Mapping[str, Any]) -> None:
    aside = file.with_suffix(".new")
    _write(aside, json.dumps(value).encode())
    aside.replace(file)


def _write(file: Path, data: bytes) -> None:
    with file.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
