"""`loupe starter score`: how good the shipped starter is, on documents nothing was trained on.

Everything is computed from the folder alone. `fve_nrm` uses the denominator in the sidecars (variance of the training
activations); positions before the fifth token are left out, as analyses leave them out of summaries.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from loupe.engine.models.loading import load_model
from loupe.engine.nla.reconstructor import Reconstructor, load_reconstructor
from loupe.engine.nla.training.prompt import Prompt
from loupe.engine.nla.training.verbalizer import blindness
from loupe.engine.nla.verbalizer import Sampling, Verbalizer, load_verbalizer, parse_explanation
from loupe.engine.starter.binding import measure_binding
from loupe.engine.starter.corpus import HELD_OUT_SEED, Row, collate, make_rows
from loupe.engine.starter.explanations import Slots, names_in, read_slots
from loupe.engine.starter.nla_examples import Case, as_examples, make_cases
from loupe.engine.starter.saes.score import score_saes

TEST_SEED = HELD_OUT_SEED + 1_000_000
MAX_NEW_TOKENS = 120
BEST_OF_TEMPERATURE = 0.7


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much is scored. `small` is for trying the command."""

    documents: int = 200
    binding_documents: int = 300
    round_trip_documents: int = 200
    per_document: int = 2
    best_of_documents: int = 60
    sae_documents: int = 400
    concept_documents: int = 800

    @staticmethod
    def small() -> Sizes:
        return Sizes(12, 12, 8, 2, 4, 4, 80)


def score_starter(
    folder: Path, sizes: Sizes | None = None, on_progress: Callable[[str], None] = lambda step: None
) -> dict[str, Any]:
    """All held-out scores of a starter folder as one JSON-able dict; see `docs/glossary.md` for the measures."""
    sizes = sizes or Sizes()
    lm = load_model(folder / "model", dtype="fp32")
    speaker = load_verbalizer(folder / "nla/av", dtype="fp32")
    reader, _ = load_reconstructor(folder / "nla/ar", dtype="fp32")
    second, _ = load_reconstructor(folder / "nla/ar2", dtype="fp32")
    denominator = speaker.sidecar.fve_denominator
    assert denominator is not None, "the starter's sidecars carry their denominator"
    on_progress("language model")
    scores: dict[str, Any] = {
        "fve_denominator": denominator,
        "language_model": language_model_scores(lm, sizes.documents),
        "binding": _binding(lm, sizes.binding_documents),
    }
    on_progress("reconstructors on ground truth")
    words: Any = lm.tokenizer
    seeds = range(TEST_SEED, TEST_SEED + sizes.round_trip_documents)
    cases = list(make_cases(lm.model, words, reader.layer, seeds, sizes.per_document))
    scores["positions"] = len(cases)
    scores["reconstructor"] = {
        name: _ground_truth(one, cases, denominator) for name, one in (("first", reader), ("second", second))
    }
    on_progress("verbalizer, teacher-forced")
    prompt = Prompt(speaker.prompt.ids, speaker.prompt.slot, speaker.injection_scale)
    scores["teacher_forced_loss"] = blindness(speaker.lm.model, speaker.tokenizer, prompt, as_examples(cases[:200]))
    on_progress("round trip, greedy")
    scores["greedy"] = _greedy(speaker, reader, second, cases, denominator)
    on_progress("round trip, best of 8")
    best = cases[: sizes.best_of_documents * sizes.per_document]
    scores["best_of_8"] = _best_of(speaker, reader, second, best, denominator)
    if (folder / "saes").is_dir():
        scores["saes"] = score_saes(lm, folder / "saes", sizes.sae_documents, sizes.concept_documents, on_progress)
    return scores


def language_model_scores(lm, documents: int) -> dict[str, float]:
    """Mean negative log-likelihood per token, perplexity and top-1 on held-out documents read from their start."""
    nll, hits, count = 0.0, 0, 0
    for row in make_rows(lm.tokenizer, range(TEST_SEED, TEST_SEED + documents)):
        ids = collate([row], 0).ids
        with torch.no_grad():
            logits = lm.model(input_ids=ids).logits[0, :-1].float()
        nll += float(F.cross_entropy(logits, ids[0, 1:], reduction="sum"))
        hits += int((logits.argmax(-1) == ids[0, 1:]).sum())
        count += ids.shape[1] - 1
    mean = nll / count
    return {"nll": mean, "perplexity": float(torch.tensor(mean).exp()), "top1": hits / count, "tokens": count}


def _binding(lm, documents: int) -> dict[str, dict[str, float]]:
    def rows(genre: str) -> list[Row]:
        return make_rows(lm.tokenizer, range(TEST_SEED, TEST_SEED + documents), genre=genre)

    return {genre: measure_binding(lm.model, lm.tokenizer, rows(genre)) for genre in ("story", "mini")}


def _fve(predicted: torch.Tensor, gold: torch.Tensor, denominator: float) -> torch.Tensor:
    return 1 - 2 * (1 - F.cosine_similarity(predicted.float(), gold.float())) / denominator


def _gold(cases: Sequence[Case]) -> torch.Tensor:
    return torch.stack([case.vector for case in cases])


def _ground_truth(reader: Reconstructor, cases: list[Case], denominator: float) -> dict[str, float]:
    rebuilt, gold = reader.reconstruct([case.explained.text for case in cases]), _gold(cases)
    return {
        "fve_nrm": float(_fve(rebuilt, gold, denominator).mean()),
        "fve_nrm_shuffled": float(_fve(rebuilt, gold.roll(1, 0), denominator).mean()),
        "cosine": float(F.cosine_similarity(rebuilt, gold).mean()),
    }


def _say(speaker: Verbalizer, vectors: torch.Tensor, rollouts: int, temperature: float) -> list[list[str]]:
    sampling = Sampling(rollouts=rollouts, temperature=temperature, seed=0, max_new_tokens=MAX_NEW_TOKENS)
    return [
        [parse_explanation(one.text) or one.text for one in group] for group in speaker.verbalize(vectors, sampling)
    ]


def _greedy(
    speaker: Verbalizer, reader: Reconstructor, second: Reconstructor, cases: list[Case], denominator: float
) -> dict[str, Any]:
    gold = _gold(cases)
    texts = [group[0] for group in _say(speaker, gold, 1, 0.0)]
    rebuilt = reader.reconstruct(texts)
    fve = _fve(rebuilt, gold, denominator)
    quantiles = fve.quantile(torch.tensor([0.05, 0.25, 0.5, 0.75, 0.95])).tolist()
    return {
        "fve_nrm": float(fve.mean()),
        "fve_nrm_second_reconstructor": float(_fve(second.reconstruct(texts), gold, denominator).mean()),
        "fve_nrm_shuffled": float(_fve(rebuilt, gold.roll(1, 0), denominator).mean()),
        "fve_nrm_quantiles": dict(zip(("5", "25", "50", "75", "95"), quantiles, strict=True)),
        "cosine": float(F.cosine_similarity(rebuilt, gold).mean()),
        "agreement": slot_agreement(texts, [case.explained.slots for case in cases]),
        "names": name_scores(texts, [case.explained.names_so_far for case in cases]),
        "distinct": len(set(texts)) / len(texts),
    }


def _best_of(
    speaker: Verbalizer, reader: Reconstructor, second: Reconstructor, cases: list[Case], denominator: float
) -> dict[str, float]:
    gold = _gold(cases)
    groups = _say(speaker, gold, 8, BEST_OF_TEMPERATURE)
    flat = reader.reconstruct([text for group in groups for text in group]).view(len(cases), 8, -1)
    cosines = F.cosine_similarity(flat, gold[:, None], dim=-1)
    chosen = [group[i] for group, i in zip(groups, cosines.argmax(1).tolist(), strict=True)]
    picked = flat[torch.arange(len(cases)), cosines.argmax(1)]
    return {
        "positions": len(cases),
        "temperature": BEST_OF_TEMPERATURE,
        "fve_nrm": float(_fve(picked, gold, denominator).mean()),
        "fve_nrm_second_reconstructor": float(_fve(second.reconstruct(chosen), gold, denominator).mean()),
        "fve_nrm_mean_sample": float(1 - 2 * (1 - cosines).mean() / denominator),
        "names_in_text": name_scores(chosen, [case.explained.names_so_far for case in cases])["in_text_so_far"],
    }


def slot_agreement(texts: Sequence[str], truth: Sequence[Slots]) -> dict[str, dict[str, float]]:
    """For every slot: of the positions where the truth has a value, the share that state exactly that (`recall`); of
    the positions where a value is stated, the share where it is the truth (`precision`)."""
    stated = [read_slots(text) for text in texts]
    pairs = list(zip(stated, truth, strict=True))
    return {
        slot.name: _agreement([(getattr(s, slot.name), getattr(t, slot.name)) for s, t in pairs])
        for slot in fields(Slots)
    }


def _agreement(pairs: list[tuple[str | None, str | None]]) -> dict[str, float]:
    right = sum(said == true for said, true in pairs if true is not None)
    known, said = sum(true is not None for _, true in pairs), sum(said is not None for said, _ in pairs)
    return {"recall": right / max(1, known), "precision": right / max(1, said), "known": known, "stated": said}


def name_scores(texts: Sequence[str], so_far: Sequence[tuple[str, ...]]) -> dict[str, float]:
    """Of all names the explanations mention, the share that the text had mentioned by then; the rest is invented."""
    mentioned = [(name, names) for text, names in zip(texts, so_far, strict=True) for name in names_in(text)]
    return {
        "in_text_so_far": sum(name in names for name, names in mentioned) / max(1, len(mentioned)),
        "mentioned": len(mentioned),
    }
