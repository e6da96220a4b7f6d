"""The stages of the starter build that make its natural-language autoencoder, and a reconstructor to check it by."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, TypeVar

import torch

from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model
from loupe.engine.nla.metrics import baselines
from loupe.engine.nla.reconstructor import load_reconstructor
from loupe.engine.nla.sidecar import Role, load_sidecar
from loupe.engine.nla.training.examples import Examples
from loupe.engine.nla.training.export import PairFacts, prompt_ids, save_reconstructor, save_verbalizer
from loupe.engine.nla.training.growth import widen_mlps
from loupe.engine.nla.training.improvement import ImprovementRecipe, Sample, improve_verbalizer
from loupe.engine.nla.training.prompt import Prompt
from loupe.engine.nla.training.reconstructor import Reconstruction, ReconstructorRecipe, train_reconstructor
from loupe.engine.nla.training.spelling import Spelling, SpellingRecipe, train_spelling
from loupe.engine.nla.training.verbalizer import VerbalizerRecipe, blindness, train_verbalizer
from loupe.engine.nla.verbalizer import Sampling, Verbalizer, parse_explanation
from loupe.engine.starter.corpus import HELD_OUT_SEED
from loupe.engine.starter.explanations import quoted, telling_spans
from loupe.engine.starter.nla_examples import FIRST_POSITION, as_examples, make_cases
from loupe.engine.starter.stages import StageProgress, Workshop

Trained = TypeVar("Trained", bound=torch.nn.Module)

LAYER = 3
SIGN = "㈎"
VERBALIZER_TEMPLATE = (
    "Tell of <concept>{injection_char}</concept> who, what and where, the words read last, and what comes next."
)
RECONSTRUCTOR_TEMPLATE = "Summary of the following text: <text>{explanation}</text> <summary>"
PER_DOCUMENT = 10
MAX_NEW_TOKENS = 120


def load_stage(workshop: Workshop, name: str) -> tuple[LanguageModel, Any]:
    """What a stage left, in fp32, with its tokenizer."""
    lm = load_model(workshop.result(name), dtype="fp32")
    return lm, lm.tokenizer


def examples(workshop: Workshop, first: int, documents: int) -> Iterator[StageProgress]:
    """Activations with explanations, at random tokens of fresh documents: those of the seeds from `first` on."""
    lm, words = load_stage(workshop, "language_model")
    seeds = range(first, first + documents)
    cases = []
    for case in make_cases(lm.model, words, LAYER, seeds, PER_DOCUMENT):
        cases.append(case)
        if len(cases) % 2000 == 0:
            yield StageProgress("examples", len(cases), documents * PER_DOCUMENT, {})
    made = as_examples(cases)
    made.save(workshop.result("examples.part"))
    _write_facts(workshop, made)
    for suffix in (".json", ".safetensors"):
        workshop.result("examples.part").with_suffix(suffix).replace(workshop.result("examples").with_suffix(suffix))
    yield StageProgress("examples", len(cases), len(cases), {})


def _write_facts(workshop: Workshop, made: Examples) -> None:
    d_model = made.vectors.shape[1]
    facts = PairFacts(
        layer=LAYER,
        d_model=d_model,
        injection_char=SIGN,
        verbalizer_template=VERBALIZER_TEMPLATE,
        reconstructor_template=RECONSTRUCTOR_TEMPLATE,
        injection_scale=round(float(made.vectors.norm(dim=-1).mean()), 3),
        fve_denominator=round(baselines(made.vectors, d_model**0.5).variance, 6),
        min_position=FIRST_POSITION,
        base_checkpoint="loupe-starter",
        trained_on=f"{len(made)} tokens of story-world documents",
    )
    workshop.result("facts.json").write_text(json.dumps(asdict(facts)), encoding="utf-8")


def read_facts(workshop: Workshop) -> PairFacts:
    return PairFacts(**json.loads(workshop.result("facts.json").read_text(encoding="utf-8")))


def reconstructor(workshop: Workshop, name: str, recipe: ReconstructorRecipe) -> Iterator[StageProgress]:
    """Train one reconstructor from one seed."""
    torch.manual_seed(recipe.seed)
    (base, words), facts = load_stage(workshop, "language_model"), read_facts(workshop)
    model = _trainable(Reconstruction(base.model, LAYER))
    made = Examples.load(workshop.result("examples"))
    stream = train_reconstructor(model, words, facts.reconstructor_template, made, recipe, workshop.checkpoint(name))
    for step, steps, loss in stream:
        yield StageProgress(name, step, steps, {"mse_nrm": loss, "fve_nrm": 1 - loss / facts.fve_denominator})
    with workshop.publishing(name) as folder:
        save_reconstructor(model, base.model, words, facts, folder)


def verbalizer(workshop: Workshop, name: str, source: str, recipe: VerbalizerRecipe) -> Iterator[StageProgress]:
    """A supervised round on what `source` left; measures every 250 steps whether the verbalizer reads its input."""
    torch.manual_seed(recipe.seed)
    (start, words), facts = load_stage(workshop, source), read_facts(workshop)
    if recipe.mlp_width is not None:
        widen_mlps(start.model, recipe.mlp_width)
    model = _trainable(start.model)
    prompt = prompt_of(words, facts)
    made, held_out = Examples.load(workshop.result("examples")), held_out_examples(workshop, 96)
    stream = train_verbalizer(model, words, prompt, made, recipe, workshop.checkpoint(name), telling_spans, quoted)
    for step, steps, loss in stream:
        measures = {"loss": loss}
        if step % 250 == 0 or step == steps:
            measures |= {f"loss_{kind}": value for kind, value in blindness(model, words, prompt, held_out).items()}
        yield StageProgress(name, step, steps, measures)
    with workshop.publishing(name) as folder:
        save_verbalizer(model, words, facts, folder)


def spelling(workshop: Workshop, name: str, source: str, recipe: SpellingRecipe) -> Iterator[StageProgress]:
    """Let the first blocks of what `source` left spell the words that the activation remembers."""
    torch.manual_seed(recipe.seed)
    (start, words), facts = load_stage(workshop, source), read_facts(workshop)
    made = Examples.load(workshop.result("examples"))
    task = Spelling(
        start.model, words, prompt_of(words, facts), made, quoted, rows=recipe.rows, seed=recipe.seed
    )  # fmt: skip
    for step, steps, spelled in train_spelling(start.model, task, recipe, workshop.checkpoint(name)):
        right = {f"right_{distance}": share for distance, share in enumerate(reversed(spelled.right), 1)}
        yield StageProgress(name, step, steps, {"loss": float(spelled.loss.detach()), **right})
    with workshop.publishing(name) as folder:
        save_verbalizer(start.model, words, facts, folder)


def improvement(
    workshop: Workshop, name: str, source: str, reader: str, recipe: ImprovementRecipe
) -> Iterator[StageProgress]:
    """Policy gradient on the verbalizer that `source` left, with the cosine of the reconstructor `reader` as reward."""
    torch.manual_seed(recipe.seed)
    facts = read_facts(workshop)
    lm, words = load_stage(workshop, source)
    judge, _ = load_reconstructor(workshop.result(reader), dtype="fp32")
    speaker = Verbalizer(lm, load_sidecar(workshop.result(source), Role.VERBALIZER))
    made = Examples.load(workshop.result("examples"))

    def sample(vectors: torch.Tensor, samples: int, temperature: float, seed: int) -> list[list[Sample]]:
        lm.model.eval()
        sampling = Sampling(rollouts=samples, temperature=temperature, seed=seed, max_new_tokens=MAX_NEW_TOKENS)
        return [
            [Sample(list(one.ids), parse_explanation(one.text)) for one in group]
            for group in speaker.verbalize(vectors, sampling)
        ]

    stream = improve_verbalizer(
        _trainable(lm.model), words, prompt_of(words, facts), made, sample, judge.reconstruct, recipe,
        workshop.checkpoint(name),
    )  # fmt: skip
    for turn in stream:
        fve = [1 - 2 * (1 - value) / facts.fve_denominator for value in (turn.mean_cosine, turn.best_cosine)]
        measures = {"fve_mean": fve[0], "fve_best": fve[1], "readable": turn.readable}
        yield StageProgress(name, turn.done, turn.rounds, measures)
    with workshop.publishing(name) as folder:
        save_verbalizer(lm.model, words, facts, folder)


def held_out_examples(workshop: Workshop, documents: int, per_document: int = 2) -> Examples:
    """Examples of documents no stage trains on."""
    lm, words = load_stage(workshop, "language_model")
    seeds = range(HELD_OUT_SEED + 10_000, HELD_OUT_SEED + 10_000 + documents)
    return as_examples(list(make_cases(lm.model, words, LAYER, seeds, per_document)))


def prompt_of(words, facts: PairFacts) -> Prompt:
    ids = prompt_ids(words, facts)
    (sign,) = words.encode(facts.injection_char, add_special_tokens=False)
    return Prompt(tuple(ids), ids.index(sign), facts.injection_scale)


def _trainable(model: Trained) -> Trained:
    model.requires_grad_(True)
    return model.train()
