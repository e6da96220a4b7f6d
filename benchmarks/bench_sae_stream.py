"""Training an SAE straight from a model: how much of the forward pass's own rate is left, as JSON.

    python benchmarks/bench_sae_stream.py                the shipped starter model, at two thirds of its depth
    python benchmarks/bench_sae_stream.py --model FOLDER another model

`forward` runs random text through the model up to the hook point and throws the activations away; `training` is the
stream (shuffle buffer, dropping) feeding one BatchTopK SAE in the learner of a training job. Both take turns; the best
round of each counts. Tokens are those that went through the model.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from loupe.engine.data.rows import TokenRows, token_rows
from loupe.engine.models.hooks import HookPoint
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model
from loupe.engine.models.pieces import PiecewiseForward
from loupe.engine.sae.config import SAEConfig, TrainingConfig
from loupe.engine.sae.learner import Learner
from loupe.engine.sae.stream import ActivationStream

STARTER = Path(__file__).parents[1] / "assets" / "starter" / "model"
ROW_TOKENS, FORWARD_TOKENS, BATCH = 128, 2048, 4096


def random_text(lm: LanguageModel, tokens: int) -> TokenRows:
    """Rows of random ids."""
    ids = np.random.default_rng(0).integers(10, lm.model.config.vocab_size, (tokens // ROW_TOKENS, ROW_TOKENS))
    return token_rows(ids.tolist())


def forward_alone(lm: LanguageModel, text: TokenRows, point: HookPoint) -> Iterator[int]:
    """The tokens of each batch, as it went through."""
    forward = PiecewiseForward(lm, (point,))
    while True:
        for at in range(0, len(text), FORWARD_TOKENS // ROW_TOKENS):
            rows = range(at, min(at + FORWARD_TOKENS // ROW_TOKENS, len(text)))
            _finished(forward.steps(torch.from_numpy(np.stack([text.ids(row) for row in rows]))))
            yield len(rows) * ROW_TOKENS


def training(lm: LanguageModel, text: TokenRows, point: HookPoint, d_sae: int) -> Iterator[int]:
    """The tokens that went through the model for each step."""
    stream = ActivationStream(lm, text, [point], buffer_rows=4 * BATCH, forward_tokens=FORWARD_TOKENS)
    config = SAEConfig.from_dict({"architecture": "batchtopk", "d_in": lm.d_model, "d_sae": d_sae, "k": 32})
    learner = Learner("bench", config, TrainingConfig.from_dict({"batch_rows": BATCH}).settled_for(config))
    first = _finished(stream.next_batch(BATCH))[point].float()
    _finished(learner.initialise(first, first))
    seen = stream.counts.seen
    while True:
        x = _finished(stream.next_batch(BATCH))[point].float()
        _finished(learner.step(x, x))
        yield stream.counts.seen - seen
        seen = stream.counts.seen


def _finished(steps: Generator[None, None, Any]) -> Any:
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def tokens_per_second(batches: Iterator[int], at_least: int) -> dict[str, float]:
    """Over whole batches, by the clock and by processor time of all threads."""
    began, cpu_began, tokens = time.perf_counter(), time.process_time(), 0
    while tokens < at_least:
        tokens += next(batches)
    return {
        "tokens_per_second": tokens / (time.perf_counter() - began),
        "tokens_per_cpu_second": tokens / (time.process_time() - cpu_began),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description="Streaming from a model into an SAE, beside the forward pass alone.")
    parser.add_argument("--model", type=Path, default=STARTER)
    parser.add_argument("--d-sae", type=int, default=1024)
    parser.add_argument("--tokens", type=int, default=8 * 4 * BATCH, help="of each way and round")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    lm = load_model(options.model, dtype="fp32")
    point = HookPoint(2 * lm.n_layers // 3)
    text = random_text(lm, 10 * options.tokens)
    ways = {"forward": forward_alone(lm, text, point), "training": training(lm, text, point, options.d_sae)}
    best: dict[str, dict[str, float]] = {way: {} for way in ways}
    for batches in ways.values():
        next(batches)
    for _ in range(options.rounds):
        for way, batches in ways.items():
            for clock, rate in tokens_per_second(batches, options.tokens).items():
                best[way][clock] = max(best[way].get(clock, 0.0), rate)
    share = {clock: round(best["training"][clock] / best["forward"][clock], 3) for clock in best["forward"]}
    head = {"benchmark": "sae_stream", "model": str(options.model), "hook_point": str(point), "d_sae": options.d_sae}
    head |= {"threads": torch.get_num_threads(), "load": os.getloadavg()}
    print(json.dumps(head | {"ways": best, "share_of_forward": share}, indent=2))


if __name__ == "__main__":
    main()
