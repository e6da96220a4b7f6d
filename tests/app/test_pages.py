"""What the page draws, as markup: escaped, labelled, true, and silent about what was not computed."""

import re

import pytest

from loupe.app.pages import run_view
from loupe.app.pages.card import card_html, waiting_html
from loupe.app.pages.run_view import PositionView, RunView, TokenChip
from loupe.app.pages.strip import State, score_class, token_html, visible
from loupe.app.pages.theme import assets_folder, palette
from tests.app.sample import WORDS, sample_run

HOSTILE = "<script>alert(1)</script>\"'&\u202e"


@pytest.fixture
def run() -> RunView:
    return run_view.read(sample_run())


def test_a_sample_run_is_read_with_all_its_tokens(run: RunView) -> None:
    assert [token.text for token in run.tokens] == WORDS
    assert sorted(run.positions) == list(range(len(WORDS) - 1))
    assert run.positions[1].rollouts[1].fve_nrm == pytest.approx(0.53)


def test_means_leave_unreliable_positions_out(run: RunView) -> None:
    reliable = [run.positions[i].fve_nrm or 0 for i in range(1, len(WORDS) - 1)]
    assert run.mean("fve_nrm") == pytest.approx(sum(reliable) / len(reliable))
    assert len(run.reliable) == len(WORDS) - 2


def test_a_doubtful_position_is_flagged_or_worse_than_the_mean(run: RunView) -> None:
    assert [p for p, found in run.positions.items() if found.is_doubtful] == [0, 4]


@pytest.mark.parametrize(
    ("value", "expected"), [(None, ""), (0.0, ""), (0.05, ""), (0.1, "p1"), (1.0, "p8"), (7.0, "p8"), (-0.5, "n4")]
)
def test_a_score_has_a_colour_of_its_sign_and_size(value: float | None, expected: str) -> None:
    assert score_class(value) == expected


def test_a_token_says_what_it_is_to_those_who_do_not_see_it() -> None:
    found = PositionView(position=3, token=" fox", token_id=9, explanation="x", fve_nrm=0.5)
    drawn = token_html(3, TokenChip(" fox"), State.DONE, found, locked=True)
    assert 'aria-label="token 3, &#x27;fox&#x27;, explained, recovers 0.500"' in drawn
    assert 'role="option"' in drawn and 'aria-selected="true"' in drawn and 'data-i="3"' in drawn


def test_white_space_that_matters_is_visible() -> None:
    assert visible("\n").startswith('<span class="ws">↵</span>')
    assert "·" in visible(" ") and "··" in visible("a  b") and visible(" a") == " a"


@pytest.mark.parametrize("place", ["token", "explanation", "rollout", "salience", "lens", "flag", "source"])
def test_hostile_text_is_inert_wherever_it_comes_from(place: str) -> None:
    result = sample_run()
    row = result["data"][2]
    if place == "token":
        row["token"] = result["metadata"]["tokens"][2]["text"] = HOSTILE
    elif place == "explanation":
        row["explanation"], row["salience"] = HOSTILE, []
    elif place == "rollout":
        row["rollouts"][0]["text"] = HOSTILE
    elif place == "salience":
        row["explanation"], row["salience"] = "other", [{"unit": HOSTILE, "value": 0.5}]
    elif place == "lens":
        row["logit_lens"][0]["token"] = HOSTILE
    elif place == "flag":
        row["flags"] = [HOSTILE]
    else:
        result["metadata"]["fve_denominator"]["source"] = HOSTILE
    view = run_view.read(result)
    drawn = card_html(view, 2, locked=False) + token_html(2, view.tokens[2], State.DONE, None, locked=False)
    assert "<script" not in drawn and "alert(1)</script" not in drawn
    assert waiting_html(view, 2, HOSTILE).count("<script") == 0
    for attribute in re.findall(r'="([^"]*)"', drawn):
        assert "<" not in attribute


def test_lines_come_in_the_order_of_their_salience(run: RunView) -> None:
    drawn = card_html(run, 6, locked=True)
    assert drawn.index("The sentence ends in") < drawn.index("Quiet story")
    assert "locked" in drawn


def test_rollouts_are_ranked_by_reconstruction(run: RunView) -> None:
    drawn = card_html(run, 6, locked=False)
    assert drawn.index("#1") < drawn.index("A worse try.") and "2 rollouts" in drawn


def test_what_was_not_computed_leaves_no_trace() -> None:
    bare = {"position": 0, "token": "a", "token_id": 1, "flags": [], "explanation": "It is a."}
    drawn = card_html(run_view.read({"metadata": {}, "data": [bare]}), 0, locked=False)
    assert "It is a." in drawn
    for absent in ("KL", "cosine", "Logit lens", "rollouts", "Recovered", "None", "nan"):
        assert absent not in drawn


def test_the_denominator_names_its_source(run: RunView) -> None:
    assert "denominator 0.620, from sidecar" in card_html(run, 3, locked=False)


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_and_controls_are_readable_in_both_themes(theme: str) -> None:
    colour = palette(theme)
    for surface in ("page", "panel", "raised"):
        for text in ("text", "soft", "strong", "link", "warn", "bad"):
            assert contrast(colour[text], colour[surface]) >= 4.5, (theme, text, surface)
        for edge in ("border", "action"):
            assert contrast(colour[edge], colour[surface]) >= 3, (theme, edge, surface)
    assert contrast(colour["on-action"], colour["action"]) >= 4.5
    assert contrast(colour["on-action"], colour["action-hover"]) >= 4.5
    assert contrast(colour["text"], colour["bad-panel"]) >= 4.5


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_on_the_strongest_score_colour_is_readable(theme: str) -> None:
    css = (assets_folder() / "css/loupe.css").read_text()
    block = css[css.index(f"body.body--{theme}") :].split("}")[0]
    cap = float(re.findall(r"--cap: ([\d.]+)", block)[0])
    colour = palette(theme)
    for sign in ("pos", "neg"):
        ink = [int(x) for x in re.findall(rf"--{sign}: (\d+) (\d+) (\d+)", block)[0]]
        base = [int(colour["panel"][i : i + 2], 16) for i in (1, 3, 5)]
        mixed = "#" + "".join(f"{round(a * cap + b * (1 - cap)):02x}" for a, b in zip(ink, base, strict=True))
        assert contrast(colour["strong"], mixed) >= 4.5, (theme, sign)


def test_the_style_and_script_ask_nobody_else_for_anything() -> None:
    for path in [*assets_folder().glob("css/*"), *assets_folder().glob("js/*")]:
        assert "http://" not in path.read_text() and "https://" not in path.read_text()
