"""Latents that never fire can be left out, and nothing else changes."""

import pytest
import torch

from loupe.engine.sae.config import SAEConfig
from loupe.engine.sae.pruning import fires, pruned
from loupe.engine.sae.sae import SAE


def random_sae(architecture: str, **options) -> SAE:
    sae = SAE(SAEConfig.from_dict({"architecture": architecture, "d_in": 8, "d_sae": 24, **options}))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for value in sae.state_dict().values():
            value.copy_(torch.randn(value.shape, generator=generator))
    return sae


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("batchtopk", {"k": 4}),
        ("topk", {"k": 3}),
        ("gated", {}),
        ("jumprelu", {}),
        ("transcoder", {"k": 4, "d_out": 6}),
        ("skip_transcoder", {"k": 4, "d_out": 6}),
    ],
)
def test_without_the_silent_latents_the_reconstruction_is_the_same(architecture, options):
    sae, rows = random_sae(architecture, **options), torch.randn(40, 8, generator=torch.Generator().manual_seed(1))
    rows = rows[:5]  # few rows leave some latents silent
    active = fires(sae, rows)
    assert 0 < int(active.sum()) < 24
    smaller = pruned(sae, active)
    assert smaller.d_sae == smaller.W_dec.shape[0] == int(active.sum())
    torch.testing.assert_close(smaller(rows), sae(rows))
    torch.testing.assert_close(smaller.encode(rows), sae.encode(rows)[:, active])


def test_an_sae_whose_latents_all_fire_is_left_as_it_is():
    sae = random_sae("batchtopk", k=4)
    assert pruned(sae, torch.ones(24, dtype=torch.bool)) is sae
