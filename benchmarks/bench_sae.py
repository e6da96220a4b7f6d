"""Training a TopK SAE on cached rows: Loupe beside SAELens, dictionary_learning and sparsify in one run, as JSON.

    python benchmarks/bench_sae.py              200k x 256 rows, k 32, batch 4096, d_sae 2048 and 8192: rates,
                                                memory, then explained variance over 1000 steps
    python benchmarks/bench_sae.py --quick      the same over small SAEs and batches, in some minutes
    python benchmarks/bench_sae.py --no-quality rates and memory alone

Ways (`sae_ways.py`) take turns, round by round, each in a process of its own; the best round of each counts. Peers live
in an environment beside ours, `.venv-peers`, made on the first run. `tokens_per_cpu_second` counts the processor time
of all threads: on a busy machine it is the figure to compare. `product` is one bf16 encoder product per step and
nothing else, `product_fp32` the same in fp32. AuxK runs nowhere: no latent is silent for 10 M rows. Peers differ in how
they start (SAELens without centring, and with decoder rows of length 0.1), so scores of early steps say little.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

ROOT = Path(__file__).parents[1]
PEERS_PYTHON = ROOT / ".venv-peers" / "bin" / "python"
PEERS = ("saelens", "saelens_sparse", "dictionary_learning", "sparsify")
OURS = ("loupe", "product", "product_fp32")
D, ACTIVE = 256, 24
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


def in_own_process(way: str, folder: Path, d_sae: int, options: argparse.Namespace, **numbers: Any) -> dict[str, Any]:
    """Run one way; `numbers` are its further arguments."""
    command = [str(PEERS_PYTHON) if way in PEERS else sys.executable, str(Path(__file__).with_name("sae_ways.py")), way]
    command += ["--rows", str(folder / "rows.npy"), "--held-out", str(folder / "held_out.npy"), "--d-sae", str(d_sae)]
    for name, value in numbers.items():
        command += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    quiet = {"WANDB_MODE": "disabled", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(options.threads)}
    environment = os.environ | quiet | {"PYTHONPATH": str(ROOT) if way in OURS else ""}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)  # noqa: S603 - our own
    if done.returncode:
        raise SystemExit(f"{way} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def rates(folder: Path, d_sae: int, options: argparse.Namespace) -> dict[str, Any]:
    """The best round of every way, and what it makes of us."""
    best: dict[str, dict[str, Any]] = {}
    for _ in range(options.rounds):
        for way in (*OURS, *PEERS):
            numbers = {"steps": options.steps + 3, "warmup": 3, "batch": options.batch}
            found = in_own_process(way, folder, d_sae, options, **numbers)
            found.pop("scores")
            kept = best.setdefault(way, found)
            for clock in ("tokens_per_second", "tokens_per_cpu_second"):
                kept[clock] = max(kept[clock], found[clock])
    return {"ways": best, "ratios": _ratios(best)}


def _ratios(ways: dict[str, dict[str, Any]]) -> dict[str, float]:
    ratios = {}
    for clock, suffix in (("tokens_per_second", ""), ("tokens_per_cpu_second", "_cpu")):
        ours = ways["loupe"][clock]
        ratios[f"over_best_peer{suffix}"] = ours / max(ways[peer][clock] for peer in PEERS)
        ratios[f"of_bf16_product{suffix}"] = ours / ways["product"][clock]
        ratios[f"of_fp32_product{suffix}"] = ours / ways["product_fp32"][clock]
    ratios["memory_of_saelens"] = ways["loupe"]["peak_mib"] / ways["saelens"]["peak_mib"]
    return {name: round(ratio, 3) for name, ratio in ratios.items()}


def quality(folder: Path, d_sae: int, options: argparse.Namespace) -> dict[str, Any]:
    """Held-out explained variance at equal steps, and at the seconds the fastest way took for all of them."""
    steps = options.quality_steps
    at = sorted({0, *(steps * part // 10 for part in range(1, 11))})
    numbers = {"steps": steps, "warmup": 0, "batch": options.batch, "score_at": at}
    curves = {way: in_own_process(way, folder, d_sae, options, **numbers)["scores"] for way in ("loupe", *PEERS)}
    final = {way: curve[-1]["explained_variance"] for way, curve in curves.items()}
    result: dict[str, Any] = {"steps": steps, "at_equal_steps": final, "curves": curves}
    result["over_best_peer"] = final["loupe"] - max(final[peer] for peer in PEERS)
    for clock in ("seconds", "cpu_seconds"):
        budget = min(curve[-1][clock] for curve in curves.values())
        at_budget = {way: _at(curve, clock, budget) for way, curve in curves.items()}
        ahead = at_budget["loupe"] - max(at_budget[peer] for peer in PEERS)
        result[f"at_equal_{clock}"] = {"budget": budget, **at_budget, "over_best_peer": ahead}
    return result


def _at(curve: list[dict[str, float]], clock: str, budget: float) -> float:
    return float(np.interp(budget, [each[clock] for each in curve], [each["explained_variance"] for each in curve]))


def main() -> None:
    parser = argparse.ArgumentParser(description="Training a TopK SAE, beside three peers.")
    parser.add_argument("--quick", action="store_true", help="small SAEs, small batches")
    parser.add_argument("--d-sae", type=int, nargs="*", help="default: 2048 8192")
    parser.add_argument("--batch", type=int, help="default: 4096")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quality-steps", type=int, default=1000)
    parser.add_argument("--no-quality", action="store_true", help="rates and memory alone")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count() or 1))
    options = parser.parse_args()
    sizes = options.d_sae or ([512] if options.quick else [2048, 8192])
    options.batch = options.batch or (512 if options.quick else 4096)
    peers_environment()
    results: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder, total = Path(temporary), 40_000 if options.quick else 200_000
        data = synthetic_rows(total + total // 10)
        np.save(folder / "rows.npy", data[:total])
        np.save(folder / "held_out.npy", data[total:])
        del data
        for d_sae in sizes:
            results[str(d_sae)] = rates(folder, d_sae, options)
            if not options.no_quality:
                results[str(d_sae)]["quality"] = quality(folder, d_sae, options)
    head = {"benchmark": "sae", "rows": total, "d": D, "k": 32, "batch": options.batch, "threads": options.threads}
    print(json.dumps(head | {"load": os.getloadavg(), "d_sae": results}, indent=2))


if __name__ == "__main__":
    main()
