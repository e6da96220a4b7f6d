"""The library as markup: rows, the memory line, certificates, trees. Pure functions; everything is escaped here."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from loupe.app.pages.library_entry import Entry, Section
from loupe.app.pages.links import link
from loupe.app.plain import plain
from loupe.app.sizes import size_text

STATES = {"loaded": "ready", "loading": "busy", "on disk": "", "unusable": "failed", "deleted": ""}


def text(value: object, limit: int = 160) -> str:
    """Any string as inert, short text, kept apart from the direction of what surrounds it."""
    return f"<bdi>{html.escape(plain(str(value), limit))}</bdi>"


def chip(label: str, state: str = "", tip: str = "") -> str:
    """A small label; with a state it carries a dot whose shape says the same as its colour."""
    dot = '<span class="dot"></span>' if state is not None and label in STATES else ""
    title = f' title="{html.escape(tip, quote=True)}"' if tip else ""
    return f'<span class="chip {STATES.get(state, state)}"{title}>{dot}{text(label, 60)}</span>'


def section_html(section: Section, rows: Sequence[Entry]) -> str:
    """A section's rows, or how something comes into it."""
    if not rows:
        return f'<p class="soft pad" data-testid="none-{section.noun}">{html.escape(section.empty)}</p>'
    if section.columns:
        return _table_html(section, rows)
    return f'<ul class="entries">{"".join(entry_html(section.noun, row) for row in rows)}</ul>'


def entry_html(noun: str, row: Entry) -> str:
    """One row: name and state, facts, and what can be done."""
    facts = "".join(f"<span>{text(fact, 70)}</span>" for fact in row.facts)
    return (
        f'<li data-testid="entry-{noun}" data-id="{html.escape(row.id, quote=True)}"><div class="who">'
        f'{_named(row)}</div><div class="acts">{_acts(noun, row)}</div><div class="facts">{facts}</div>{_notes(row)}'
        "</li>"
    )


def _table_html(section: Section, rows: Sequence[Entry]) -> str:
    looks = ["", *(' class="num"' if name.startswith("#") else "" for name in section.columns)]
    names = ("Name", *(name.removeprefix("#") for name in section.columns))
    heads = "".join(f"<th{look}>{name}</th>" for look, name in zip(looks, names, strict=True))
    labelled = [f'{look} data-label="{name}"' for look, name in zip(looks[1:], names[1:], strict=True)]
    body = "".join(_table_row(section.noun, row, labelled) for row in rows)
    head = f'<thead><tr>{heads}<th><span class="sr">What can be done</span></th></tr></thead>'
    return f'<div class="scroll"><table class="history stacks">{head}<tbody>{body}</tbody></table></div>'


def _table_row(noun: str, row: Entry, looks: Sequence[str]) -> str:
    cells = "".join(f"<td{look}>{text(cell, 90)}</td>" for look, cell in zip(looks, row.cells, strict=True))
    return (
        f'<tr data-testid="entry-{noun}" data-id="{html.escape(row.id, quote=True)}"><td class="name">'
        f'<div class="who">{_named(row)}</div>{_notes(row)}</td>{cells}<td class="acts">{_acts(noun, row)}</td></tr>'
    )


def _named(row: Entry) -> str:
    name = text(row.name, 80)
    linked = f'<a href="{link(row.href)}">{name}</a>' if row.href else name
    state = chip(row.state, row.state) if row.state else ""
    return f"<b>{linked}</b>{state}{''.join(chip(label, '', tip) for label, tip in row.chips)}"


def _notes(row: Entry) -> str:
    about = f'<div class="about">{text(row.about, 240)}</div>' if row.about else ""
    return about + (f'<div class="warning">{text(row.problem, 400)}</div>' if row.problem else "")


def _acts(noun: str, row: Entry) -> str:
    id = html.escape(row.id, quote=True)
    return "".join(
        f'<button type="button" class="plain" data-act="{act}" data-noun="{noun}" data-id="{id}" '
        f'aria-label="{html.escape(f"{label} {row.name}", quote=True)}" data-testid="{act}-{noun}">{label}</button>'
        for act, label in row.acts
    )


def memory_html(total: int, available: int, used: int, held: Mapping[str, int], device: str) -> str:
    """What the device has, and who holds how much of it."""
    share = min(100.0, 100 * used / total) if total else 0.0
    owners = "".join(f"<li>{text(owner, 60)} <b class=num>{size_text(size)}</b></li>" for owner, size in held.items())
    listed = f'<ul class="owners" data-testid="owners">{owners}</ul>' if owners else ""
    told = f"{size_text(used)} of {size_text(total)} in use; {size_text(available)} may still be taken (90 % line)"
    return (
        f'<div class="memory" data-testid="memory"><div class="overline">Memory of {text(device, 30)}</div>'
        f'<div class="progress" role="img" aria-label="{share:.0f} percent in use">'
        f'<i style="width:{share:.1f}%"></i></div>'
        f'<div class="soft num">{told}</div>{listed}</div>'
    )


def facts_html(facts: Mapping[str, object]) -> str:
    """Names and values; what is not known is not there."""
    rows = "".join(
        f"<dt>{html.escape(name)}</dt><dd>{text(value, 200)}</dd>"
        for name, value in facts.items()
        if value not in (None, "")
    )
    return f'<dl class="known">{rows}</dl>'


def fit_html(fit: Mapping[str, Any]) -> str:
    """Whether it fits, with the numbers."""
    if fit.get("why_not"):
        return f'<div class="warning" data-testid="fit">{text(fit["dtype"])} {text(fit["why_not"], 200)}.</div>'
    verdict = "Fits" if fit["fits"] else "Does not fit now"
    guess = "" if fit["exact"] else " (estimate)"
    state = "ready" if fit["fits"] else "failed"
    return (
        f'<div class="fit" data-testid="fit"><span class="chip {state}"><span class="dot"></span>{verdict}</span> '
        f'<span class="num">needs {size_text(fit["weights_bytes"])}{guess} for weights and '
        f"{size_text(fit['working_bytes'])} to read 2 000 tokens; {size_text(fit['available_bytes'])} may be taken"
        "</span></div>"
    )


def certificate_html(found: Mapping[str, Any] | None, fingerprint: str = "") -> str:
    """The badge, its date and versions, and every check."""
    if found is None:
        return '<p class="soft" data-testid="certificate">Not certified on this machine yet.</p>'
    stale = fingerprint and fingerprint != found.get("fingerprint")
    verdict = "Certified" if found["passed"] else "Did not pass"
    state = "ready" if found["passed"] and not stale else "failed"
    versions = found.get("versions", {})
    when = f"{str(found['at'])[:16].replace('T', ' ')} UTC, {found['dtype']} on {found['device']}"
    with_what = ", ".join(f"{n} {versions[n]}" for n in ("torch", "transformers") if n in versions)
    checks = "".join(_check_html(check) for check in found["checks"])
    note = '<div class="warning">The weights have changed since.</div>' if stale else ""
    return (
        f'<div data-testid="certificate"><span class="chip {state}"><span class="dot"></span>{verdict}</span> '
        f'<span class="soft">{text(when)}; {text(with_what)}</span>{note}'
        f'<div class="soft">Sites: {text(", ".join(found["sites"]))}. '
        f"Partial forward: {_yes(found['partial_forward'])}. "
        f"Injected rows reach block 0: {_yes(found['injects'])}.</div>"
        f"<details><summary>{len(found['checks'])} checks</summary>"
        f'<table class="plain-table"><tbody>{checks}</tbody></table></details></div>'
    )


def tree_html(node: Mapping[str, Any], depth: int = 0) -> str:
    """A module and what is inside it; blocks that are alike are one line."""
    times = f" <b>x {node['repeats']}</b>" if node.get("repeats", 1) > 1 else ""
    shape = f"[{', '.join(map(str, node['shape']))}]" if node.get("shape") else ""
    sites = "".join(f'<span class="chip site">{text(site)}</span>' for site in node.get("sites", ()))
    line = (
        f'<span class="path">{text(node.get("name") or "model", 60)}</span>{times} '
        f'<span class="soft">{text(node["kind"], 40)} {shape}</span> {sites} '
        f"<span class='soft num'>{count_text(node['parameters'])}</span>"
    )
    inner = node.get("children", ())
    if not inner:
        return f'<div class="leaf">{line}</div>'
    opened = " open" if depth < 5 else ""
    return (
        f"<details{opened}><summary>{line}</summary>{''.join(tree_html(child, depth + 1) for child in inner)}</details>"
    )


def dependants_html(found: Mapping[str, Any]) -> str:
    """What would miss it."""
    said = []
    for noun in ("pairs", "groups"):
        links = ", ".join(f'<a href="{link(f"/library/{noun}/{id}")}">{text(id)}</a>' for id in found[noun])
        if links:
            said.append(f"<li>{noun}: {links}</li>")
    if found["runs"]:
        said.append(f"<li>{found['runs']:,} saved runs name it; they stay, but can no longer be repeated</li>")
    if found.get("token_rows"):
        said.append(f"<li>{found['token_rows']:,} sets of token rows go with it, and come back with it</li>")
    if found["users"]:
        said.append(f"<li>{found['users']} running requests use it now</li>")
    return (
        f'<ul data-testid="dependants">{"".join(said)}</ul>' if said else '<p class="soft">Nothing depends on it.</p>'
    )


def preview_html(found: Mapping[str, Any]) -> str:
    """A repository or folder before it is added."""
    facts = {
        "commit": str(found.get("commit", ""))[:12],
        "architecture": found.get("architecture"),
        "blocks": found.get("n_layers"),
        "d_model": found.get("d_model"),
        "stored as": found.get("dtype"),
        "licence": found.get("licence") or "not stated",
        "gated": "yes: accept its terms on the hub and give a token" if found.get("gated") else "no",
        "size": size_text(found["total_bytes"]),
    }
    files = "".join(
        f"<li>{text(f['name'], 80)} <span class=num>{size_text(f['size_bytes'])}</span></li>" for f in found["files"]
    )
    listed = f"<details><summary>{len(found['files'])} files</summary><ul>{files}</ul></details>"
    return f'<div data-testid="preview">{fit_html(found["fit"])}{facts_html(facts)}{listed}</div>'


def sae_preview_html(found: Mapping[str, Any]) -> str:
    """The SAEs of a repository before one is fetched."""
    facts = {
        "commit": str(found["commit"])[:12],
        "licence": found.get("licence") or "not stated",
        "gated": "yes: accept its terms on the hub and give a token" if found["gated"] else "no",
        "SAEs": f"{len(found['saes']):,}",
    }
    items = "".join(
        f"<li>{text(each['path'], 100)} <span class=num>{size_text(each['size_bytes'])}</span></li>"
        for each in found["saes"][:200]
    )
    return f'<div data-testid="sae-preview">{facts_html(facts)}<ul class="listed">{items}</ul></div>'


def count_text(count: int) -> str:
    """A number of parameters as a person reads it."""
    for unit, step in (("B", 10**9), ("M", 10**6), ("k", 10**3)):
        if count >= step:
            return f"{count / step:.1f}{unit}"
    return str(count)


def _check_html(check: Mapping[str, Any]) -> str:
    mark = "held" if check["passed"] else "failed" if check["required"] else "not available"
    off = f"{check['difference']:.1e}" if check.get("difference") is not None else ""
    return f'<tr><td>{text(check["name"], 90)}</td><td>{mark}</td><td class="num">{off}</td></tr>'


def _yes(value: bool) -> str:
    return "yes" if value else "no"
