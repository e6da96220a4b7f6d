"""Streamed generation: the model's own continuation, one token at a time, reproducible."""

import itertools

import pytest
import torch

from loupe.engine.errors import BadOption, EmptyText, TextTooLong
from loupe.engine.models.generate import GenerateOptions, stop_ids, stream_generate
from loupe.engine.models.hooks import HookPoint, intervene
from loupe.engine.models.sampling import sample_next
from loupe.engine.randomness import uniform
from tests.engine.models.zoo import IDS, LISTED, lm_of

PROMPT = IDS[0].tolist()
NEVER = (10_000,)


def collect(stream) -> tuple[list[int], str]:
    tokens: list[int] = []
    while True:
        try:
            tokens.append(next(stream))
        except StopIteration as end:
            return tokens, end.value


@pytest.mark.parametrize("name", LISTED)
def test_greedy_generation_with_a_cache_is_argmax_without_one(name: str) -> None:
    lm = lm_of(name)
    tokens, reason = collect(
        stream_generate(lm, PROMPT, GenerateOptions(max_new_tokens=6, temperature=0, stop_ids=NEVER))
    )
    expected = list(PROMPT)
    with torch.no_grad():
        for _ in range(6):
            expected.append(int(lm.logits(torch.tensor([expected]))[0, -1].argmax()))
    assert tokens == expected[len(PROMPT) :]
    assert reason == "length"


def test_sampled_tokens_are_a_function_of_seed_position_rollout_and_step() -> None:
    lm = lm_of("llama")
    options = GenerateOptions(
        max_new_tokens=5, temperature=1.3, top_p=0.9, seed=5, position=2, rollout=1, stop_ids=NEVER
    )
    tokens, _ = collect(stream_generate(lm, PROMPT, options))
    ids = list(PROMPT)
    with torch.no_grad():
        for step in range(5):
            noise = torch.tensor([float(uniform(5, 2, 1, step))], dtype=torch.float64)
            logits = lm.logits(torch.tensor([ids]))[:, -1]
            ids.append(int(sample_next(logits, noise, temperature=1.3, top_p=0.9)[0]))
    assert tokens == ids[len(PROMPT) :]


def test_the_same_seed_gives_the_same_text_and_another_gives_another() -> None:
    lm = lm_of("llama")
    runs = [
        tuple(collect(stream_generate(lm, PROMPT, GenerateOptions(12, temperature=3.0, seed=seed, stop_ids=NEVER)))[0])
        for seed in (1, 1, 2)
    ]
    assert runs[0] == runs[1] != runs[2]


def test_two_streams_drawn_in_turn_do_not_disturb_each_other() -> None:
    lm = lm_of("llama")
    options = [GenerateOptions(8, temperature=2.0, seed=seed, stop_ids=NEVER) for seed in (1, 2)]
    alone = [collect(stream_generate(lm, PROMPT, option))[0] for option in options]
    in_turn = list(zip(*(stream_generate(lm, PROMPT, option) for option in options), strict=True))
    assert [list(tokens) for tokens in zip(*in_turn, strict=True)] == alone


def test_generation_ends_with_the_stop_token_which_is_given_out() -> None:
    lm = lm_of("llama")
    greedy, _ = collect(stream_generate(lm, PROMPT, GenerateOptions(6, temperature=0, stop_ids=NEVER)))
    stop = greedy[2]
    tokens, reason = collect(stream_generate(lm, PROMPT, GenerateOptions(6, temperature=0, stop_ids=(stop,))))
    assert tokens == greedy[: greedy.index(stop) + 1]
    assert reason == "stop"


def test_the_models_own_end_of_sequence_stops_by_default() -> None:
    lm = lm_of("llama")
    assert stop_ids(lm) == (2,)
    assert stop_ids(lm_of("bloom")) == (2,)


def test_no_global_mode_is_changed_between_two_tokens() -> None:
    stream = stream_generate(lm_of("llama"), PROMPT, GenerateOptions(4, stop_ids=NEVER))
    for _ in itertools.islice(stream, 2):
        assert torch.is_grad_enabled()


def test_an_intervention_opened_around_each_token_steers_the_text() -> None:
    lm = lm_of("llama")
    options = GenerateOptions(4, temperature=0, stop_ids=NEVER)
    stream, steered = stream_generate(lm, PROMPT, options), []
    for _ in range(4):
        with intervene(lm, HookPoint(1), lambda value: value + 5 * torch.linspace(-1, 1, 24)):
            steered.append(next(stream))
    assert steered != list(stream_generate(lm, PROMPT, options))


def test_nothing_is_generated_when_nothing_is_asked_for() -> None:
    assert collect(stream_generate(lm_of("llama"), PROMPT, GenerateOptions(0))) == ([], "length")


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_a_text_grows_to_the_positions_the_model_was_made_for_and_no_further(name: str) -> None:
    lm = lm_of(name)
    prompt = (PROMPT * 11)[:62]
    assert lm.max_tokens == 64
    tokens, reason = collect(stream_generate(lm, prompt, GenerateOptions(100, temperature=0, stop_ids=NEVER)))
    assert (len(tokens), reason) == (3, "length")
    with pytest.raises(TextTooLong, match="65 tokens; the model was made for 64"):
        next(stream_generate(lm, (PROMPT * 11)[:65]))


def test_a_model_that_announces_no_length_is_not_held_to_one() -> None:
    assert lm_of("bloom").max_tokens is None
    assert len(list(stream_generate(lm_of("bloom"), PROMPT, GenerateOptions(3, stop_ids=NEVER)))) == 3


def test_an_empty_prompt_is_refused() -> None:
    with pytest.raises(EmptyText):
        next(stream_generate(lm_of("llama"), []))


@pytest.mark.parametrize(
    "options", [GenerateOptions(max_new_tokens=-1), GenerateOptions(temperature=-1), GenerateOptions(top_p=0)]
)
def test_options_out_of_range_are_refused_before_the_first_token(options: GenerateOptions) -> None:
    with pytest.raises(BadOption):
        next(stream_generate(lm_of("llama"), PROMPT, options))
