"""What the page draws, as markup: escaped, labelled, true, and silent about what was not computed."""

import re

import pytest

from loupe.app.pages import run_view
from loupe.app.pages.card import Look, card_html, coloured_html, waiting_html
from loupe.app.pages.run_view import PositionView, RunView, TokenChip, TurnView, Unit
from loupe.app.pages.scales import LEVELS, SCORES, Scale, legend_html, salience_scale, scale_of
from loupe.app.pages.states import Way, empty_html, failed_html, partial_html, stale_html
from loupe.app.pages.strip import Paint, State, heard, row_html, rows_of, token_html, visible
from loupe.app.pages.transposed import column_html
from loupe.app.settings import assets_folder
from tests.app.sample import WORDS, sample_run

HOSTILE = "<script>alert(1)</script>\"'&\u202e"
DONE = Paint(lambda _: State.DONE)


def look_at(view: RunView, **changes: object) -> Look:
    return Look(salience=salience_scale(view.saliences()), **changes)  # pyright: ignore[reportArgumentType] - a Look's own fields


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
    assert Scale(SCORES["fve_nrm"], 1.0).css(value) == expected


def test_a_logarithmic_scale_keeps_small_values_visible_and_ends_at_the_largest_of_the_run() -> None:
    scale = scale_of("kl", [0.2, None, 10.0])
    assert scale is not None and scale.limit == 10.0
    assert (scale.css(10.0), scale.css(0.5), scale.css(0.0)) == ("p8", "p1", "")


@pytest.mark.parametrize("name", SCORES)
def test_every_level_of_a_legend_is_drawn_in_the_colour_of_the_value_it_names(name: str) -> None:
    scale = Scale(SCORES[name], SCORES[name].limit or 3.7)
    levels = range(-LEVELS, LEVELS + 1) if scale.score.is_signed else range(LEVELS + 1)
    assert [scale.level(scale.value_of(level)) for level in levels] == list(levels)
    drawn = legend_html(scale)
    assert drawn.count("<i class=") == len(levels)
    assert ("logarithmic" in drawn) is scale.score.is_log


def test_a_score_nobody_computed_has_no_scale(run: RunView) -> None:
    assert scale_of("kl", [None, None]) is None and scale_of("no such score", [1.0]) is None


def test_a_token_says_what_it_is_to_those_who_do_not_see_it() -> None:
    found = PositionView(position=3, token=" fox", token_id=9, explanation="x", fve_nrm=0.5)
    drawn = token_html(3, TokenChip(" fox"), found, Paint(lambda _: State.DONE, locked=3))
    assert 'aria-label="token 3, &#x27;fox&#x27;, explained, fve_nrm 0.500"' in drawn
    assert 'role="option"' in drawn and 'aria-selected="true"' in drawn and 'data-i="3"' in drawn


def test_rows_never_cross_a_turn_and_the_first_of_each_says_who_speaks() -> None:
    turns = (TurnView("user", 1, 4), TurnView("assistant", 7, 80))
    rows = rows_of(82, turns)
    assert rows[0] == ("user", range(0, 6)), "the end mark belongs to the turn it ends"
    assert rows[1] == ("assistant", range(6, 38)) and rows[2] == ("", range(38, 70))
    assert [i for _, indices in rows for i in indices] == list(range(82))


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"k": "lock", "v": 4}, ("lock", 4)),
        ({"k": "keep", "v": 4}, ("keep", 4)),
        ({"k": "hover", "v": -1}, ("hover", None)),
        ({"k": "range", "v": [9, 2]}, ("range", (2, 9))),
        ({"k": "range", "v": ["x", 2]}, ("range", None)),
        ({"k": "explain"}, ("explain", None)),
        ({"k": "<script>"}, ("", None)),
        ("nonsense", ("", None)),
        (None, ("", None)),
    ],
)
def test_only_what_a_strip_can_say_is_heard(said: object, expected: tuple[str, object]) -> None:
    assert heard(said) == expected


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
    drawn = card_html(view, 2, look_at(view)) + token_html(2, view.tokens[2], None, DONE)
    drawn += column_html(view.positions[2], look_at(view), "fve_nrm", None)
    drawn += coloured_html(view.positions[2], look_at(view).salience) + row_html(view, HOSTILE, range(2, 3), DONE)
    assert "<script" not in drawn and "alert(1)</script" not in drawn
    assert waiting_html(view, 2, HOSTILE).count("<script") == 0
    for attribute in re.findall(r'="([^"]*)"', drawn):
        assert "<" not in attribute


def test_lines_come_in_the_order_of_their_salience(run: RunView) -> None:
    drawn = card_html(run, 6, look_at(run, locked=True))
    assert drawn.index("The sentence ends in") < drawn.index("Quiet story")
    assert "kept" in drawn


def test_lines_can_be_read_as_they_were_written(run: RunView) -> None:
    drawn = card_html(run, 6, look_at(run, by_salience=False))
    assert drawn.index("Quiet story") < drawn.index("The sentence ends in") and "as written" in drawn


def test_salience_by_word_colours_the_text_and_ranks_the_words() -> None:
    words = (Unit("small", 0.4, 2, 7), Unit("fox", -0.1, 8, 11))
    found = PositionView(0, "a", 1, "A small fox <ran>.", salience=words)
    view = RunView((TokenChip("a"),), {0: found})
    drawn = card_html(view, 0, look_at(view))
    assert '<span class="tint p8" title="0.40 mse_nrm">small</span>' in drawn and "&lt;ran&gt;" in drawn
    assert re.search(r'<span class="tint n\d" title="−0.10 mse_nrm">fox</span>', drawn)
    assert drawn.index(">small</td>") < drawn.index(">fox</td>")


def test_the_legend_of_salience_ends_where_the_colours_end(run: RunView) -> None:
    drawn = card_html(run, 6, look_at(run))
    assert "−0.300" in drawn and "logarithmic from −0.300 to 0.300" in drawn
    assert '<li class="p8">' in drawn


def test_the_four_looks_differ_and_escape_what_they_are_told() -> None:
    told = {"message": HOSTILE, "details": {"sentence": HOSTILE}}
    looks = [
        empty_html(HOSTILE, HOSTILE, [Way(HOSTILE, "/x", HOSTILE)]),
        stale_html(HOSTILE),
        failed_html(told),
        partial_html(312, 1000, HOSTILE),
    ]
    assert all("<script" not in drawn for drawn in looks)
    assert "312 / 1,000" in looks[3] and "hatch" in looks[3] and len(set(looks)) == 4


def test_rollouts_are_ranked_by_reconstruction(run: RunView) -> None:
    drawn = card_html(run, 6, look_at(run))
    assert drawn.index("#1") < drawn.index("A worse try.") and "2 rollouts" in drawn


def test_what_was_not_computed_leaves_no_trace() -> None:
    bare = {"position": 0, "token": "a", "token_id": 1, "flags": [], "explanation": "It is a."}
    drawn = card_html(run_view.read({"metadata": {}, "data": [bare]}), 0, Look())
    assert "It is a." in drawn
    for absent in ("KL", "cosine", "Logit lens", "rollouts", "Recovered", "None", "nan"):
        assert absent not in drawn


def test_the_denominator_names_its_source(run: RunView) -> None:
    assert "denominator 0.620, from sidecar" in card_html(run, 3, look_at(run))


def luminance(colour: str) -> float:
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def palette(theme: str) -> dict[str, str]:
    """The hex colours of a theme (`dark` or `light`) as the style sheet has them."""
    css = (assets_folder() / "css/loupe.css").read_text()
    block = re.search(rf"body\.body--{theme} \{{(.*?)\}}", css, re.DOTALL)
    assert block, f"the style sheet has no {theme} theme"
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block[1]))


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
    for sign, share in (("pos", cap), ("neg", cap), ("choose", 0.22)):
        ink = [int(x) for x in re.findall(rf"--{sign}: (\d+) (\d+) (\d+)", block)[0]]
        base = [int(colour["panel"][i : i + 2], 16) for i in (1, 3, 5)]
        mixed = "#" + "".join(f"{round(a * share + b * (1 - share)):02x}" for a, b in zip(ink, base, strict=True))
        assert contrast(colour["strong"], mixed) >= 4.5, (theme, sign)
        assert contrast("#" + "".join(f"{c:02x}" for c in ink), colour["panel"]) >= 3, "a bar of this colour is seen"


def simulated(colour: tuple[int, int, int], matrix: tuple[tuple[float, float, float], ...]) -> tuple[float, ...]:
    linear = [(c / 255) / 12.92 if c <= 10 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return tuple(sum(m * x for m, x in zip(row, linear, strict=True)) for row in matrix)


def lab(linear: tuple[float, ...]) -> tuple[float, float, float]:
    rgb_to_xyz = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    xyz = [sum(m * x for m, x in zip(row, linear, strict=True)) for row in rgb_to_xyz]
    f = [v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (xyz[0] / 0.9505, xyz[1], xyz[2] / 1.089)]
    return 116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])


VISION = {  # Machado, Oliveira and Fernandes 2009, severity 1
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}


@pytest.mark.parametrize("vision", VISION)
@pytest.mark.parametrize("theme", ["dark", "light"])
def test_positive_and_negative_are_told_apart_by_every_eye(theme: str, vision: str) -> None:
    css = (assets_folder() / "css/loupe.css").read_text()
    block = css[css.index(f"body.body--{theme}") :].split("}")[0]
    ends = [tuple(int(x) for x in re.findall(rf"--{sign}: (\d+) (\d+) (\d+)", block)[0]) for sign in ("pos", "neg")]
    seen = [lab(simulated(end, VISION[vision])) for end in ends]  # pyright: ignore[reportArgumentType] - three channels
    assert sum((a - b) ** 2 for a, b in zip(*seen, strict=True)) ** 0.5 > 40, "CIE 1976 distance of the two ends"


def test_the_style_and_script_ask_nobody_else_for_anything() -> None:
    for path in [*assets_folder().glob("css/*"), *assets_folder().glob("js/*")]:
        assert "http://" not in path.read_text() and "https://" not in path.read_text()
