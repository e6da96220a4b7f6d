"""What is said above and below a run: its name, its means over reliable positions, its warnings, its legend."""

import html
from collections.abc import Collection
from typing import Any

from loupe.app.pages.links import link
from loupe.app.pages.numbers import seconds, show
from loupe.app.pages.run_view import RunView
from loupe.app.pages.scales import Scale
from loupe.app.pages.scales import legend_html as scale_html
from loupe.app.pages.strip import State
from loupe.app.services.live import LiveRun
from loupe.storage.rows import WorkState

WORDS = {
    State.DONE: "explained",
    State.DOUBTFUL: "doubtful",
    State.MAKING: "running",
    State.WAITING: "waiting",
    State.SKIPPED: "not asked",
    State.FAILED: "failed",
}
KINDS = {"sample": "Sample run stored with the starter", "saved": "Saved run"}


def header_html(view: RunView, title: str, kind: str, path: str, samples: list[dict[str, str]]) -> str:
    """The head of a finished run."""
    warnings = "".join(_warning(w) for w in view.metadata.get("warnings") or ())
    return _header(KINDS[kind], title, _facts(view), path, samples) + warnings


def live_header_html(live: LiveRun, view: RunView, path: str, samples: list[dict[str, str]]) -> str:
    """The head of a run that is being made, or has ended."""
    title = _title(live)
    if live.state is WorkState.DONE and view.metadata:
        return header_html(view, title, "saved", path, samples)
    facts = [f"<b>{live.done}</b> of <b>{live.total}</b> explained"] if live.total else [html.escape(live.stage)]
    if (left := live.seconds_left) is not None:
        facts.append(f"about <b>{seconds(left)}</b> left")
    said = "Live" if live.busy else live.state.capitalize()
    return _header(said, title, facts, path, samples)


def preview_html(tokens: int) -> str:
    """The head of an input that was only cut into tokens."""
    return (
        '<div class="overline" data-testid="run-kind">Cut into tokens, nothing asked yet</div>'
        '<div class="titled"><h2 data-testid="run-title">Choose positions</h2>'
        f'<div class="facts num" data-testid="facts"><span><b>{tokens}</b> tokens</span>'
        "<span>drag over tokens, or click one and Shift-click another</span></div></div>"
    )


def legend_html(scale: Scale | None, mode: str, states: Collection[State]) -> str:
    """What the colours and the underlines that are drawn mean."""
    ramp = scale_html(scale) if scale else '<span class="ramp">no colour</span>'
    if mode != "text":
        return f'<div class="legend" data-testid="legend">{ramp}</div>'
    looks = "".join(
        f'<span><span class="tok {state}">{word}</span></span>' for state, word in WORDS.items() if state in states
    )
    return (
        f'<div class="legend" data-testid="legend">{ramp}<span class="looks">{looks}</span>'
        '<span class="keys"><kbd>←</kbd> <kbd>→</kbd> walk · <kbd>Shift</kbd> choose · <kbd>Esc</kbd> let go</span>'
        "</div>"
    )


def _facts(view: RunView) -> list[str]:
    facts = [f"<b>{len(view.tokens)}</b> tokens"]
    if len(view.positions) < len(view.tokens):
        facts.append(f"<b>{len(view.positions)}</b> explained")
    reliable = len(view.reliable)
    for name, said in (("fve_nrm", "recovered from the words, mean"), ("cosine", "cosine"), ("kl", "KL")):
        mean = view.mean(name)
        if mean is not None:
            unit = " nats" if name == "kl" else ""
            tip = f"Mean {name} over {reliable} reliable positions"
            facts.append(f'<span title="{tip}">{said} <b>{show(mean)}</b>{unit}</span>')
    if (left_out := len(view.positions) - reliable) > 0:
        facts.append(f"<b>{left_out}</b> unreliable left out")
    if (layer := view.metadata.get("layer")) is not None:
        facts.append(f"output of block <b>{layer}</b>")
    return facts


def _title(live: LiveRun) -> str:
    options = live.options
    said = options.name or options.text or next((m.content for m in options.messages or ()), "")
    line = " ".join(said.split())
    return line if len(line) <= 72 else line[:69].rstrip() + "…"


def _warning(warning: dict[str, Any]) -> str:
    return f'<div class="warning"><b>Check this pair.</b> {html.escape(str(warning.get("message", "")))}</div>'


def _header(said: str, title: str, facts: list[str], path: str, samples: list[dict[str, str]]) -> str:
    links = "".join(
        f'<a class="pick" href="{link("/samples/" + s["id"])}" data-testid="sample" '
        f'aria-current="{"true" if path == "/samples/" + s["id"] else "false"}">{html.escape(s["title"])}</a>'
        for s in samples
    )
    picks = f'<nav class="runs" aria-label="Sample runs">{links}</nav>' if links else ""
    permalink = f'<a href="{link(path)}" data-testid="permalink">permalink</a>'
    told = "".join(f"<span>{fact}</span>" for fact in facts)
    return (
        f'<div class="head-line"><span class="overline" data-testid="run-kind">{html.escape(said)}</span>{picks}</div>'
        f'<div class="titled"><h2 data-testid="run-title">{html.escape(title)}</h2></div>'
        f'<div class="facts num" data-testid="facts">{told}<span>{permalink}</span></div>'
    )
