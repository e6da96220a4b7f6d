"""Small SAEs and activations for tests."""

import torch

from loupe.engine.sae.config import SAEConfig, TrainingConfig
from loupe.engine.sae.sae import SAE

CASES = {
    "standard": ({}, {}),
    "gated": ({}, {}),
    "topk": ({"k": 3}, {}),
    "batchtopk": ({"k": 3}, {}),
    "jumprelu": ({}, {"bandwidth": 0.7}),
    "jumprelu deepmind": ({}, {"jumprelu_recipe": "deepmind", "bandwidth": 0.7}),
    "jumprelu deepmind with a target": ({}, {"jumprelu_recipe": "deepmind", "bandwidth": 0.7, "l0_target": 4.0}),
    "matryoshka": ({"k": 3, "prefixes": [0.1, 0.4, 1.0]}, {}),
    "transcoder": ({"k": 3, "d_out": 5}, {}),
    "transcoder relu": ({"activation": "relu"}, {}),
    "transcoder jumprelu": ({"activation": "jumprelu"}, {"bandwidth": 0.7}),
    "skip_transcoder": ({"k": 3, "activation": "topk"}, {}),
    "crosscoder": ({"k": 3, "parts": 2}, {}),
    "crosscoder relu": ({"parts": 2, "activation": "relu"}, {}),
}


def configs(case: str, d_in: int = 8, d_sae: int = 20) -> tuple[SAEConfig, TrainingConfig]:
    """The named case as configs, every default filled in."""
    shape, training = CASES[case]
    sae = SAEConfig.from_dict({"architecture": case.split()[0], "d_in": d_in, "d_sae": d_sae, **shape})
    settled = TrainingConfig.from_dict({"aux_k": 4, "preact_coefficient": 0.01, **training}).settled_for(sae)
    return sae, settled


def random_sae(config: SAEConfig, seed: int = 0, dtype: torch.dtype = torch.float64) -> SAE:
    """Random weights, so that about half of the latents of a dense code are active."""
    generator = torch.Generator().manual_seed(seed)
    sae = SAE(config, dtype=dtype)
    with torch.no_grad():
        for name, weight in sae.named_parameters():
            weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64) * 0.6)
            if name == "threshold":
                weight.abs_()
        if "threshold" in dict(sae.named_buffers()):
            sae.threshold.fill_(0.9)
    return sae


def random_rows(rows: int, d: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return torch.randn(rows, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def run(steps):
    """Drive a generator to its end; returns (result, number of yields)."""
    count = 0
    while True:
        try:
            next(steps)
            count += 1
        except StopIteration as stop:
            return stop.value, count
