"""A run as one page in one file: opens offline, asks nobody for anything, and looks like the app because it is drawn by
the same functions.

Every token's card waits in a `template`; a script of some lines, allowed by its hash and nothing else, shows it.
Without scripts there is the table below the text, which says the same.
"""

import base64
import hashlib
import html
import re
from functools import cache

from loupe.app.pages import run_view
from loupe.app.pages.card import Look, card_html, hint_html
from loupe.app.pages.numbers import show
from loupe.app.pages.run_view import PositionView, RunView
from loupe.app.pages.scales import Scale, legend_html, salience_scale, scale_of
from loupe.app.pages.strip import Paint, State, row_html, rows_of, visible
from loupe.app.plain import plain
from loupe.app.services.run_files.document import Document
from loupe.app.settings import assets_folder

SCRIPT = """
(() => {
  const strip = document.querySelector('.strip'), card = document.querySelector('.right');
  const hint = card.innerHTML, all = [...strip.querySelectorAll('.tok.done, .tok.doubtful')];
  let locked = -1;
  const show = (i) => {
    const kept = document.getElementById('card-' + i);
    if (kept) card.replaceChildren(kept.content.cloneNode(true)); else card.innerHTML = hint;
  };
  const lock = (i) => {
    locked = i === locked ? -1 : i;
    for (const t of all) {
      const here = Number(t.dataset.i) === locked;
      t.classList.toggle('locked', here);
      t.setAttribute('aria-selected', here);
    }
    if (locked >= 0) show(locked);
    history.replaceState(null, '', locked < 0 ? '#' : '#position=' + locked);
  };
  const at = (e) => { const t = e.target.closest('[data-i]'); return t ? Number(t.dataset.i) : -1; };
  strip.addEventListener('mouseover', (e) => { const i = at(e); if (locked < 0 && i >= 0) show(i); });
  strip.addEventListener('click', (e) => { if (!String(getSelection())) lock(at(e)); });
  strip.addEventListener('keydown', (e) => {
    const now = all.findIndex((t) => Number(t.dataset.i) === locked);
    const to = { ArrowRight: now + 1, ArrowLeft: now - 1, Home: 0, End: all.length - 1 }[e.key];
    if (e.key === 'Escape' && locked >= 0) lock(locked);
    if (to === undefined || !all[to]) return;
    e.preventDefault();
    locked = -1;
    lock(Number(all[to].dataset.i));
    all[to].scrollIntoView({ block: 'nearest' });
  });
  document.querySelector('.theme').addEventListener('click', () => {
    document.body.classList.toggle('body--dark');
    document.body.classList.toggle('body--light');
  });
  if (matchMedia('(prefers-color-scheme: light)').matches) document.querySelector('.theme').click();
  const asked = /position=(\\d+)/.exec(location.hash);
  if (asked) lock(Number(asked[1])); else if (strip.dataset.start) show(strip.dataset.start);
  document.body.dataset.ready = 'true';
})();
"""
STYLE = """
*, *::before, *::after { box-sizing: border-box; }
body { margin: 0; min-height: 100vh; }
.titled h1 { font: 600 16px/1.3 var(--ui); color: var(--strong); margin: 0; }
button.theme { font: inherit; color: var(--text); background: none; border: 1px solid var(--border); border-radius: 8px;
  padding: 4px 12px; cursor: pointer; margin-left: auto; }
.twin { border-collapse: collapse; width: 100%; font-size: 13px; }
.twin th, .twin td { text-align: left; vertical-align: top; padding: 5px 10px 5px 0; }
.twin td { border-top: 1px solid var(--line); }
.twin td.num { text-align: right; } .twin td.said { white-space: pre-line; overflow-wrap: anywhere; }
"""


def page(document: Document) -> bytes:
    """The file."""
    view = run_view.read(document.result)
    name = plain(str(document.run.get("name") or "Run"))
    script = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; script-src 'sha256-{script}'; style-src 'unsafe-inline'; font-src data:; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    title = html.escape(name)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>{title} · Loupe</title><style>{_style()}{STYLE}</style></head>'
        f'<body class="loupe body--dark"><header class="topbar"><b class="brand">Loupe</b>'
        f'<button class="theme" type="button">dark or light</button></header>{_main(document, view, title)}'
        f"{_templates(view)}<script>{SCRIPT}</script></body></html>\n"
    ).encode()


def _main(document: Document, view: RunView, title: str) -> str:
    start = "" if (best := view.best_start()) is None else f' data-start="{best}"'
    scale = _scale(view)
    paint = Paint(lambda i: _state(view.positions.get(i)), scale=scale)
    tokens = "".join(
        f'<div class="row">{row_html(view, role, row, paint)}</div>'
        for role, row in rows_of(len(view.tokens), view.turns)
    )
    legend = f'<div class="legend">{legend_html(scale)}</div>' if scale else ""
    return (
        '<main class="page split"><div class="left"><section class="panel"><div class="body"><div class="titled">'
        f'<h1>{title}</h1><div class="facts num">{_facts(document, view)}</div></div></div>'
        f'<div class="strip" role="listbox" tabindex="0" aria-label="Tokens of the text"{start}>{tokens}</div>{legend}'
        f'</section><details class="panel"><summary class="body">All explanations as a table</summary>'
        f'<div class="body">{_table(view)}</div></details></div>'
        f'<aside class="right panel" aria-label="Explanation">{hint_html()}</aside></main>'
    )


def _state(found: PositionView | None) -> State:
    return State.SKIPPED if found is None else State.DOUBTFUL if found.is_doubtful else State.DONE


def _facts(document: Document, view: RunView) -> str:
    run = document.run
    facts = [f"<b>{len(view.tokens)}</b> tokens"]
    if (mean := view.mean("fve_nrm")) is not None:
        facts.append(f"recovered on average <b>{show(mean)}</b>")
    named = (("model", "model"), ("author", "by"), ("created_at", "made"))
    facts += [f"{label} <b>{html.escape(plain(str(run[key]))[:40])}</b>" for key, label in named if run.get(key)]
    if (layer := view.metadata.get("layer")) is not None:
        facts.append(f"output of block <b>{layer}</b>")
    return "".join(f"<span>{fact}</span>" for fact in facts)


def _table(view: RunView) -> str:
    scores = [
        (name, label)
        for name, label in (("fve_nrm", "fve_nrm ↑"), ("cosine", "cosine ↑"), ("mse", "mse ↓"), ("kl", "KL ↓"))
        if any(getattr(found, name) is not None for found in view.positions.values())
    ]
    head = "".join(f"<th>{label}</th>" for _, label in scores)
    rows = "".join(_row(found, [name for name, _ in scores]) for found in view.positions.values())
    return f'<table class="twin"><tr><th>#</th><th>token</th><th>explanation</th>{head}</tr>{rows}</table>'


def _row(found: PositionView, scores: list[str]) -> str:
    cells = "".join(
        f'<td class="num">{"" if (value := getattr(found, name)) is None else show(value)}</td>' for name in scores
    )
    return (
        f"<tr><td>{found.position}</td><td>{visible(found.token)}</td>"
        f'<td class="said">{html.escape(found.explanation)}</td>{cells}</tr>'
    )


def _scale(view: RunView) -> Scale | None:
    return scale_of("fve_nrm", view.values("fve_nrm"))


def _templates(view: RunView) -> str:
    look = Look(salience=salience_scale(view.saliences()), scale=_scale(view))
    return "".join(
        f'<template id="card-{position}">{_BUTTON.sub("", card_html(view, position, look))}</template>'
        for position in view.positions
    )


_BUTTON = re.compile(r"<button\b[^<]*</button>")  # what only the app can do has no place in a file


@cache
def _style() -> str:
    """The style sheets of a reading page with their fonts inside."""
    folder = assets_folder() / "css"
    sheets = "".join((folder / f"{name}.css").read_text() for name in ("loupe", "reading"))

    def inside(found: re.Match[str]) -> str:
        font = base64.b64encode((folder / found[1]).read_bytes()).decode()
        return f"url(data:font/woff2;base64,{font})"

    return re.sub(r'url\("(\.\./fonts/[\w.-]+)"\)', inside, sheets)
