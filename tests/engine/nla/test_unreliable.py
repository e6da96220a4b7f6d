"""Which positions are marked, and by which rule."""

from __future__ import annotations

import pytest

from loupe.engine.models.chat_contents import content_positions
from loupe.engine.nla.request import AnalysisRequest, _cut_chat
from loupe.engine.nla.sidecar import Role, parse_sidecar
from loupe.engine.nla.unreliable import flags_of, min_position_of, outlier_norms
from tests.engine.nla.tiny_pairs import GOLDEN, read_sidecar, tiny_tokenizer


def test_early_first_special_and_template_positions_are_marked():
    found = flags_of([7, 8, 2, 9], [1.0] * 4, special_ids=[2], template=[3], min_position=2)
    assert found == [("first_token", "early"), ("early",), ("special",), ("template",)]


def test_a_norm_far_out_of_line_is_an_outlier():
    assert outlier_norms([100, 110, 105, 14_000, 98, 170, 120, 101]) == {3}
    assert outlier_norms([100, 110, 105, 0.1, 98, 170, 120, 101]) == {3}


def test_ordinary_spread_has_no_outliers():
    assert outlier_norms([100, 170, 140, 125, 99, 160, 290, 110]) == set()
    assert outlier_norms([5.0]) == set()
    assert outlier_norms([5.0, 5.0, 5.0, 5.1]) == set()


def test_a_wide_spread_needs_more_to_stand_out():
    wide = [1.0, 3.0, 9.0, 27.0, 81.0, 2.0, 40.0]
    assert outlier_norms(wide) == set()
    assert outlier_norms([*wide, 1e9]) == {7}


def test_the_first_trained_position_comes_from_the_sidecar():
    meta = read_sidecar(GOLDEN / "av")
    assert min_position_of(parse_sidecar(meta, Role.VERBALIZER)) == 10
    meta["extraction"]["min_position"] = 3
    assert min_position_of(parse_sidecar(meta, Role.VERBALIZER)) == 3


def test_each_message_of_a_chat_knows_the_positions_of_its_content():
    tokenizer = tiny_tokenizer(bos=False)
    messages = [{"role": "user", "content": "the fox"}, {"role": "assistant", "content": "ran"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    ids = tokenizer.encode(rendered, add_special_tokens=False)
    found = content_positions(tokenizer, messages, rendered, ids) or []
    assert [tokenizer.decode(ids[where.start : where.stop]).strip() for where in found] == ["the fox", "ran"]
    assert found[0].start > 0


@pytest.mark.parametrize("prefill", [None, "s"])
def test_a_message_that_says_what_the_template_says_is_found_at_its_own_place(prefill):
    tokenizer = tiny_tokenizer(bos=False)
    said = ["user", "  im_start ", "assistant", "s"]
    roles = ["user", "assistant", "user", "assistant"]
    messages = tuple({"role": role, "content": text} for role, text in zip(roles, said, strict=True))
    messages = messages[:3] if prefill else messages
    cut = _cut_chat(tokenizer, AnalysisRequest(messages=messages, prefill=prefill), reply_follows=False)
    told = [tokenizer.decode(cut.ids[turn.first : turn.last + 1]).strip() for turn in cut.turns]
    assert told == [text.strip() for text in said]
    assert cut.turns[0].first >= 2, "the heading of a message says user too"


def test_ids_that_are_not_those_of_the_rendered_text_mark_nothing():
    tokenizer = tiny_tokenizer(bos=False)
    assert content_positions(tokenizer, [{"role": "user", "content": "x"}], "x", [1, 2, 3]) is None
