"""The public contract against numbers that were made elsewhere, with the public code."""

from __future__ import annotations

import pytest
import torch

from loupe.engine.models.loading import load_model
from loupe.engine.nla.extraction import extract
from loupe.engine.nla.pair import load_pair
from loupe.engine.nla.prompt import injected_rows
from loupe.engine.nla.verbalizer import Sampling
from tests.engine.nla.tiny_pairs import GOLDEN, expected


@pytest.fixture(scope="module")
def golden():
    model = load_model(GOLDEN / "base")
    return model, load_pair(model, GOLDEN / "av", GOLDEN / "ar"), expected()


def test_prompt_ids_and_slot_are_exact(golden):
    _, pair, want = golden
    assert list(pair.verbalizer.prompt.ids) == want["prompt_ids"]
    assert pair.verbalizer.prompt.slot == want["slot"]
    assert pair.verbalizer.embed_scale == want["embed_scale"]
    assert pair.layer == want["K"]


def test_text_and_activations_are_those_of_block_k(golden):
    model, pair, want = golden
    assert model.tokenizer.encode(want["text"]) == want["token_ids"]
    activations = extract(model, want["token_ids"], pair.layer)
    torch.testing.assert_close(activations, torch.tensor(want["activations"]), atol=1e-5, rtol=1e-5)


def test_injected_rows_are_exact(golden):
    _, pair, want = golden
    rows = injected_rows(torch.tensor(want["activations"]), pair.verbalizer.injection_scale)
    assert torch.equal(rows, torch.tensor(want["injected_rows"]))


def test_greedy_ids_are_exact(golden):
    _, pair, want = golden
    steps = len(want["greedy_ids"][0])
    sampling = Sampling(temperature=0, max_new_tokens=steps)
    rollouts = pair.verbalizer.verbalize(torch.tensor(want["activations"]), sampling)
    assert [list(row[0].ids) for row in rollouts] == want["greedy_ids"]


def test_reconstructions_and_scores_match(golden):
    _, pair, want = golden
    texts = [entry["explanation"] for entry in want["scores"]]
    rebuilt = pair.reconstructor.reconstruct(texts)
    want_rebuilt = torch.tensor([entry["reconstruction"] for entry in want["scores"]])
    torch.testing.assert_close(rebuilt, want_rebuilt, atol=1e-4, rtol=0)
    gold = torch.tensor(want["activations"])[want["scored_position"]].expand(len(texts), -1)
    for scores, entry in zip(pair.reconstructor.score(texts, gold), want["scores"], strict=True):
        assert scores.mse_nrm == pytest.approx(entry["mse_nrm"], abs=1e-5)
        assert scores.cosine == pytest.approx(entry["cos"], abs=1e-5)
