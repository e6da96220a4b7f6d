"""Finding slots and writing vectors into them."""

from __future__ import annotations

import pytest
import torch

from loupe.engine.errors import PromptDrift, SidecarUnreadable, WidthMismatch
from loupe.engine.nla.prompt import build_prompt, embed_scale_of, find_slots, inject, injected_rows, prompt_rows, render
from loupe.engine.nla.sidecar import InjectionTokens, Role, parse_sidecar
from tests.engine.nla.tiny_pairs import GOLDEN, read_sidecar, tiny_config, tiny_tokenizer

SIGN = InjectionTokens("㈎", token_id=9, left_id=4, right_id=5)


def test_a_slot_needs_both_neighbours_and_is_never_at_an_end():
    ids = torch.tensor([[4, 9, 5, 9, 5], [9, 5, 4, 9, 5], [0, 4, 9, 4, 9]])
    assert find_slots(ids, SIGN).tolist() == [[0, 1], [1, 3]]


def test_a_sequence_of_one_or_two_tokens_has_no_slot():
    assert find_slots(torch.tensor([[9]]), SIGN).tolist() == []
    assert find_slots(torch.tensor([[9, 5]]), SIGN).tolist() == []


def test_vectors_are_written_in_row_major_order_into_a_copy():
    ids = torch.tensor([[4, 9, 5, 4, 9, 5], [0, 4, 9, 5, 0, 0]])
    embeds = torch.zeros(2, 6, 2)
    vectors = torch.tensor([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]])
    injected = inject(ids, embeds, vectors, SIGN)
    assert injected[:, :, 0].tolist() == [[0, 1, 0, 0, 2, 0], [0, 0, 3, 0, 0, 0]]
    assert not embeds.any()


def test_more_or_fewer_slots_than_vectors_are_an_error():
    ids = torch.tensor([[4, 9, 5]])
    for count in (0, 2):
        with pytest.raises(PromptDrift, match=f"1 slots .* {count} vectors"):
            inject(ids, torch.zeros(1, 3, 2), torch.ones(count, 2), SIGN)


def test_a_vector_of_another_width_is_an_error():
    with pytest.raises(WidthMismatch, match="width 3"):
        inject(torch.tensor([[4, 9, 5]]), torch.zeros(1, 3, 2), torch.ones(1, 3), SIGN)


def test_prompt_rows_are_looked_up_in_bfloat16_and_scaled_there():
    table = torch.randn(5, 4, generator=torch.Generator().manual_seed(0))
    rows = prompt_rows([3, 1], table, 5.656854249492381)
    assert rows.dtype == torch.float32
    assert torch.equal(rows, (table[[3, 1]].bfloat16() * 5.656854249492381).float())
    assert not torch.equal(rows, table[[3, 1]] * 5.656854249492381)


def test_the_injected_row_is_not_scaled_by_the_embedding_scale():
    rows = injected_rows(torch.tensor([[3.0, 4.0]]), 10.0)
    assert rows.tolist() == [[6.0, 8.0]]


def test_only_families_that_scale_their_embeddings_have_a_scale():
    assert embed_scale_of(tiny_config("llama")) == 1.0
    for family in ("gemma", "gemma2", "gemma3_text"):
        assert embed_scale_of(tiny_config(family)) == 32**0.5
    assert embed_scale_of(tiny_config("gemma3").get_text_config()) == 32**0.5


def test_a_template_with_bos_puts_it_first_and_once():
    ids = render(tiny_tokenizer(bos=True), "hello")
    assert ids[0] == 0
    assert ids.count(0) == 1


def test_a_tokenizer_without_chat_template_cannot_render():
    tokenizer = tiny_tokenizer(bos=False)
    tokenizer.chat_template = None
    with pytest.raises(PromptDrift, match="no chat template"):
        render(tokenizer, "hello")


def test_a_reconstructors_sidecar_makes_no_prompt():
    meta = read_sidecar(GOLDEN / "ar")
    sidecar = parse_sidecar(meta | {"tokens": {}}, Role.RECONSTRUCTOR)
    with pytest.raises(SidecarUnreadable, match="no injection tokens"):
        build_prompt(tiny_tokenizer(bos=False), sidecar)


def test_a_sign_at_the_end_of_the_prompt_is_no_slot():
    tokenizer = tiny_tokenizer(bos=False)
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    meta = read_sidecar(GOLDEN / "av")
    meta["prompt_templates"]["av"] = "describe {injection_char}"
    with pytest.raises(PromptDrift, match="never at an end"):
        build_prompt(tokenizer, parse_sidecar(meta, Role.VERBALIZER))
