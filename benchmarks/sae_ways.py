"""One way of training a TopK SAE on cached rows, in a process of its own: `python sae_ways.py WAY --rows FILE ...`.

Run by `bench_sae`, ours with our interpreter and each peer with that of the peers' environment, so nothing is imported
before a way asks for it. Every way is its own SAE class in its own loop, fed by `Rows`: the same rows in one order,
Adam at 3e-4, constant. The clock runs from the request for batch `warmup` to the request after the last; while the
held-out rows are scored it stands still.

Memory is what the kernel calls resident, in MiB: `peak` at its highest, and what it was with torch alone, with the rows
as well, and with the way's libraries imported. What Loupe loads later (the compiler of its kernels) counts as its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

K, LR, MANY = 32, 3e-4, 1_000_000  # steps that no run reaches: it ends when the rows do


class Done(Exception):
    """Enough batches were handed out: how the loop of a peer ends."""


def resident_mib(which: str = "VmRSS") -> int:
    """Of this process, now, or (VmHWM) at its highest; `ru_maxrss` would begin at the peak of the process before it."""
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status[which].split()[0]) // 1024


class Rows(Iterator[Tensor]):
    """Batches in a fixed order, the clock of the loop that takes them, and its scores on held-out rows.

    A way says when it has imported its libraries, how it reconstructs rows, and where latents are active (not zero) in
    [rows, d_sae].
    """

    def __init__(self, options: argparse.Namespace) -> None:
        self.resident = {"torch_mib": resident_mib()}
        self.rows, self.held_out = (torch.from_numpy(np.load(path)) for path in (options.rows, options.held_out))
        self.resident["with_rows_mib"] = resident_mib()
        self.batch = options.batch
        self.steps, self.warmup, self.score_at = options.steps, options.warmup, set(options.score_at)
        self.reconstruct: Callable[[Tensor], Tensor] | None = None
        self.activate: Callable[[Tensor], Tensor] | None = None
        self.taken = 0
        self.scores: list[dict[str, float]] = []
        self._began = self._cpu_began = self._paused = self._cpu_paused = 0.0

    def imported(self) -> None:
        """Called by a way when its libraries are there."""
        self.resident["with_imports_mib"] = resident_mib()

    @torch.no_grad()
    def dead_share(self) -> float | None:
        """Share of latents that none of the held-out rows activates."""
        if self.activate is None:
            return None
        fired = sum((self.activate(x) != 0).sum(0) for x in self.held_out.split(1024))
        return float((torch.as_tensor(fired) == 0).double().mean())

    def __next__(self) -> Tensor:
        if self.taken == self.warmup:
            self._began, self._cpu_began = time.perf_counter(), time.process_time()
            self._paused = self._cpu_paused = 0.0
        if self.taken in self.score_at:
            self._score()
        if self.taken == self.steps:
            raise Done
        epoch, at = divmod(self.taken, len(self.rows) // self.batch)
        if at == 0:
            self.order = torch.randperm(len(self.rows), generator=torch.Generator().manual_seed(epoch))
        self.taken += 1
        return self.rows[self.order[at * self.batch : (at + 1) * self.batch]]

    def seconds(self) -> tuple[float, float]:
        """Since the end of the warm-up: of the clock, and of the processor, over all threads."""
        return (
            time.perf_counter() - self._began - self._paused,
            time.process_time() - self._cpu_began - self._cpu_paused,
        )

    @torch.no_grad()
    def _score(self) -> None:
        assert self.reconstruct is not None
        wall, cpu = self.seconds()
        began, cpu_began = time.perf_counter(), time.process_time()
        error = total = 0.0
        mean = self.held_out.mean(0)
        for x in self.held_out.split(2048):
            error += float((x - self.reconstruct(x)).double().square().sum())
            total += float((x - mean).double().square().sum())
        score = {"step": self.taken, "seconds": wall, "cpu_seconds": cpu, "explained_variance": 1 - error / total}
        self.scores.append(score)
        self._paused += time.perf_counter() - began
        self._cpu_paused += time.process_time() - cpu_began


def loupe(rows: Rows, d_sae: int) -> None:
    """The learner that a training job drives."""
    from loupe.engine.sae.config import SAEConfig, TrainingConfig
    from loupe.engine.sae.learner import Learner

    rows.imported()
    config = SAEConfig.from_dict({"architecture": "topk", "d_in": rows.rows.shape[1], "d_sae": d_sae, "k": K})
    fields = {
        "steps": MANY,
        "batch_rows": rows.batch,
        "lr": LR,
        "warmup": 0,
        "dead_tokens": 10_000_000,
        "normalise": False,
    }
    learner = Learner("bench", config, TrainingConfig.from_dict(fields).settled_for(config))
    for _ in learner.initialise(rows.rows[:65_536], rows.rows[:65_536]):
        pass
    rows.reconstruct, rows.activate = learner.sae.forward, learner.sae.encode
    for x in rows:
        for _ in learner.step(x, x):
            pass


def saelens(rows: Rows, d_sae: int, *, sparse: bool = False) -> None:
    """`SAETrainer.fit` on a `TopKTrainingSAE`; its sparse mode needs the rescaling off on a CPU."""
    from sae_lens.config import SAETrainerConfig
    from sae_lens.saes.topk_sae import TopKTrainingSAE, TopKTrainingSAEConfig
    from sae_lens.training.sae_trainer import SAETrainer

    rows.imported()
    mode = {"use_sparse_activations": True, "rescale_acts_by_decoder_norm": False} if sparse else {}
    sae = TopKTrainingSAE(TopKTrainingSAEConfig(d_in=rows.rows.shape[1], d_sae=d_sae, k=K, **mode))
    many = MANY * rows.batch
    config = SAETrainerConfig(total_training_samples=many, train_batch_size_samples=rows.batch, lr=LR, lr_end=LR)
    rows.reconstruct = lambda x: sae.decode(sae.encode(x))
    rows.activate = lambda x: sae.encode(x).to_dense()
    SAETrainer(cfg=config, sae=sae, data_provider=rows).fit()


def saelens_sparse(rows: Rows, d_sae: int) -> None:
    """SAELens with its sparse activations."""
    saelens(rows, d_sae, sparse=True)


def dictionary_learning(rows: Rows, d_sae: int) -> None:
    """`trainSAE` with a `TopKTrainer`."""
    from dictionary_learning.trainers.top_k import TopKTrainer
    from dictionary_learning.training import trainSAE

    rows.imported()

    class Watched(TopKTrainer):
        def __init__(self, **fields: Any) -> None:
            super().__init__(**fields)
            rows.reconstruct, rows.activate = self.ae.forward, self.ae.encode

    config = {"trainer": Watched, "steps": MANY, "activation_dim": rows.rows.shape[1], "dict_size": d_sae, "k": K}
    config |= {"layer": 0, "lm_name": "cached", "lr": LR, "warmup_steps": 0, "device": "cpu", "seed": 0}
    trainSAE(rows, [config], steps=MANY, device="cpu")


def sparsify(rows: Rows, d_sae: int) -> None:
    """`Trainer.fit` on a model whose only module hands out the rows; Adam, its decay over a million steps."""
    from sparsify import SaeConfig, TrainConfig, Trainer

    rows.imported()

    class Ids(torch.utils.data.Dataset):
        def __len__(self) -> int:
            return MANY * rows.batch // 64

        def __getitem__(self, _: int) -> dict[str, Tensor]:
            return {"input_ids": torch.ones(64, dtype=torch.int64)}

    class Cached(torch.nn.Module):
        device, dummy_inputs = torch.device("cpu"), {"input_ids": None}

        def __init__(self) -> None:
            super().__init__()
            self.site = torch.nn.Identity()

        @property
        def base_model(self) -> Cached:
            return self

        def forward(self, input_ids: Tensor | None = None) -> Tensor:
            return self.site(rows.rows[:64][None] if input_ids is None else next(rows).view(-1, 64, rows.rows.shape[1]))

    with tempfile.TemporaryDirectory() as folder:
        config = TrainConfig(
            SaeConfig(num_latents=d_sae, k=K),
            batch_size=rows.batch // 64,
            optimizer="adam",
            lr=LR,
            lr_warmup_steps=0,
            hookpoints=["site"],
            log_to_wandb=False,
            save_dir=folder,
            save_every=1_000_000_000,
        )
        trainer = Trainer(config, Ids(), Cached())
        rows.reconstruct = lambda x: trainer.saes["site"](x).sae_out

        def activate(x: Tensor) -> Tensor:
            code = trainer.saes["site"].encode(x)
            return code.top_acts.new_zeros(len(x), d_sae).scatter_(1, code.top_indices, code.top_acts)

        rows.activate = activate
        trainer.fit()


def product(rows: Rows, d_sae: int) -> None:
    """One encoder product a step, in bf16 and nothing else: what no way can be faster than."""
    weights = torch.randn(d_sae, rows.rows.shape[1]).to(torch.bfloat16)
    out = torch.empty(512, d_sae, dtype=torch.bfloat16)
    for x in rows:
        for part in x.to(torch.bfloat16).split(512):
            torch.mm(part, weights.t(), out=out)


def product_fp32(rows: Rows, d_sae: int) -> None:
    """The same product in fp32, whole."""
    weights = torch.randn(d_sae, rows.rows.shape[1])
    out = torch.empty(rows.batch, d_sae)
    for x in rows:
        torch.mm(x, weights.t(), out=out)


OURS = (loupe, product, product_fp32)
PEERS = (saelens, saelens_sparse, dictionary_learning, sparsify)
WAYS = {way.__name__: way for way in OURS + PEERS}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--d-sae", type=int, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--warmup", type=int, default=2)
    parser.add_argument("--score-at", type=int, nargs="*", default=[])
    options = parser.parse_args()
    torch.manual_seed(0)
    rows = Rows(options)
    with contextlib.suppress(Done):
        WAYS[options.way](rows, options.d_sae)
    seconds, cpu_seconds = rows.seconds()
    trained = (options.steps - options.warmup) * options.batch
    measured = {
        "way": options.way,
        "tokens_per_second": trained / seconds,
        "tokens_per_cpu_second": trained / cpu_seconds,
        "peak_mib": resident_mib("VmHWM"),
        **rows.resident,
        "scores": rows.scores,
    }
    if rows.scores:
        measured["dead_share"] = rows.dead_share()
    sys.stdout.write("\n" + json.dumps(measured) + "\n")


if __name__ == "__main__":
    main()
