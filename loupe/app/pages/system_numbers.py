"""The numbers of the System page as markup: the machine with its last hour, latencies, slices, disk, settings."""

import html
from collections.abc import Iterable, Sequence
from typing import Any

from loupe.app.pages.numbers import seconds
from loupe.app.services.history import Sample
from loupe.app.services.latency import Latency
from loupe.app.sizes import size_text

WIDTH, HEIGHT = 240, 44
NO_GPU = (
    '<p class="soft">No CUDA device was found: models cannot be split over GPUs or wait beside one, and int8 and nf4 '
    "cannot be had.</p>"
)


def machine_html(
    samples: Sequence[Sample], held: dict[str, Any], glance: dict[str, Any], devices: Sequence[dict[str, Any]] = ()
) -> str:
    """What the machine does now, with the last hour of it as lines, and who holds the device's memory."""
    now = samples[-1]
    cards = [
        _card("Processors", f"{now.cpu_percent:.0f} %", [s.cpu_percent for s in samples], 100),
        _card(
            "Memory",
            f"{size_text(now.machine_used_bytes)} of {size_text(now.machine_total_bytes)}",
            [s.machine_used_bytes for s in samples],
            now.machine_total_bytes,
        ),
        *_busy_card(samples),
        _card("Loupe's own memory", size_text(now.process_bytes), [s.process_bytes for s in samples]),
        _card("Lag of the event loop", _ms(now.loop_lag_s), [s.loop_lag_s for s in samples]),
    ]
    for each in now.accelerators:
        past = [a.utilisation_percent for s in samples for a in s.accelerators if a.index == each.index]
        if each.utilisation_percent is not None:
            cards.append(
                _card(each.name, f"{each.utilisation_percent} % busy", [p for p in past if p is not None], 100)
            )
        used = [a.used_bytes for s in samples for a in s.accelerators if a.index == each.index]
        told = f"{size_text(each.used_bytes)} of {size_text(each.total_bytes)}"
        cards.append(_card(f"{each.name}, memory", told, used, each.total_bytes))
    return f'<div class="cards">{"".join(cards)}</div>{_device_html(held, glance)}{devices_html(devices)}'


def _busy_card(samples: Sequence[Sample]) -> list[str]:
    known = [s.device_busy_percent for s in samples if s.device_busy_percent is not None]
    return [_card("Device held by jobs", f"{known[-1]:.0f} %", known, 100)] if known else []


def _device_html(held: dict[str, Any], glance: dict[str, Any]) -> str:
    if not held:
        return '<p class="soft" data-testid="device">The engine is not loaded; it is when it is first needed.</p>'
    doing = f"runs {html.escape(glance['running'])}" if "running" in glance else "is idle"
    limit = f"{size_text(held['memory_limit_bytes'])} may be filled"
    rows = [(html.escape(owner), size_text(bytes_)) for owner, bytes_ in held["holdings"].items()]
    table = _table(("Held in device memory", "Size"), rows) if rows else '<p class="soft">No model is loaded.</p>'
    return (
        f'<p data-testid="device"><b>{html.escape(glance["device"])}</b> {doing}; {glance["waiting"]} wait, '
        f"{glance['paused']} paused; {limit}.</p>{table}"
    )


def devices_html(devices: Sequence[dict[str, Any]]) -> str:
    """The devices a model can be put on, and what is held there; nothing before the engine is loaded."""
    if not devices:
        return ""
    rows = [
        (
            html.escape(device["name"]),
            html.escape(device["kind"]),
            f"{size_text(device['free_bytes'])} of {size_text(device['total_bytes'])}",
            html.escape(", ".join(device["holdings"])),
        )
        for device in devices
    ]
    missing = "" if any(device["name"].startswith("cuda") for device in devices) else NO_GPU
    table = _table(("Device", "What it is", "Free", "Held by"), rows, right=False)
    return f'<div data-testid="devices">{table}{missing}</div>'


def latency_html(rows: Sequence[Latency]) -> str:
    """What people wait for, beside its target; a row above its target says so."""
    if not rows:
        return '<p class="soft">Nothing was measured yet.</p>'
    cells = [
        (
            row.name + (' <span class="warned">above target</span>' if row.over else ""),
            _ms(row.p50_s),
            _ms(row.p95_s),
            _ms(row.longest_s),
            _ms(row.target_s),
            f"{row.count:,}",
        )
        for row in rows
    ]
    return _table(("What", "p50", "p95", "Longest", "Target p95", "Times"), cells)


def slices_html(stats: Any) -> str:
    """How long jobs hold the device at once, the longest first."""
    if stats is None or not stats.slices:
        return '<p class="soft">No job has run on the device yet.</p>'
    cells = [
        (html.escape(s.name), _ms(s.p50_s), _ms(s.p95_s), _ms(s.longest_s), f"{s.overruns:,}", f"{s.count:,}")
        for s in stats.slices
    ]
    return _table(("Job", "p50", "p95", "Longest slice", "Over budget", "Slices"), cells)


def disk_html(sizes: dict[str, int], free: int) -> str:
    """What lies in the data directory."""
    rows = [(html.escape(name), size_text(count)) for name, count in sizes.items()]
    return _table(("What", "Size"), [*rows, ("free on the disk", size_text(free))])


def settings_html(rows: Iterable[dict[str, Any]]) -> str:
    """Every setting with its source; those that somebody set come first."""
    ordered = sorted(rows, key=lambda row: row["source"] == "default")
    cells = [
        (
            f"<code>{row['name']}</code>",
            "" if row["value"] is None else html.escape(str(row["value"])),
            row["source"],
            html.escape(row["about"] or ""),
        )
        for row in ordered
    ]
    return _table(("Setting", "Value", "From", "Meaning"), cells, right=False)


def safekeeping_html(keeping: Any) -> str:
    """Whether backups are made by themselves, and how the last one went."""
    if keeping is None:
        return "<p>No backup is made by itself; set <code>LOUPE_BACKUP_DIR</code> for that.</p>"
    last = keeping.last
    told = f"snapshot {last['number']} at {html.escape(last['at'][:16])} UTC" if last else "none since the start"
    problem = f' <span class="warned">{html.escape(keeping.problem)}</span>' if keeping.problem else ""
    return f"<p>Backups are made by themselves: {told}.{problem}</p>"


def backups_html(found: Sequence[Any]) -> str:
    """The snapshots there are."""
    if not found:
        return '<p class="soft" data-testid="backups-empty">There is no snapshot yet.</p>'
    cells = [
        (
            str(snapshot.number),
            f"{snapshot.created_at:%Y-%m-%d %H:%M} UTC",
            f"{len(snapshot.artefacts):,}",
            f"{len(snapshot.damaged)} damaged" if snapshot.damaged else "",
            f'<button class="plain" data-number="{snapshot.number}" data-testid="backup-verify">Verify</button>',
        )
        for snapshot in found
    ]
    return _table(("Snapshot", "Made", "Artefacts", "", ""), cells)


def _card(title: str, told: str, past: Sequence[float], most: float | None = None) -> str:
    return (
        f'<figure class="card-number"><figcaption class="soft">{html.escape(title)}</figcaption>'
        f'<b class="num">{html.escape(told)}</b>{line_svg(past, most)}</figure>'
    )


def line_svg(values: Sequence[float], most: float | None = None) -> str:
    """A line of the past, oldest left; from nothing to `most`, or to the largest value."""
    if len(values) < 2:
        return ""
    top = most or max(values) or 1
    step = WIDTH / (len(values) - 1)
    points = " ".join(f"{i * step:.1f},{HEIGHT - min(1.0, v / top) * HEIGHT:.1f}" for i, v in enumerate(values))
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{len(values)} samples"><polyline points="{points}"/></svg>'
    )


def _ms(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else seconds(value)


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, right: bool = True) -> str:
    """A plain table; the cells are markup already. Numbers, all but the first column, stand at the right."""
    side = ' class="num"' if right else ""
    head = "".join(f"<th{side if i else ''}>{name}</th>" for i, name in enumerate(heads))
    lines = ("".join(f"<td{side if i else ''}>{cell}</td>" for i, cell in enumerate(row)) for row in rows)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    table = f'<table class="plain-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    return f'<div class="scroll">{table}</div>'
