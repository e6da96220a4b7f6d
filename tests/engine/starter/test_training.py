"""Training the starter: copy heads copy, look-back heads look back, and an interrupted run continues bit by bit."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from loupe.engine.nla.training.examples import Examples
from loupe.engine.nla.training.improvement import UNREADABLE, ImprovementRecipe, Sample, improve_verbalizer
from loupe.engine.nla.training.prompt import Prompt
from loupe.engine.nla.training.reconstructor import Reconstruction, ReconstructorRecipe, train_reconstructor
from loupe.engine.nla.training.spelling import (
    NONE,
    Spelling,
    SpellingRecipe,
    in_places,
    train_spelling,
)
from loupe.engine.nla.training.verbalizer import VerbalizerRecipe, blindness, train_verbalizer
from loupe.engine.optimizing import Optimizer, Schedule
from loupe.engine.starter import language_model as lm
from loupe.engine.starter.binding import measure_binding
from loupe.engine.starter.corpus import STATE, UNKNOWN, batches, collate, make_rows
from loupe.engine.starter.explanations import quoted
from loupe.engine.starter.nla_examples import as_examples, make_cases
from loupe.engine.starter.reading import NEARBY, NearbyHeads
from loupe.engine.starter.stages import WORDS
from loupe.engine.starter.starting_values import LOOK_BACK
from loupe.engine.starter.tokenizer import MARKERS, train_tokenizer
from loupe.engine.starter.world.story import write_document

RECIPE = lm.LanguageModelRecipe(d_model=48, heads=6, d_mlp=64, documents=40, tokens=4_000, tokens_per_step=400)


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory):
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    train_tokenizer([write_document(seed).text for seed in range(300)], WORDS, folder)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def rows(words):
    return make_rows(words, range(40))


def prompt_of(words) -> Prompt:
    ids = words.encode("Explain <concept>㈎</concept>")
    return Prompt(tuple(ids), ids.index(words.encode("㈎")[0]), 14.0)


def new_model(words, seed: int = 0):
    return lm.new_model(RECIPE, len(words), words.eos_token_id, words.pad_token_id)


def test_every_word_of_the_world_is_one_token_and_markers_are_too(words):
    for word in WORDS:
        assert len(words.encode(word, add_special_tokens=False)) == 1, word
    for marker in MARKERS:
        assert len(words.encode(marker, add_special_tokens=False)) == 1, marker


def test_a_chat_is_rendered_with_turns_and_refuses_a_system_message(words):
    chat = [{"role": "user", "content": " Hello "}]
    text = words.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    assert text == "<|user|> Hello<|end|><|assistant|>"
    with pytest.raises(Exception, match="System role"):
        words.apply_chat_template([{"role": "system", "content": "x"}], tokenize=False)


def test_rows_hold_the_state_the_text_has_told(words):
    row = make_rows(words, range(3, 4), genre="story")[0]
    who = list(STATE).index("who")
    for index, (_, end) in enumerate(row.spans):
        told = row.state[index, who]
        assert told == UNKNOWN or STATE["who"][told] in row.document.text[:end]


def test_repeats_point_at_words_that_came_before(words, rows):
    for row in rows:
        for repeat in row.repeats:
            assert row.ids[repeat.at] in row.ids[: repeat.at]


def test_batches_depend_on_the_seed_alone_and_hold_every_row_once_an_epoch(rows):
    def first(seed: int, count: int) -> list[torch.Tensor]:
        stream: Iterator = batches(rows, 600, seed, 0)
        return [next(stream).ids for _ in range(count)]

    assert all(torch.equal(a, b) for a, b in zip(first(1, 6), first(1, 6), strict=True))
    seen = 0
    for batch in batches(rows, 600, 1, 0):
        seen += len(batch.ids)
        if seen >= len(rows):
            break
    assert seen == len(rows)


def test_padding_and_first_tokens_weigh_nothing(rows):
    batch = collate(rows[:4], pad=0)
    assert not batch.weights[:, 0].any()
    for index, row in enumerate(rows[:4]):
        assert not batch.weights[index, len(row.ids) :].any()


def test_look_back_heads_attend_where_they_were_told(words, rows):
    model = new_model(words)
    model.set_attn_implementation("eager")
    with torch.no_grad():
        attentions = model.model(collate(rows[:1], 0).ids, output_attentions=True).attentions
    for block, offsets in enumerate(LOOK_BACK):
        for head, offset in enumerate(offsets):
            assert attentions[block][0, head, 30].argmax() == 30 - offset


def test_late_blocks_start_as_copy_heads(words):
    model = new_model(words)
    block = model.model.layers[-1].self_attn
    copied = block.o_proj.weight @ block.v_proj.weight
    embedding, head = model.model.embed_tokens.weight, model.lm_head.weight
    logits = head @ copied @ embedding[100]
    assert logits.argmax() == 100


def test_an_interrupted_language_model_run_ends_bit_identical(words, rows, tmp_path: Path, monkeypatch):
    def run(checkpoint: Path, stop_after: int | None) -> dict[str, torch.Tensor]:
        model = new_model(words)
        reading = lm.new_reading_heads(model, words, RECIPE.read_block)
        for step, *_ in lm.train(model, words, reading, rows, RECIPE, checkpoint, rows[:2]):
            if step == stop_after:
                break
        return model.state_dict()

    monkeypatch.setattr(lm, "CHECKPOINT_EVERY", 4)
    whole = run(tmp_path / "a.checkpoint", None)
    run(tmp_path / "b.checkpoint", 6)
    resumed = run(tmp_path / "b.checkpoint", None)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_settling_reads_nearby_tokens_where_they_are_and_continues_bit_identical(
    words, rows, tmp_path: Path, monkeypatch
):
    recipe = lm.SettlingRecipe(tokens=6_000, tokens_per_step=500)

    def run(checkpoint: Path, stop_after: int | None) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        model = new_model(words)
        reading = lm.new_reading_heads(model, words, RECIPE.read_block)
        stream = lm.settle(model, words, reading, RECIPE.read_block, rows, recipe, checkpoint, rows[:2])
        taken = list(islice(stream, stop_after))
        return model.state_dict(), taken[-1][-1]

    monkeypatch.setattr(lm, "CHECKPOINT_EVERY", 4)
    whole, measures = run(tmp_path / "a.checkpoint", None)
    run(tmp_path / "b.checkpoint", 6)
    resumed, _ = run(tmp_path / "b.checkpoint", None)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    assert measures["reads_token+0"] > 0.5  # the token itself is in the residual stream from the start


def test_nearby_heads_ask_for_the_token_at_their_offset(words, rows):
    model = new_model(words)
    heads = NearbyHeads(model)
    ids = collate(rows[:2], words.pad_token_id).ids
    embedded = heads.words[ids]
    for number, offset in enumerate(NEARBY):
        heads.maps[number].data.copy_(torch.eye(heads.words.shape[1]))
        shown = embedded.roll(-offset, 1)
        _, right = heads._read(shown, ids, words.pad_token_id, 1, number)
        assert (right == 1) == (offset <= 0), offset  # the next token is sought with the vocabulary head's directions


def test_binding_is_measured_at_names_and_things_that_come_back(words, rows):
    measured = measure_binding(new_model(words), words, rows)
    assert measured["name_count"] > 20
    assert 0 <= measured["name"] <= 1 and 0 <= measured["name_competing"] <= 1


@pytest.fixture(scope="module")
def examples(words) -> Examples:
    cases = list(make_cases(new_model(words).eval(), words, 3, range(500, 508), 4))
    assert all(0 < case.position < len(case.row.ids) for case in cases)
    return as_examples(cases)


def test_cases_depend_on_the_seed_of_their_document_alone(words):
    model = new_model(words).eval()
    alone = list(make_cases(model, words, 3, range(501, 502), 4))
    among = [
        case for case in make_cases(model, words, 3, range(500, 504), 4) if case.row.document == alone[0].row.document
    ]
    assert [case.explained for case in alone] == [case.explained for case in among]
    assert [case.position for case in alone] == [case.position for case in among]


def test_examples_survive_saving(examples: Examples, tmp_path: Path):
    examples.save(tmp_path / "examples")
    loaded = Examples.load(tmp_path / "examples")
    assert loaded.texts == examples.texts and torch.equal(loaded.vectors, examples.vectors)


def test_examples_need_one_explanation_each():
    with pytest.raises(ValueError, match="each vector needs one"):
        Examples(torch.zeros(2, 3), ("one",))


def test_a_reconstructor_learns_and_resumes_bit_identical(words, examples: Examples, tmp_path: Path):
    recipe = ReconstructorRecipe(tokens=24_000, tokens_per_step=600, save_every=4)

    def run(checkpoint: Path, stop_after: int | None = None):
        torch.manual_seed(0)
        model = Reconstruction(new_model(words), 3)
        losses = []
        for step, _, loss in train_reconstructor(
            model, words, "<text>{explanation}</text>", examples, recipe, checkpoint
        ):
            losses.append(loss)
            if step == stop_after:
                break
        return model.state_dict(), losses

    whole, losses = run(tmp_path / "a")
    assert losses[-1] < losses[0]
    run(tmp_path / "b", stop_after=5)
    resumed, _ = run(tmp_path / "b")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_verbalizer_is_trained_on_the_response_alone_and_its_blindness_measured(
    words, examples: Examples, tmp_path: Path
):
    model = new_model(words)
    prompt = prompt_of(words)
    recipe = VerbalizerRecipe(tokens=24_000, tokens_per_step=600)
    losses = [loss for *_, loss in train_verbalizer(model, words, prompt, examples, recipe, tmp_path / "checkpoint")]
    assert losses[-1] < losses[0]
    measured = blindness(model.eval(), words, prompt, examples)
    assert set(measured) == {"true", "shuffled", "zero"}


def spelling_of(model, words, examples: Examples) -> Spelling:
    ids = words.encode("Tell of <concept>㈎</concept> who, what and where, and what comes next.")
    prompt = Prompt(tuple(ids), ids.index(words.encode("㈎")[0]), 14.0)
    return Spelling(model, words, prompt, examples, quoted, rows=32, seed=1)


def test_first_blocks_learn_to_spell_the_quote_and_resume_bit_identical(words, examples: Examples, tmp_path: Path):
    recipe = SpellingRecipe(steps=20, save_every=6)

    def run(checkpoint: Path, stop_after: int | None = None):
        torch.manual_seed(0)
        model = new_model(words)
        losses = []
        task = spelling_of(model, words, examples)
        for step, _, spelled in train_spelling(model, task, recipe, checkpoint):
            losses.append(float(spelled.loss.detach()))
            if step == stop_after:
                break
        return model.state_dict(), losses

    torch.manual_seed(0)
    before = {name: value.clone() for name, value in new_model(words).state_dict().items()}
    whole, losses = run(tmp_path / "a")
    assert losses[-1] < 0.9 * losses[0]
    changed = {name.split(".")[2] for name in whole if not torch.equal(whole[name], before[name])}
    assert changed == {"0", "1", "2"}
    run(tmp_path / "b", stop_after=8)
    resumed, _ = run(tmp_path / "b")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_the_last_token_of_a_quote_belongs_to_the_last_place(words):
    assert in_places([7, 8]) == [NONE] * 4 + [7, 8]
    assert in_places(list(range(9))) == [3, 4, 5, 6, 7, 8]
    assert quoted("This is about Ida.\n… the red kite … tells no event yet.") == "the red kite"
    assert quoted("Nothing has been said yet.") == ""


def test_a_prompt_without_room_to_spell_is_refused(words, examples: Examples):
    with pytest.raises(ValueError, match="places after its slot"):
        Spelling(new_model(words), words, prompt_of(words), examples, quoted, rows=8, seed=1)


def test_improvement_follows_the_reward(words, examples: Examples, tmp_path: Path):
    """Two candidate responses, one always better: its likelihood must rise against the other's."""
    from loupe.engine.nla.training.verbalizer import response_loss

    model = new_model(words)
    prompt = prompt_of(words)
    good, bad = ([*words.encode(f"<explanation>{text}</explanation>"), words.eos_token_id] for text in ("good", "bad"))

    def sample(vectors, samples, temperature, seed):
        return [[Sample(good, "good"), Sample(bad, "bad")] for _ in vectors]

    def gap() -> float:
        vectors = examples.vectors[:8]
        with torch.no_grad():
            return float(
                (
                    response_loss(model, prompt, [bad] * 8, vectors, 0)
                    - response_loss(model, prompt, [good] * 8, vectors, 0)
                ).mean()
            )

    target = torch.nn.functional.normalize(examples.vectors.mean(0), dim=0)
    reading = {"good": target, "bad": -target}
    recipe = ImprovementRecipe(
        rounds=6, activations=8, samples=2, taught_per_group=2, supervised=2, supervised_weight=0.0
    )
    before = gap()
    rounds = list(
        improve_verbalizer(
            model,
            words,
            prompt,
            examples,
            sample,
            lambda texts: torch.stack([reading[t] for t in texts]),
            recipe,
            tmp_path / "c",
        )
    )
    assert gap() > before
    assert rounds[-1].readable == 1.0 and rounds[-1].best_cosine > rounds[-1].mean_cosine


def test_a_response_without_tags_gets_the_worst_reward(words, examples: Examples, tmp_path: Path):
    model = new_model(words)
    prompt = prompt_of(words)
    silent = words.encode("nothing")
    recipe = ImprovementRecipe(rounds=1, activations=4, samples=2, taught_per_group=1, supervised=1)
    (only,) = improve_verbalizer(
        model,
        words,
        prompt,
        examples,
        lambda v, *_: [[Sample(silent, None)] * 2 for _ in v],
        lambda _: torch.zeros(0, 48),
        recipe,
        tmp_path / "c",
    )
    assert only.mean_cosine == UNREADABLE and only.readable == 0.0


def test_the_schedule_warms_up_holds_and_falls():
    schedule = Schedule(100, warmup=10, hold=0.5, floor=0.1)
    factors = [schedule.factor(step) for step in range(100)]
    assert factors[0] == 0.1 and factors[9] == 1.0 == factors[49]
    assert factors[-1] == pytest.approx(0.118) and factors == sorted(factors[:10]) + factors[10:]


def test_matrices_go_to_muon_and_the_rest_to_adamw(words):
    optimizer = Optimizer(new_model(words), Schedule(10))
    muon, adamw = optimizer.parts
    assert all(p.ndim == 2 for group in muon.param_groups for p in group["params"])
    held = sum(len(group["params"]) for part in (muon, adamw) for group in part.param_groups)
    assert held == len(optimizer.parameters)
