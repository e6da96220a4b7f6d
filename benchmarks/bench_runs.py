"""Lists of kept runs: how long a page of 50 takes among 10 000, by order, filter and search, on the real store.

`python -m benchmarks.bench_runs` prints JSON: milliseconds at the median and the 95th percentile, and those
of processor time at the median, which say more on a busy machine.
"""

import asyncio
import random
import statistics
import sys
import tempfile
import time
from typing import Any

import orjson

from loupe.storage.repos.runs import NewRun
from loupe.storage.rows import WorkState
from loupe.storage.store import Store, open_store

RUNS, TOKENS, TRIES = 10_000, 300, 20
WORDS = ("fox", "lantern", "sea", "storm", "lighthouse", "keeper", "bread", "river", "snail", "kite", "harbour", "bell")
ASKED: dict[str, dict[str, Any]] = {
    "newest": {},
    "by name": {"sort_by": "name", "order": "asc"},
    "by model, page 100": {"sort_by": "model", "page": 100},
    "one author, by end": {"author": "Ada", "sort_by": "finished_at"},
    "one state and model": {"state": "queued", "model": "model 3"},
    "search, one letter": {"search": "l"},
    "search, two words": {"search": "lantern ha"},
    "search, nothing": {"search": "zeppelin"},
    "bin": {"deleted": True},
}


async def fill(store: Store) -> None:
    """Write the runs in one transaction, as no user ever could: only reading is measured."""
    chance = random.Random(0)  # noqa: S311 - example texts
    rows = []
    for number in range(RUNS):
        text = " ".join(chance.choices(WORDS, k=TOKENS))
        new = NewRun(
            name=f"{chance.choice(WORDS)} {number}",
            text=text,
            request={"text": text, "best_of": 4},
            model=f"model {number % 7}",
            author=chance.choice(("Ada", "Bea", "")),
            token_ids=[chance.randrange(50_000) for _ in range(TOKENS)],
        )
        rows.append(store.runs._row(new, WorkState.QUEUED))
    async with store.database.write() as session:
        session.add_all(rows)


async def measure() -> dict[str, Any]:
    """Fill a store of its own and ask."""
    with tempfile.TemporaryDirectory() as folder:
        async with open_store(folder) as store:
            await fill(store)
            found = {name: await timed(store, asked) for name, asked in ASKED.items()}
            found["what to filter by"] = await timed(store, None)
    return {"runs": RUNS, "tokens_each": TOKENS, "milliseconds": found}


async def timed(store: Store, asked: dict[str, Any] | None) -> dict[str, float]:
    """Median and 95th percentile of one question, the first one (a cold cache) left out."""
    seconds, busy = [], []
    for _ in range(TRIES + 1):
        begun, worked = time.perf_counter(), time.process_time()
        await (store.runs.choices() if asked is None else store.runs.list(**asked))
        seconds.append(time.perf_counter() - begun)
        busy.append(time.process_time() - worked)
    ordered = sorted(seconds[1:])
    return {
        "median": round(statistics.median(ordered) * 1e3, 1),
        "p95": round(ordered[int(len(ordered) * 0.95) - 1] * 1e3, 1),
        "processor": round(statistics.median(busy[1:]) * 1e3, 1),
    }


if __name__ == "__main__":
    sys.stdout.buffer.write(orjson.dumps(asyncio.run(measure()), option=orjson.OPT_INDENT_2) + b"\n")
