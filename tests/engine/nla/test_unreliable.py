"""Which positions are marked, and by which rule."""

from __future__ import annotations

from loupe.engine.nla.sidecar import Role, parse_sidecar
from loupe.engine.nla.unreliable import flags_of, min_position_of, outlier_norms, template_positions
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


def test_template_positions_are_all_that_no_message_said():
    tokenizer = tiny_tokenizer(bos=False)
    messages = [{"role": "user", "content": "the fox"}, {"role": "assistant", "content": "ran"}]
    rendered = tokenizer.apply_chat_template(messages, tokenize=False)
    ids = tokenizer.encode(rendered, add_special_tokens=False)
    marked = template_positions(tokenizer, messages, rendered, ids)
    said = tokenizer.decode([token for position, token in enumerate(ids) if position not in marked])
    assert said.replace(" ", "") == "thefoxran"
    assert 0 in marked


def test_ids_that_are_not_those_of_the_rendered_text_mark_nothing():
    tokenizer = tiny_tokenizer(bos=False)
    assert template_positions(tokenizer, [{"role": "user", "content": "x"}], "x", [1, 2, 3]) == ()
