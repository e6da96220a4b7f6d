"""Training a TopK SAE on cached rows: Loupe beside SAELens, dictionary_learning and sparsify in one run, as JSON.

    python benchmarks/bench_sae.py              200k x 256 rows, k 32, batch 4096, d_sae 2048 and 8192: rates,
                                                memory, then explained variance over 1000 steps
    python benchmarks/bench_sae.py --quick      the same over one small SAE and batch, in some minutes
    python benchmarks/bench_sae.py --no-quality rates and memory alone

Ways (`sae_ways.py`) take turns, round by round, each in a process of its own; the best round of each counts. Peers live
in an environment beside ours, `.venv-peers`, made on the first run: they do not go together with what Loupe needs.
`--out FILE` is rewritten after every process, so that a run that is cut loses one; what would pass `--minutes`, and a
peer that fails, is left out and named. `tokens_per_cpu_second` counts the processor time of all threads: on a busy
machine it is the figure to compare. `product` is one bf16 encoder product per step and nothing else, `product_fp32` the
same in fp32; every way's rate stands beside both.

Memory: `memory_of_saelens` compares whole processes at their peak. `own_memory_of_saelens` compares what is above torch
and the rows, which every way holds: all that a library and its training add, imports included.

Explained variance is compared over batches of 4096 at d_sae 2048 and of 512 at 8192, where peers are too slow for a
thousand steps of more. `dead_share` is of latents that no held-out row activates in the end; AuxK runs nowhere, as no
latent is silent for 10 M rows. Peers differ in how they start (SAELens without centring, and with decoder rows of
length 0.1), so scores of early steps say little.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
PEERS = ("sparsify", "dictionary_learning", "saelens")
RATED = ("loupe", "product", "product_fp32", *PEERS, "saelens_sparse")
D, ACTIVE, WARMUP = 256, 24, 3
FAST = 6  # times as many steps for what takes tenths of a second otherwise
START_S = 15  # of a process that imports a peer and scores, beside its steps
CLOCKS = {"tokens_per_second": "", "tokens_per_cpu_second": "_cpu"}
# nnsight asks for torchvision, which nothing here uses: it, and who asks for it, come without what they ask for.
INSTALLS = (
    ("torch==2.13.0", "sae-lens==6.54.12", "eai-sparsify==1.3.3"),
    ("--no-deps", "dictionary-learning==0.1.0", "nnsight==0.3.7"),
    ("torch==2.13.0", "python-socketio[client]", "sentencepiece", "umap-learn", "circuitsvis", "pillow", "zstandard"),
)


def peers_environment() -> None:
    """Make the peers' environment unless it is there."""
    if (done := PEERS_PYTHON.parents[1] / "installed").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", str(PEERS_PYTHON.parents[1])], check=True)  # noqa: S603 - our own
    for install in INSTALLS:
        subprocess.run([str(PEERS_PYTHON), "-m", "pip", "install", "--quiet", *install], check=True)  # noqa: S603
    done.touch()


def synthetic_rows(rows: int) -> np.ndarray:
    """24 of 8 d directions, drawn by Zipf's law, an offset and noise; scaled to a mean norm of sqrt(d)."""
    generator = torch.Generator().manual_seed(0)
    directions = F.normalize(torch.randn(8 * D, D, generator=generator))
    zipf = 1 / torch.arange(1, 8 * D + 1)
    offset = 0.3 * torch.randn(D, generator=generator)
    parts = []
    for at in range(0, rows, 10_000):
        n = min(10_000, rows - at)
        active = torch.multinomial(zipf.expand(n, -1), ACTIVE, generator=generator)
        strength = (1 + 0.5 * torch.randn(n, ACTIVE, generator=generator)).abs()
        noise = 0.1 * torch.randn(n, D, generator=generator)
        parts.append(F.embedding_bag(active, directions, per_sample_weights=strength, mode="sum") + offset + noise)
    data = torch.cat(parts)
    return (data * D**0.5 / data.norm(dim=1).mean()).numpy()


class Bench:
    """What was measured so far, on disk after every process."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.options = folder, options
        self.deadline = time.monotonic() + 60 * options.minutes
        head = {"benchmark": "sae", "rows": options.rows, "d": D, "k": 32, "batch": options.batch}
        self.found: dict[str, Any] = head | {"threads": options.threads, "load": os.getloadavg(), "left_out": []}
        self.found["d_sae"] = {str(size): {"ways": {}} for size in options.d_sae}

    def run(self, way: str, d_sae: int, **numbers: Any) -> dict[str, Any] | None:
        """One way in a process of its own; `numbers` are its further arguments. None: a peer that failed."""
        python = PEERS_PYTHON if way.startswith(PEERS) else sys.executable
        command = [str(python), str(Path(__file__).with_name("sae_ways.py")), way, "--d-sae", str(d_sae)]
        command += ["--rows", str(self.folder / "rows.npy"), "--held-out", str(self.folder / "held_out.npy")]
        for name, value in numbers.items():
            command += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
        quiet = {"WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(self.options.threads)}
        environment = os.environ | quiet | {"PYTHONPATH": "" if way.startswith(PEERS) else str(ROOT)}
        began = time.monotonic()
        done = subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: S603 - our own
        if done.returncode and not way.startswith(PEERS):
            raise SystemExit(f"{way} failed:\n{done.stderr[-3000:]}")
        if done.returncode:
            self.found["left_out"].append(f"{way} at {d_sae} failed: {done.stderr[-500:]}")
            return None
        print(f"{way} at {d_sae}: {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
        return json.loads(done.stdout.splitlines()[-1])

    def keep(self) -> None:
        """Write what there is."""
        if self.options.out:
            self.options.out.write_text(json.dumps(self.found, indent=2))

    def round_of_rates(self, d_sae: int) -> None:
        """Every way once; the best rounds stay."""
        found = self.found["d_sae"][str(d_sae)]
        for way in RATED:
            steps = self.options.steps * (1 if way.startswith(PEERS) else FAST) + WARMUP
            measured = self.run(way, d_sae, steps=steps, warmup=WARMUP, batch=self.options.batch)
            if measured is None:
                continue
            del measured["scores"]
            kept = found["ways"].setdefault(way, measured)
            for clock in CLOCKS:
                kept[clock] = max(kept[clock], measured[clock])
            kept["peak_mib"] = max(kept["peak_mib"], measured["peak_mib"])
            self.keep()
        if any(way in PEERS for way in found["ways"]):
            found["ratios"] = ratios(found["ways"])
        self.keep()

    def quality(self, d_sae: int) -> None:
        """Held-out explained variance at equal steps, and at the seconds the fastest way took for all of them."""
        steps, found = self.options.quality_steps, self.found["d_sae"][str(d_sae)]
        batch = min(self.options.batch, 512 if d_sae > 4096 else 4096)
        at = sorted({0, *(steps * part // 10 for part in range(1, 11))})
        curves: dict[str, Any] = {}
        for way in [way for way in ("loupe", *PEERS) if way in found["ways"]]:
            seconds = START_S + steps * batch / found["ways"][way]["tokens_per_second"]
            if time.monotonic() + seconds > self.deadline:
                self.found["left_out"].append(f"explained variance of {way} at {d_sae}: about {seconds:.0f} s")
                continue
            measured = self.run(way, d_sae, steps=steps, warmup=0, batch=batch, score_at=at)
            curves |= {way: measured} if measured else {}
            if "loupe" in curves and len(curves) > 1:
                found["quality"] = {"steps": steps, "batch": batch, **compared(curves)}
            self.keep()


def ratios(ways: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Loupe over the best peer, memory beside SAELens, and every rate as a share of one encoder product's."""
    found: dict[str, Any] = {}
    peers = [way for way in ways if way.startswith(PEERS)]
    for clock, suffix in CLOCKS.items():
        best = max(peers, key=lambda way, clock=clock: ways[way][clock])
        found[f"over_best_peer{suffix}"] = round(ways["loupe"][clock] / ways[best][clock], 3)
        found[f"best_peer{suffix}"] = best
        for product in ("product", "product_fp32"):
            limit = ways[product][clock]
            shares = {way: round(ways[way][clock] / limit, 3) for way in ("loupe", *peers)}
            found[f"of_{product}{suffix}"] = shares
    if theirs := ways.get("saelens"):
        ours = ways["loupe"]
        found["memory_of_saelens"] = round(ours["peak_mib"] / theirs["peak_mib"], 3)
        own = [way["peak_mib"] - way["with_rows_mib"] for way in (ours, theirs)]
        found["own_memory_of_saelens"] = round(own[0] / own[1], 3)
    return found


def compared(runs: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The end of every curve, and all of them at the seconds of the fastest."""
    curves = {way: run["scores"] for way, run in runs.items()}
    peers = [way for way in runs if way != "loupe"]
    final = {way: curve[-1]["explained_variance"] for way, curve in curves.items()}
    result: dict[str, Any] = {"at_equal_steps": final, "dead_share": {way: runs[way]["dead_share"] for way in runs}}
    result["over_best_peer"] = final["loupe"] - max(final[peer] for peer in peers)
    for clock in ("seconds", "cpu_seconds"):
        budget = min(curve[-1][clock] for curve in curves.values())
        at_budget = {way: _at(curve, clock, budget) for way, curve in curves.items()}
        ahead = at_budget["loupe"] - max(at_budget[peer] for peer in peers)
        result[f"at_equal_{clock}"] = {"budget": budget, **at_budget, "over_best_peer": ahead}
    return result | {"curves": curves}


def _at(curve: list[dict[str, float]], clock: str, budget: float) -> float:
    return float(np.interp(budget, [each[clock] for each in curve], [each["explained_variance"] for each in curve]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Training a TopK SAE, beside three peers.")
    parser.add_argument("--quick", action="store_true", help="one small SAE, small batches, fewer rows")
    parser.add_argument("--d-sae", type=int, nargs="*", help="default: 2048 8192")
    parser.add_argument("--batch", type=int, help="default: 4096")
    parser.add_argument(
        "--steps", type=int, default=10, help=f"timed steps of a round; {FAST} times as many for what is fast"
    )
    parser.add_argument("--rounds", type=int, help="default: 2")
    parser.add_argument("--quality-steps", type=int, help="default: 1000")
    parser.add_argument("--no-quality", action="store_true", help="rates and memory alone")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--minutes", type=float, default=25, help="what would take longer is left out, and named")
    parser.add_argument("--out", type=Path, help="a file that is rewritten after every process")
    options = parser.parse_args()
    quick = options.quick
    options.d_sae = options.d_sae or ([512] if quick else [2048, 8192])
    options.batch = options.batch or (512 if quick else 4096)
    options.rounds, options.rows = options.rounds or (1 if quick else 2), 40_000 if quick else 200_000
    options.quality_steps = options.quality_steps or (200 if quick else 1000)
    peers_environment()
    with tempfile.TemporaryDirectory() as temporary:
        data = synthetic_rows(options.rows + options.rows // 10)
        np.save(Path(temporary) / "rows.npy", data[: options.rows])
        np.save(Path(temporary) / "held_out.npy", data[options.rows :])
        del data
        bench = Bench(Path(temporary), options)
        for _ in range(options.rounds):
            for d_sae in options.d_sae:
                bench.round_of_rates(d_sae)
        for d_sae in () if options.no_quality else options.d_sae:
            bench.quality(d_sae)
    print(json.dumps(bench.found, indent=2))


if __name__ == "__main__":
    main()
