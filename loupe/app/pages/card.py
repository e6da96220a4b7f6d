"""The explanation card: what the model holds at one token, in words, and how far to trust them.

A pure function from a position to markup; all text is escaped here. What was not computed is not drawn.
"""

import html
from collections.abc import Iterable, Mapping

from loupe.app.pages.numbers import percent, show, trust
from loupe.app.pages.run_view import PositionView, Ranked, RolloutView, RunView, Unit
from loupe.app.pages.strip import score_class, visible

MEANING = {
    "fve_nrm": "Share of the activation's variance that the explanation alone lets the reconstructor recover; "
    "1 is everything, 0 is no better than the mean, below 0 is worse.",
    "cosine": "Cosine between the activation and its reconstruction from the words.",
    "mse_nrm": "Squared error after both vectors are scaled to the same norm: 2(1 − cosine), from 0 to 4.",
    "relative_rmse": "Length of the raw error over the length of the activation.",
    "kl": "How much the model's next-token distribution changes when the reconstruction is put back in place "
    "of the activation, in nats.",
    "agreement": "Mean similarity between the sampled explanations of this position.",
}
FLAGS = {
    "first_token": "First token: models park something else here. Not counted in means.",
    "early": "So early in a text the verbalizer was not trained to read. Not counted in means.",
    "special": "A special token. Not counted in means.",
    "template": "Part of the chat template, not of what was said. Not counted in means.",
    "outlier_norm": "The activation's length is far from that of its neighbours. Not counted in means.",
}


def card_html(run: RunView, position: int, *, locked: bool) -> str:
    """The card for one explained position."""
    found = run.positions[position]
    parts = (
        _head(run, found, locked),
        _flags(found.flags),
        _lines(found),
        _gauge(found.fve_nrm, run.metadata.get("fve_denominator")),
        _scores(found),
        _tops(found),
        _rollouts(found),
    )
    return f'<div class="card" data-position="{position}">{"".join(parts)}</div>'


def waiting_html(run: RunView, position: int, sentence: str) -> str:
    """The card for a position that has no explanation (yet)."""
    word = visible(run.tokens[position].text)
    return (
        f'<div class="card"><div class="head"><span class="word">{word}</span>'
        f'<span class="where">token {position}</span></div><div class="pending">{html.escape(sentence)}</div></div>'
    )


def hint_html() -> str:
    """What the card says before anything was chosen."""
    return (
        '<div class="hint"><b>Point at a token</b> to read what the model holds there. Click to keep it, '
        "<kbd>←</kbd> <kbd>→</kbd> to walk, <kbd>Esc</kbd> to let go.</div>"
    )


def _head(run: RunView, found: PositionView, locked: bool) -> str:
    chip = ""
    if found.relative_rmse is not None:
        word = trust(found.relative_rmse)
        tip = "From the relative error: high below 0.3, medium below 0.5, low from 0.5."
        chip = f'<span class="chip state" title="{tip}">trust: {word}</span>'
    lock = ' · <span title="Esc lets go">locked</span>' if locked else ""
    return (
        f'<div class="head"><span class="word {score_class(found.fve_nrm)}">{visible(found.token)}</span>'
        f'<span class="where num">token {found.position} of {len(run.tokens)} · id {found.token_id}{lock}</span>'
        f"{chip}</div>"
    )


def _flags(flags: Iterable[str]) -> str:
    told = list(flags)
    if "first_token" in told and "early" in told:
        told.remove("early")
    return "".join(f'<div class="flag">{html.escape(FLAGS.get(flag, flag))}</div>' for flag in told)


def _lines(found: PositionView) -> str:
    lines = [line for line in found.explanation.splitlines() if line.strip()]
    by_text = {unit.text.strip(): unit for unit in found.salience}
    units = [by_text.get(line.strip(), Unit(line, None)) for line in lines]
    if lines and all(unit.value is None for unit in units) and found.salience:
        return _words(found)
    if any(unit.value is not None for unit in units):
        units.sort(key=lambda unit: -(unit.value or 0.0))
    limit = max((abs(unit.value) for unit in units if unit.value is not None), default=0.0)
    items = "".join(_line(unit, limit) for unit in units)
    order = "Lines in order of how much the reconstruction loses without them."
    note = f'<div class="overline" title="{order}">Explanation · most telling line first</div>' if limit else ""
    empty = '<li><span class="say soft">The verbalizer said nothing here.</span></li>'
    return f'{note}<ul class="lines" data-testid="explanation">{items or empty}</ul>'


def _line(unit: Unit, limit: float) -> str:
    said = f'<span class="say">{html.escape(unit.text.strip())}</span>'
    if unit.value is None or not limit:
        return f"<li>{said}</li>"
    width = abs(unit.value) / limit * 100
    sign = "neg" if unit.value < 0 else ""
    tip = "Rise of mse_nrm when this line is left out; below 0 the line misleads."
    return (
        f'<li class="{score_class(unit.value / limit * 0.5)}">{said}<span class="gain" title="{tip}">'
        f'<span class="bar {sign}"><i style="width:{width:.0f}%"></i></span>'
        f'<span class="num">{show(unit.value, 2)}</span></span></li>'
    )


def _words(found: PositionView) -> str:
    limit = max((abs(unit.value) for unit in found.salience if unit.value is not None), default=0.0)
    spans = " ".join(
        f'<span class="tok {score_class(unit.value / limit) if unit.value is not None and limit else ""}" '
        f'title="{show(unit.value, 2) if unit.value is not None else ""}">{html.escape(unit.text)}</span>'
        for unit in found.salience
    )
    scale = f'<div class="gain">words: ±{show(limit, 2)} mse_nrm when left out</div>' if limit else ""
    return f'<ul class="lines" data-testid="explanation"><li><span class="say">{spans}</span>{scale}</li></ul>'


def _gauge(value: float | None, denominator: object) -> str:
    if value is None:
        return ""
    width = min(1.0, abs(value)) * 50
    left = 50 if value >= 0 else 50 - width
    sign = "neg" if value < 0 else ""
    told = ""
    if isinstance(denominator, Mapping):
        source = html.escape(str(denominator.get("source", "not stated")))
        told = f'<div class="small soft">denominator {show(float(denominator["value"]))}, from {source}</div>'
    return (
        f'<div class="trust"><div class="overline" title="{MEANING["fve_nrm"]}">Recovered from the words</div>'
        f'<div class="gauge {sign}" role="img" aria-label="fve_nrm {show(value)}">'
        f'<i style="left:{left:.1f}%;width:{width:.1f}%"></i><u style="left:calc(50% - 1px)"></u></div>'
        '<div class="gauge-scale" aria-hidden="true"><span style="left:0">−1</span>'
        '<span style="left:50%">0 = the mean</span><span style="left:100%">1 = exact</span></div>'
        f"{told}</div>"
    )


def _scores(found: PositionView) -> str:
    names = (
        ("fve_nrm", "fve_nrm ↑", ""),
        ("cosine", "cosine ↑", ""),
        ("mse_nrm", "mse_nrm ↓", ""),
        ("relative_rmse", "relative error ↓", ""),
        ("kl", "KL ↓", " nats"),
        ("agreement", "agreement ↑", ""),
    )
    cells = [
        f'<div title="{MEANING[name]} Exactly {value!r}.">'
        f'<dt>{label}</dt><dd data-score="{name}">{show(value)}<small>{unit}</small></dd></div>'
        for name, label, unit in names
        if (value := getattr(found, name)) is not None
    ]
    return f'<dl class="scores" data-testid="scores">{"".join(cells)}</dl>' if cells else ""


def _tops(found: PositionView) -> str:
    tables = (
        ("Logit lens", "What this block alone points to: final norm, then the vocabulary head.", found.logit_lens),
        ("Tuned lens", "The same through a fitted translation of this layer.", found.tuned_lens),
        ("Model's next token", "What the whole model says comes next.", found.next_tokens),
    )
    shown = "".join(_top(title, tip, ranked) for title, tip, ranked in tables if ranked)
    return f'<div class="tops" data-testid="lenses">{shown}</div>' if shown else ""


def _top(title: str, tip: str, ranked: tuple[Ranked, ...]) -> str:
    rows = "".join(
        f'<tr><td class="w" title="{html.escape(one.text, quote=True)}">{visible(one.text)}</td>'
        f'<td><div class="bar calm"><i style="width:{one.probability * 100:.1f}%"></i></div></td>'
        f'<td class="p" title="{one.probability:.6g}">{percent(one.probability)}</td></tr>'
        for one in ranked
    )
    return f'<div><div class="overline" title="{tip}">{title}</div><table>{rows}</table></div>'


def _rollouts(found: PositionView) -> str:
    if len(found.rollouts) < 2:
        return ""
    ranked = sorted(found.rollouts, key=lambda r: float("inf") if r.mse_nrm is None else r.mse_nrm)
    items = "".join(_rollout(number, rollout) for number, rollout in enumerate(ranked, 1))
    return (
        f"<details><summary>{len(ranked)} rollouts <small>best first by reconstruction</small></summary>"
        f'<ol class="rollouts" data-testid="rollouts">{items}</ol></details>'
    )


def _rollout(number: int, rollout: RolloutView) -> str:
    scores = [
        f"{name} {show(value)}"
        for name, value in (("fve_nrm", rollout.fve_nrm), ("cosine", rollout.cosine), ("mse_nrm", rollout.mse_nrm))
        if value is not None
    ]
    best = ' class="best"' if number == 1 else ""
    told = "".join(f"<span>{score}</span>" for score in scores)
    return f'<li{best}><div class="meta num"><span>#{number}</span>{told}</div>{html.escape(rollout.text)}</li>'
