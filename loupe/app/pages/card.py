"""The explanation card: what the model holds at one token, in words, and how far to trust them.

A pure function from a position to markup; all text is escaped here. What was not computed is not drawn.
"""

import html
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from loupe.app.pages.numbers import percent, show, trust
from loupe.app.pages.run_view import PositionView, Ranked, RolloutView, RunView, Unit
from loupe.app.pages.scales import SCORES, Scale, legend_html
from loupe.app.pages.strip import visible

FLAGS = {
    "first_token": "First token: models park something else here. Not counted in means.",
    "early": "So early in a text the verbalizer was not trained to read. Not counted in means.",
    "special": "A special token. Not counted in means.",
    "template": "Part of the chat template, not of what was said. Not counted in means.",
    "outlier_norm": "The activation's length is far from that of its neighbours. Not counted in means.",
}
SHOWN = ("fve_nrm", "cosine", "mse_nrm", "relative_rmse", "kl", "agreement", "norm")
KEPT = (
    '<button type="button" class="link kept" data-act="release" data-testid="release" aria-label="kept; let it go" '
    'title="Let it go (Esc)">kept ×</button>'
)
CONTEXT = 6  # tokens shown before and after the one that is read


@dataclass(frozen=True, slots=True)
class Look:
    """How a card is drawn: lines by salience or as written, whether it is kept, and the scales of the run."""

    locked: bool = False
    by_salience: bool = True
    salience: Scale | None = None
    score: str = "fve_nrm"
    scale: Scale | None = None


def card_html(run: RunView, position: int, look: Look) -> str:
    """The card for one explained position."""
    found = run.positions[position]
    parts = (
        _head(run, found, look),
        _flags(found.flags),
        explanation_html(found, look),
        _gauge(found.fve_nrm, run.metadata.get("fve_denominator")),
        _scores(found),
        _tops(found),
        _rollouts(found),
    )
    return f'<div class="card" data-position="{position}">{"".join(parts)}</div>'


def waiting_html(run: RunView, position: int, sentence: str) -> str:
    """The card for a position that has no explanation (yet)."""
    return (
        f'<div class="card"><div class="head"><span class="word">{visible(run.tokens[position].text)}</span>'
        f'<span class="where num">token {position} of {len(run.tokens)}</span></div>{_context(run, position)}'
        f'<div class="pending">{html.escape(sentence)}</div></div>'
    )


def hint_html() -> str:
    """What the card says before anything was chosen."""
    return (
        '<div class="hint"><b>Point at a token</b> to read what the model holds there. Click to keep it, '
        "<kbd>←</kbd> <kbd>→</kbd> to walk, <kbd>Esc</kbd> to let go.</div>"
    )


def _head(run: RunView, found: PositionView, look: Look) -> str:
    chip = ""
    if found.relative_rmse is not None:
        word = trust(found.relative_rmse)
        tip = "From the relative error: high below 0.3, medium below 0.5, low from 0.5."
        chip = f'<span class="chip trust-{word}" title="{tip}">trust: {word}</span>'
    lock = KEPT if look.locked else ""
    colour = look.scale.css(getattr(found, look.score, None)) if look.scale else ""
    return (
        f'<div class="head"><span class="word {colour}">{visible(found.token)}</span>'
        f'<span class="where num">token {found.position} of {len(run.tokens)} · id {found.token_id}</span>{lock}'
        f"{chip}</div>{_context(run, found.position)}"
    )


def _context(run: RunView, position: int) -> str:
    first, last = max(0, position - CONTEXT), min(len(run.tokens), position + CONTEXT + 1)
    before = html.escape("".join(chip.text for chip in run.tokens[first:position]))
    after = html.escape("".join(chip.text for chip in run.tokens[position + 1 : last]))
    here = html.escape(run.tokens[position].text)
    start, end = "… " if first else "", " …" if last < len(run.tokens) else ""
    return f'<div class="context">{start}{before}<b>{here}</b>{after}{end}</div>'


def _flags(flags: Iterable[str]) -> str:
    told = list(flags)
    if "first_token" in told and "early" in told:
        told.remove("early")
    return "".join(f'<div class="flag">{html.escape(FLAGS.get(flag, flag))}</div>' for flag in told)


def explanation_html(found: PositionView, look: Look) -> str:
    """The explanation with its salience: by line as a list, by word as coloured text and a ranking."""
    lines = [line for line in found.explanation.splitlines() if line.strip()]
    if not lines:
        return '<div class="pending" data-testid="explanation">The verbalizer said nothing here.</div>'
    by_text = {unit.text.strip(): unit for unit in found.salience}
    units = [by_text.get(line.strip(), Unit(line, None)) for line in lines]
    has_lines = any(unit.value is not None for unit in units)
    if not has_lines and any(unit.value is not None for unit in found.salience):
        return _overline("Explanation · words by salience") + _words(found, look)
    if not has_lines:
        return _overline("Explanation") + _list(units, look)
    if look.by_salience:
        units = sorted(units, key=lambda unit: -(unit.value or 0.0))
    order = "most telling line first" if look.by_salience else "as written"
    other = "as written" if look.by_salience else "most telling first"
    toggle = (
        f'<button type="button" class="link" data-act="order" data-key="o" data-testid="order">show {other}</button>'
    )
    return _overline(f"Explanation · {order}", toggle) + _list(units, look) + _legend(look)


def _overline(text: str, more: str = "") -> str:
    return f'<div class="overline row-between"><span>{text}</span>{more}</div>'


def _legend(look: Look) -> str:
    return f'<div class="legend small-legend">{legend_html(look.salience)}</div>' if look.salience else ""


def _list(units: Iterable[Unit], look: Look) -> str:
    items = "".join(_line(unit, look.salience) for unit in units)
    return f'<ul class="lines" data-testid="explanation">{items}</ul>'


def _line(unit: Unit, scale: Scale | None) -> str:
    said = f'<span class="say">{html.escape(unit.text.strip())}</span>'
    if unit.value is None or scale is None:
        return f"<li>{said}</li>"
    width = min(1.0, abs(unit.value) / scale.limit) * 100
    sign = "neg" if unit.value < 0 else ""
    return (
        f'<li class="{scale.css(unit.value)}">{said}<span class="gain" title="{html.escape(scale.score.meaning)}">'
        f'<span class="bar {sign}"><i style="width:{width:.0f}%"></i></span>'
        f'<span class="num">{show(unit.value, 2)}</span></span></li>'
    )


def _words(found: PositionView, look: Look) -> str:
    text = f'<div class="say words" data-testid="explanation">{coloured_html(found, look.salience)}</div>'
    ranked = sorted((u for u in found.salience if u.value is not None), key=lambda u: -(u.value or 0.0))[:8]
    rows = "".join(
        f'<tr><td class="w">{html.escape(unit.text)}</td><td>{_bar(unit.value or 0.0, look.salience)}</td>'
        f'<td class="p">{show(unit.value or 0.0, 2)}</td></tr>'
        for unit in ranked
    )
    table = f'<table class="top-words"><caption class="sr">Most telling words</caption>{rows}</table>'
    return f"{text}{table}{_legend(look)}"


def _bar(value: float, scale: Scale | None) -> str:
    width = min(1.0, abs(value) / scale.limit) * 100 if scale else 0
    return f'<span class="bar {"neg" if value < 0 else ""}"><i style="width:{width:.0f}%"></i></span>'


def coloured_html(found: PositionView, scale: Scale | None) -> str:
    """The explanation as written, each part coloured by its salience where that was computed."""
    text, parts, after = found.explanation, [], 0
    for unit in found.salience:
        start = unit.start if unit.start is not None else text.find(unit.text, after)
        end = unit.end if unit.end is not None else start + len(unit.text)
        if scale is None or unit.value is None or not after <= start < end <= len(text):
            continue
        parts.append(html.escape(text[after:start]))
        tip = f"{show(unit.value, 2)} {scale.score.unit}"
        parts.append(f'<span class="tint {scale.css(unit.value)}" title="{tip}">{html.escape(text[start:end])}</span>')
        after = end
    return "".join(parts) + html.escape(text[after:])


def _gauge(value: float | None, denominator: object) -> str:
    if value is None:
        return ""
    width = min(1.0, abs(value)) * 50
    left = 50 if value >= 0 else 50 - width
    sign = "neg" if value < 0 else ""
    told = ""
    if isinstance(denominator, Mapping):
        source = html.escape(str(denominator.get("source", "not stated")))
        told = f"denominator {show(float(denominator['value']))}, from {source}"
    return (
        f'<div class="trust"><div class="overline row-between" title="{html.escape(SCORES["fve_nrm"].meaning)}">'
        f"<span>Recovered from the words</span><small>{told}</small></div>"
        f'<div class="gauge {sign}" role="img" aria-label="fve_nrm {show(value)}">'
        f'<i style="left:{left:.1f}%;width:{width:.1f}%"></i><u style="left:calc(50% - 1px)"></u></div>'
        '<div class="gauge-scale num" aria-hidden="true"><span style="left:0">−1</span>'
        '<span style="left:50%">0 = the mean</span><span style="left:100%">1 = exact</span></div></div>'
    )


def _scores(found: PositionView) -> str:
    cells = [
        f'<div title="{html.escape(SCORES[name].meaning, quote=True)} Exactly {value!r}.">'
        f'<dt>{SCORES[name].label}</dt><dd data-score="{name}">{show(value)}<small>{_unit(name)}</small></dd></div>'
        for name in SHOWN
        if (value := getattr(found, name)) is not None
    ]
    return f'<dl class="scores" data-testid="scores">{"".join(cells)}</dl>' if cells else ""


def _unit(name: str) -> str:
    return f" {SCORES[name].unit}" if SCORES[name].unit else ""


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
    agree = f", agreement {show(found.agreement)}" if found.agreement is not None else ""
    return (
        f"<details open><summary>{len(ranked)} rollouts <small>best first by reconstruction{agree}</small></summary>"
        f'<ol class="rollouts" data-testid="rollouts">{items}</ol></details>'
    )


def _rollout(number: int, rollout: RolloutView) -> str:
    scores = [
        f"{name} {show(value)}"
        for name, value in (("fve_nrm", rollout.fve_nrm), ("cosine", rollout.cosine), ("mse_nrm", rollout.mse_nrm))
        if value is not None
    ]
    if not rollout.parsed:
        scores.append("did not close its explanation")
    best = ' class="best"' if number == 1 else ""
    told = "".join(f"<span>{score}</span>" for score in scores)
    return f'<li{best}><div class="meta num"><span>#{number}</span>{told}</div>{html.escape(rollout.text)}</li>'
