"""Probing: a feature that is a concept is found and scored on other tokens; chance does not look like knowledge."""

import pytest
import torch

from loupe.engine.errors import BadInput, BadOption
from loupe.engine.sae.probing import f1_score, probe_concepts
from loupe.engine.sae.topk import SparseActs

N, D_SAE = 2000, 40
SCORED = torch.arange(N) >= N // 2


def world(seed: int = 0):
    """Latent 7 is "cat" with some noise below; latents 3 and 5 each say half of "dog"; the rest is noise."""
    generator = torch.Generator().manual_seed(seed)
    cat, dog, left = (torch.rand(N, generator=generator) < share for share in (0.1, 0.2, 0.5))
    dense = torch.relu(torch.rand(N, D_SAE, generator=generator) - 0.9) * 5
    dense[:, 7] = cat * (1 + torch.rand(N, generator=generator)) + 0.1 * torch.rand(N, generator=generator)
    dense[:, 3], dense[:, 5] = (dog & left) * 1.0, (dog & ~left) * 2.0
    values, indices = dense.topk(12, dim=1)
    return SparseActs(values, indices), {"cat": cat, "dog": dog, "coin": torch.rand(N, generator=generator) < 0.3}


def test_a_feature_that_is_a_concept_is_found_with_its_threshold():
    acts, concepts = world()
    cat, dog, coin = probe_concepts(acts, D_SAE, concepts, SCORED)
    assert cat.features == (7,)
    assert cat.f1 > 0.99
    assert 0.1 < cat.threshold < 1.1
    assert dog.features in ((3,), (5,))
    assert 0.5 < dog.f1 < 0.8
    assert coin.f1 < coin.chance + 0.05


def test_two_features_know_what_one_does_not():
    acts, concepts = world()
    cat, dog, coin = probe_concepts(acts, D_SAE, concepts, SCORED, k=2)
    assert set(dog.features) == {3, 5}
    assert dog.f1 > 0.99
    assert cat.f1 > 0.99
    assert coin.f1 < coin.chance + 0.05


def test_scores_are_on_tokens_that_did_not_choose():
    acts, concepts = world()
    flipped = {"cat": torch.where(SCORED, ~concepts["cat"], concepts["cat"])}
    assert probe_concepts(acts, D_SAE, flipped, SCORED)[0].f1 < 0.05


def test_rare_concepts_are_left_out():
    acts, _ = world()
    rare = torch.zeros(N, dtype=torch.bool).index_fill(0, torch.arange(10), True)
    assert probe_concepts(acts, D_SAE, {"rare": rare}, SCORED) == ()


def test_f1_by_hand():
    said, true = torch.tensor([1, 1, 1, 0]).bool(), torch.tensor([1, 0, 1, 1]).bool()
    assert f1_score(said, true) == (pytest.approx(2 / 3), pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert f1_score(~said & said, true) == (0, 0, 0)


def test_what_makes_no_sense_is_refused():
    acts, concepts = world()
    with pytest.raises(BadOption):
        probe_concepts(acts, D_SAE, concepts, SCORED, k=D_SAE + 1)
    with pytest.raises(BadInput):
        probe_concepts(acts, D_SAE, concepts, SCORED[:5])
