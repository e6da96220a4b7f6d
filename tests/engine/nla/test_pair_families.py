"""Families against the plainest code: BOS models, scaled embeddings, windows, softcaps, sinks, a wrapper."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from loupe.engine.nla.extraction import extract
from loupe.engine.nla.replacement import kl_of_replacement, naive_kl
from loupe.engine.nla.verbalizer import Sampling
from tests.engine.nla import by_the_book
from tests.engine.nla.tiny_pairs import BOS_FAMILIES, LAYER, write_pair

FAMILIES = [*BOS_FAMILIES, "qwen3", "mixtral", "gpt2", "gpt_oss", "falcon"]
TEXTS = ["A fox at dawn.", "A fox at noon, {braced} 狐", "", "  A fox at dawn.\n", "boats and rivers, and more of them"]


@pytest.fixture(scope="module", params=FAMILIES)
def case(request, tmp_path_factory):
    folders = write_pair(tmp_path_factory.mktemp(request.param), request.param)
    model, pair = folders.load()
    ids = model.tokenizer.encode("The quick brown fox crossed the river.")
    return folders, model, pair, ids


def test_activations_are_the_output_of_block_k(case):
    folders, model, _, ids = case
    torch.testing.assert_close(extract(model, ids, LAYER), by_the_book.activations(folders.base, ids, LAYER))


def test_the_rows_that_enter_the_verbalizer_are_exact(case, monkeypatch):
    folders, model, pair, ids = case
    verbalizer, entered = pair.verbalizer, []
    vector = extract(model, ids, LAYER)[3]
    verbalizer._kept = None
    real = verbalizer.lm.backbone.forward
    monkeypatch.setattr(
        verbalizer.lm.backbone,
        "forward",
        lambda **inputs: entered.append(inputs["inputs_embeds"][0]) or real(**inputs),
    )
    verbalizer.prefill(vector[None])
    want = by_the_book.prompt_rows(folders.av, verbalizer.lm.model, vector)
    assert torch.equal(torch.cat(entered), want)


def test_greedy_rollouts_are_those_of_whole_forwards(case):
    folders, model, pair, ids = case
    vectors = extract(model, ids, LAYER)[:3]
    assert list(pair.verbalizer.prompt.ids) == by_the_book.prompt_ids(folders.av)
    rollouts = pair.verbalizer.verbalize(vectors, Sampling(temperature=0, max_new_tokens=10))
    for vector, row in zip(vectors, rollouts, strict=True):
        ids, logits = by_the_book.greedy(folders.av, vector, 10)
        stop = ids.index(2) + 1 if 2 in ids else 10
        assert list(row[0].ids) == ids[:stop]
        gaps = [(top := step.topk(2).values)[0] - top[1] for step in logits]
        assert min(gaps) > 1e-5, "this seed decides nothing: two logits tie"


def test_reconstructions_are_those_of_whole_forwards(case):
    folders, _, pair, _ = case
    rebuilt = pair.reconstructor.reconstruct(TEXTS)
    want = torch.stack([by_the_book.reconstruct(folders.ar, text) for text in TEXTS])
    torch.testing.assert_close(rebuilt, want, atol=1e-4, rtol=1e-4)
    gold = torch.linspace(-1, 1, 32).expand(len(TEXTS), -1)
    for scores, cosine in zip(pair.reconstructor.score(TEXTS, gold), F.cosine_similarity(want, gold), strict=True):
        assert scores.cosine == pytest.approx(float(cosine), abs=1e-5)
        assert scores.mse_nrm == pytest.approx(2 * (1 - float(cosine)), abs=1e-5)
    assert torch.equal(rebuilt[0], rebuilt[3])


def test_replacement_kl_is_that_of_two_whole_forwards(case):
    _, model, _, ids = case
    for layer in (LAYER, model.n_layers - 1):
        clean = extract(model, ids, layer)
        changed = clean.flip(0)
        fast = kl_of_replacement(model, ids, layer, changed)
        slow = [naive_kl(model, ids, layer, p, clean[p], changed[p]) for p in range(len(ids))]
        assert fast == pytest.approx(slow, abs=1e-4)
        assert max(slow) > 1e-3
