"""Activations on disk: written once, resumed after anything, read as the same kind of stream."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from loupe.engine.context import JobContext
from loupe.engine.errors import BadOption, CorruptFile, DatasetTooLarge, UnknownFormat
from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.cache import CachedRows, WriteCache, read_facts, shard_rows, verify
from loupe.engine.sae.statistics import ActivationStatistics
from loupe.engine.sae.stream import ActivationStream
from tests.engine.models.zoo import lm_of
from tests.engine.sae.test_stream import KEEP_ALL, drain, stories

POINTS = [HookPoint(0), HookPoint(1)]
SOURCE = {"model": "tiny"}


def stream() -> ActivationStream:
    return ActivationStream(lm_of("llama"), stories(), POINTS, buffer_rows=100, forward_tokens=40, drop=KEEP_ALL)


def job(folder: Path, **options: Any) -> WriteCache:
    defaults = {"max_bytes": 1 << 30, "shard_rows": 64, "dtype": "fp32"}
    return WriteCache(stream(), folder, SOURCE, **defaults | options)


def written(folder: Path, **options: Any) -> Any:
    return drain(job(folder, **options).run(JobContext()))  # type: ignore[arg-type]  # yields progress


def all_rows(folder: Path, point: HookPoint) -> torch.Tensor:
    facts = read_facts(folder)
    return torch.cat([shard_rows(folder, int(each.name), point, facts) for each in sorted(folder.glob("0*"))])


def test_a_cache_holds_every_token_of_one_epoch_and_its_statistics(tmp_path: Path) -> None:
    facts = written(tmp_path)
    live = stream()
    total = live.rows.n_tokens
    rows = drain(live.next_batch(total))
    assert (facts.rows, facts.complete, facts.points) == (total, True, tuple(POINTS))
    for point in POINTS:
        assert torch.equal(all_rows(tmp_path, point), rows[point])
        summary = facts.statistics[str(point)]
        assert summary["rows"] == total and summary["mean_norm"] == pytest.approx(rows[point].norm(dim=1).mean().item())
        assert summary["standard_deviation"] == pytest.approx(
            rows[point].var(0, correction=0).mean().sqrt().item(), rel=1e-5
        )
    assert facts.size == sum(file.stat().st_size for file in tmp_path.rglob("*.bin"))
    assert drain(verify(tmp_path)) == 2 * len(list(tmp_path.glob("0*")))


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
def test_narrow_caches_keep_their_precision(dtype: str, tmp_path: Path) -> None:
    written(tmp_path, dtype=dtype, rows=50)
    rows = drain(stream().next_batch(50))[POINTS[0]]
    assert torch.allclose(all_rows(tmp_path, POINTS[0]).float(), rows, rtol=1e-2, atol=1e-2)
    assert drain(CachedRows(tmp_path, buffer_rows=64).next_batch(10))[POINTS[0]].dtype == torch.float32


def test_the_cap_and_the_number_of_rows_end_a_cache(tmp_path: Path) -> None:
    row = 2 * 24 * 4
    assert written(tmp_path / "a", max_bytes=70 * row + 5).rows == 70
    assert written(tmp_path / "b", rows=65).rows == 65
    with pytest.raises(BadOption, match="does not hold one row"):
        written(tmp_path / "c", max_bytes=row - 1)


@pytest.mark.parametrize("after", [1, 2, 5, 9, 14])
def test_a_cache_that_was_interrupted_goes_on_to_the_same_bytes(after: int, tmp_path: Path) -> None:
    whole = written(tmp_path / "whole")
    steps = job(tmp_path / "cut").run(JobContext())
    for _ in range(after):
        next(steps)
    steps.close()
    resumed = written(tmp_path / "cut")
    assert resumed == whole
    for point in POINTS:
        assert torch.equal(all_rows(tmp_path / "cut", point), all_rows(tmp_path / "whole", point))
    assert written(tmp_path / "cut") == whole  # finished: nothing is left to do


def test_a_cache_of_something_else_is_not_continued(tmp_path: Path) -> None:
    written(tmp_path, rows=10)
    with pytest.raises(BadOption, match="begun with another source"):
        drain(WriteCache(stream(), tmp_path, {"model": "other"}, 1 << 30, dtype="fp32").run(JobContext()))  # type: ignore[arg-type]
    with pytest.raises(BadOption, match="begun with another dtype"):
        written(tmp_path, dtype="bf16")


def test_a_full_disk_keeps_what_is_whole(tmp_path: Path) -> None:
    left = iter([10 << 30, 1 << 20])
    with pytest.raises(DatasetTooLarge, match="The shards so far are kept"):
        written(tmp_path, free=lambda _: next(left))
    facts = read_facts(tmp_path)
    assert facts.rows == 64 and not facts.complete
    assert written(tmp_path).complete


def test_cached_rows_come_each_once_an_epoch_in_a_seeded_order(tmp_path: Path) -> None:
    facts = written(tmp_path)
    rows = all_rows(tmp_path, POINTS[0])

    def read(seed: int) -> CachedRows:
        return CachedRows(tmp_path, POINTS[:1], seed=seed, buffer_rows=130)

    cached = read(1)
    epochs = [drain(cached.next_batch(facts.rows))[POINTS[0]] for _ in range(2)]
    for epoch in epochs:
        assert torch.equal(epoch.sort(0).values, rows.sort(0).values)
    assert not torch.equal(epochs[0], epochs[1])
    assert torch.equal(drain(read(1).next_batch(50))[POINTS[0]], epochs[0][:50])
    assert not torch.equal(drain(read(2).next_batch(50))[POINTS[0]], epochs[0][:50])


@pytest.mark.parametrize("before", [0, 1, 4, 11])
def test_a_cached_stream_resumes_bit_by_bit(before: int, tmp_path: Path) -> None:
    written(tmp_path)
    whole, resumed = (CachedRows(tmp_path, seed=3, buffer_rows=130) for _ in range(2))
    for _ in range(before):
        drain(whole.next_batch(40))
    state = json.loads(json.dumps(whole.state()))
    resumed.restore(state)
    assert resumed.state() == state
    for _ in range(5):
        a, b = drain(whole.next_batch(40)), drain(resumed.next_batch(40))
        assert all(torch.equal(a[point], b[point]) for point in POINTS)
    with pytest.raises(BadOption, match="of another stream"):
        CachedRows(tmp_path, seed=4, buffer_rows=130).restore(state)


def test_what_is_no_whole_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match="no cache"):
        CachedRows(tmp_path)
    written(tmp_path)
    with pytest.raises(BadOption, match="cannot hold a shard of 64"):
        CachedRows(tmp_path, buffer_rows=10)
    with pytest.raises(BadOption, match=r"blocks\.2\.resid_post is not in this cache"):
        CachedRows(tmp_path, [HookPoint(2)])
    file = tmp_path / "00001" / f"{POINTS[0]}.bin"
    good = file.read_bytes()
    file.write_bytes(good[:-4] + b"\0\0\0\1")
    with pytest.raises(CorruptFile, match="is damaged"):
        drain(verify(tmp_path))
    file.write_bytes(good[:-4])
    with pytest.raises(CorruptFile, match="missing or cut off"):
        CachedRows(tmp_path)
    (tmp_path / "cache.json").write_text("{")
    with pytest.raises(CorruptFile, match="not JSON"):
        CachedRows(tmp_path)


def test_statistics_are_those_of_all_rows_together() -> None:
    rows = 3 + torch.randn(100, 5, generator=torch.Generator().manual_seed(0))
    counted = ActivationStatistics(5)
    assert counted.summary() == {}
    for part in rows.split(33):
        counted.add(part)
    assert torch.allclose(counted.mean, rows.mean(0)) and torch.allclose(counted.variance, rows.var(0, correction=0))
    again = ActivationStatistics.from_dict(json.loads(json.dumps(counted.to_dict())))
    assert again.summary() == counted.summary()
    severity = rows.mean(0).norm() / rows.var(0, correction=0).sum().sqrt()
    assert counted.summary()["severity"] == pytest.approx(severity.item(), rel=1e-4)
