"""A comparison as markup: who is compared, what was asked differently, the means, both texts, and every difference.

Pure functions; every text of a run is escaped here. Orange means that B recovers more, blue that it recovers less, and
a sign says so too.
"""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from loupe.app.pages.numbers import show
from loupe.app.pages.run_actions import named
from loupe.app.pages.scales import SCORES, Scale
from loupe.app.pages.strip import visible
from loupe.app.plain import plain
from loupe.app.services.comparison import MEANING, VERDICTS, Comparison, Kind, Mean, Piece, Place, Scored, Verdict
from loupe.app.services.run_files.document import Document
from loupe.app.services.run_setup import Differing

SIDES = "<th class=num>A</th><th class=num>B</th><th class=num>B − A</th>"
BETTER = {"fve_nrm": "↑", "cosine": "↑", "agreement": "↑", "mse_nrm": "↓", "mse": "↓", "relative_rmse": "↓", "kl": "↓"}
RECOVERED = Scale(SCORES["fve_nrm"], 1.0)
MOVED = (Kind.CHANGED, Kind.TIE)
LOOKS = {Verdict.EQUAL: "calm", Verdict.ROUNDING: "calm", Verdict.TIES: "calm"}


def verdict_html(found: Comparison) -> str:
    """What it comes to, in a sentence, and the counts behind it."""
    said = VERDICTS[found.verdict]
    if found.is_repeat:
        said = f"Repeated. {said}"
    counts = "".join(
        f'<li data-kind="{kind}"><b class="num">{count:,}</b> {MEANING[kind]}</li>'
        for kind, count in found.counts.items()
    )
    look = LOOKS.get(found.verdict, "moved")
    return f'<p class="verdict {look}" data-testid="verdict">{said}</p><ul class="counts num">{counts}</ul>'


def side_html(letter: str, document: Document, link: str) -> str:
    """One of the two runs: its letter, name, and what tells it apart. `link` is escaped already."""
    run = document.run
    layer = run.get("layer", document.metadata.get("layer"))
    facts = [
        f"{label} <b>{named(str(run[key]))}</b>"
        for key, label in (("model", "model"), ("author", "by"))
        if run.get(key)
    ]
    facts += [] if layer is None else [f"output of block <b>{int(layer)}</b>"]
    facts += [f"seed <b>{int(run['seed'])}</b>"] if "seed" in run else []
    facts += (
        [f"made <b>{html.escape(str(run['created_at'])[:16].replace('T', ' '))}</b>"] if run.get("created_at") else []
    )
    told = "".join(f"<span>{fact}</span>" for fact in facts)
    return (
        f'<div class="side" data-testid="side-{letter.lower()}"><span class="letter">{letter}</span>'
        f'<a href="{link}">{named(str(run.get("name") or "Run"))}</a>'
        f'<div class="facts num">{told}</div></div>'
    )


def setup_html(setup: Sequence[Differing]) -> str:
    """What was asked or computed with differently; nothing when it was all the same."""
    if not setup:
        return '<p class="soft" data-testid="setup">Both were asked the same, with the same weights and versions.</p>'
    rows = "".join(
        f"<tr><th scope=row>{html.escape(each.name)}</th><td>{_fact(each.a)}</td><td>{_fact(each.b)}</td></tr>"
        for each in setup
    )
    return (
        '<table class="plain-table" data-testid="setup"><thead><tr><th>Asked differently</th><th>A</th><th>B</th></tr>'
        f"</thead><tbody>{rows}</tbody></table>"
    )


def means_html(means: Mapping[str, Mean]) -> str:
    """The mean of every score over the reliable places that have it in both."""
    if not means:
        return '<p class="soft" data-testid="means">No place is scored in both.</p>'
    rows = "".join(
        f"<tr><th scope=row>{name} {BETTER[name]}</th>{_numbers(mean)}<td class=num>{mean.places:,}</td></tr>"
        for name, mean in means.items()
    )
    return (
        f'<table class="plain-table" data-testid="means"><thead><tr><th>Mean of</th>{SIDES}<th class=num>places</th>'
        f"</tr></thead><tbody>{rows}</tbody></table>"
    )


def strip_html(places: Sequence[Place], rows: Mapping[int, Any], side: str) -> str:
    """The tokens of one side; a line above says that the words differ, a frame that the token has no counterpart."""
    return "".join(_token(index, place, rows, side) for index, place in enumerate(places))


def place_html(place: Place, links: tuple[str, str]) -> str:
    """Everything about one place: both explanations with their words set against each other, and the scores."""
    columns = "".join(_said(place, side, links["ab".index(side)]) for side in "ab")
    scores = "".join(
        f"<tr><th scope=row>{name} {BETTER[name]}</th>{_numbers(scored)}</tr>" for name, scored in place.scores.items()
    )
    head = f'<table class="plain-table"><thead><tr><th></th>{SIDES}</tr></thead>'
    table = f"{head}<tbody>{scores}</tbody></table>" if scores else ""
    doubt = "" if place.reliable or not place.scores else '<div class="flag">Unreliable: not counted in means.</div>'
    return (
        f'<div class="card" data-testid="place" data-kind="{place.kind}">'
        f'<div class="overline">{MEANING[place.kind]}</div>{doubt}<div class="both">{columns}</div>{table}</div>'
    )


def difference_rows(places: Sequence[tuple[int, Place]], limit: float) -> str:
    """Rows of the table of differences: where, which token, how much, and which words."""
    return "".join(_row(index, place, limit) for index, place in places)


def _token(index: int, place: Place, rows: Mapping[int, Any], side: str) -> str:
    position = place.a if side == "a" else place.b
    text = place.token_a if side == "a" else place.token_b
    if position is None or text is None:
        return ""
    row = rows.get(position) or {}
    classes = [
        "tok",
        "skipped" if not row else "doubtful" if row.get("flags") else "done",
        RECOVERED.css(row.get("fve_nrm")),
    ]
    classes += ["moved"] if place.kind in MOVED else []
    classes += ["alone"] if not place.same_token else []
    return f'<span class="{" ".join(filter(None, classes))}" data-i="{index}">{visible(text)}</span>'


def _said(place: Place, side: str, link: str) -> str:
    position = place.a if side == "a" else place.b
    if position is None:
        return f'<div><div class="overline">{side.upper()}</div><p class="soft">No such token here.</p></div>'
    token = (place.token_a if side == "a" else place.token_b) or ""
    kept = "lost" if side == "a" else "gained"
    words = "".join(_piece(piece) for piece in place.words if piece.kind in ("same", kept))
    said = words or "<span class=soft>Not explained.</span>"
    return (
        f'<div><div class="overline">{side.upper()} · <a href="{link}?position={position}">token {position}</a> '
        f'<span class="word">{visible(token)}</span></div><p class="say">{said}</p></div>'
    )


def _piece(piece: Piece) -> str:
    text = html.escape(piece.text)
    tag = {"same": "", "lost": "del", "gained": "ins"}[piece.kind]
    return f"<{tag}>{text}</{tag}>" if tag else text


def _row(index: int, place: Place, limit: float) -> str:
    scored = place.scores.get("fve_nrm")
    where = f"{'' if place.a is None else place.a}</td><td class=num>{'' if place.b is None else place.b}"
    token = place.token_a if place.token_a is not None else place.token_b or ""
    other = f" → {visible(place.token_b or '∅')}" if not place.same_token and place.token_a is not None else ""
    words = "".join(_piece(piece) for piece in place.words) if place.kind in MOVED else ""
    return (
        f'<tr data-i="{index}" data-testid="difference" data-kind="{place.kind}"><td class=num>{where}</td>'
        f"<td class=token>{visible(token)}{other}</td><td>{_bar(scored, limit)}</td>"
        f'<td class="words">{words or f"<span class=soft>{MEANING[place.kind]}</span>"}</td></tr>'
    )


def _bar(scored: Scored | None, limit: float) -> str:
    if scored is None:
        return ""
    width = min(1.0, abs(scored.difference) / limit) * 50 if limit else 0
    left = 50 if scored.difference >= 0 else 50 - width
    sign = "neg" if scored.difference < 0 else ""
    return (
        f'<span class="delta" title="{scored.a!r} → {scored.b!r}"><span class="gauge {sign}" aria-hidden="true">'
        f'<i style="left:{left:.1f}%;width:{width:.1f}%"></i><u style="left:calc(50% - 1px)"></u></span>'
        f"<span class=num>{_signed(scored.difference)}</span></span>"
    )


def _numbers(scored: Scored | Mean) -> str:
    shown = ((scored.a, show(scored.a)), (scored.b, show(scored.b)), (scored.difference, _signed(scored.difference)))
    return "".join(f'<td class=num title="{exact!r}">{told}</td>' for exact, told in shown)


def _signed(value: float) -> str:
    return f"+{show(value)}" if value > 0 else show(value)


def _fact(value: Any) -> str:
    return (
        '<span class="soft">not stated</span>' if value is None else f"<bdi>{html.escape(plain(str(value), 70))}</bdi>"
    )
