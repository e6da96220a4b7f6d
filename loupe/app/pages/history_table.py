"""The table of kept runs as markup: one element, one listener; every name in it is escaped and inert."""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from loupe.app.pages.links import link
from loupe.app.pages.numbers import show
from loupe.app.pages.run_actions import named
from loupe.app.plain import plain
from loupe.storage.records import Page
from loupe.storage.repos.runs import RunRecord
from loupe.storage.rows import WorkState

COLUMNS = (
    ("name", "Run"),
    ("model", "Model"),
    ("author", "By"),
    ("state", "State"),
    ("", "Recovered ↑"),
    ("created_at", "Made"),
)
LIMIT = 50
MOMENT = "%Y-%m-%d %H:%M"


@dataclass(frozen=True, slots=True)
class Query:
    """What the page shows; it lives in the address, so that every list is a link."""

    search: str = ""
    model: str = ""
    author: str = ""
    state: str = ""
    deleted: bool = False
    sort_by: str = "created_at"
    order: str = "desc"
    page: int = 1
    compare: str = ""

    @property
    def path(self) -> str:
        """The address that shows this."""
        usual = asdict(Query())
        told = {name: value for name, value in asdict(self).items() if value != usual[name]}
        if "sort_by" in told:
            told["sortBy"] = told.pop("sort_by")
        if "deleted" in told:
            told["deleted"] = "true"
        return "/history" + (f"?{urlencode(told)}" if told else "")

    @property
    def filters(self) -> dict[str, Any]:
        """The arguments of `Runs.list`."""
        chosen = {name: value for name in ("model", "author", "state") if (value := getattr(self, name))}
        order = {"sort_by": self.sort_by, "order": self.order}
        return {"search": self.search, "deleted": self.deleted, "page": self.page, "limit": LIMIT, **order, **chosen}

    def sorted_by(self, column: str) -> "Query":
        """The same sorted by a column; once more by the same one turns it round."""
        turned = {"asc": "desc", "desc": "asc"}[self.order]
        first = "desc" if column == "created_at" else "asc"
        return replace(self, sort_by=column, order=turned if column == self.sort_by else first, page=1)


def table_html(page: Page[RunRecord], query: Query, chosen: Sequence[str]) -> str:
    """Rows with what can be done to each; `chosen` are marked to be compared."""
    head = "".join(_heading(column, label, query) for column, label in COLUMNS)
    rows = "".join(_row(record, query, record.id in chosen) for record in page.items)
    return (
        '<table class="history stacks" data-testid="history-table"><thead><tr><th class="pick">'
        f'<span class="sr">Compare</span></th>{head}<th><span class="sr">What to do</span></th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _heading(column: str, label: str, query: Query) -> str:
    if not column:
        return f'<th class="num" title="Mean fve_nrm over reliable positions">{label}</th>'
    here = column == query.sort_by
    told = {"asc": "ascending", "desc": "descending"}[query.order] if here else "none"
    arrow = {"asc": "▲", "desc": "▼"}[query.order] if here else ""
    return (
        f'<th aria-sort="{told}"><button type="button" data-act="sort" data-id="{column}" '
        f'data-testid="sort-{column}">{label} <span aria-hidden="true">{arrow}</span></button></th>'
    )


def _row(record: RunRecord, query: Query, is_chosen: bool) -> str:
    id = html.escape(record.id, quote=True)
    can_open = record.deleted_at is None
    name, about = _name_and_text(record)
    title = f'<a href="{link(f"/runs/{record.id}")}">{name}</a>' if can_open else name
    return (
        f'<tr data-testid="history-row" data-run="{id}"{" class=chosen" if is_chosen else ""}>'
        f'<td class="pick">{_pick(record, is_chosen)}</td>'
        f'<td class="name">{title}{_origin(record)}{about}</td>'
        f'<td data-label="Model">{html.escape(plain(record.model, 40))}{_layer(record)}</td>'
        f'<td data-label="By">{named(record.author) if record.author else ""}</td>'
        f'<td data-label="State">{_state(record)}</td>'
        f'<td class="num" data-label="Recovered">{_recovered(record)}</td>'
        f'<td class="when" data-label="Made">{_moment(record)}</td><td class="acts">{_acts(record, id)}</td></tr>'
    )


def _name_and_text(record: RunRecord) -> tuple[str, str]:
    """The name, and the text below it; a name that is only the beginning of the text is not said twice."""
    text, name = " ".join(record.text.split()), record.name
    if name == text or (name.endswith("…") and text.startswith(name[:-1])):
        return f"<bdi>{html.escape(plain(record.text, 110))}</bdi>", ""
    return named(record.name), f'<div class="soft about"><bdi>{html.escape(plain(record.text, 110))}</bdi></div>'


def _pick(record: RunRecord, is_chosen: bool) -> str:
    if record.artefact_id is None or record.deleted_at is not None:
        return ""
    label = html.escape(f"Compare {plain(record.name, 60)}", quote=True)
    return (
        f'<button type="button" class="tick" role="checkbox" aria-checked="{"true" if is_chosen else "false"}" '
        f'aria-label="{label}" data-act="pick" data-id="{record.id}" data-testid="pick"></button>'
    )


def _origin(record: RunRecord) -> str:
    if record.repeat_of:
        return ' <span class="chip small">repetition</span>'
    if not record.origin:
        return ""
    told = ", ".join(
        f"{word} {plain(str(record.origin[key]), 60)}"
        for key, word in (("file", "from"), ("author", "made by"), ("created_at", "on"))
        if record.origin.get(key)
    )
    return f' <span class="chip small" title="{html.escape(told, quote=True)}" data-testid="imported">imported</span>'


def _layer(record: RunRecord) -> str:
    return "" if record.layer is None else f' <span class="soft">block {record.layer}</span>'


def _state(record: RunRecord) -> str:
    why = f' title="{html.escape(plain(record.error_message, 300), quote=True)}"' if record.error_message else ""
    look = {WorkState.DONE: "ready", WorkState.FAILED: "failed"}.get(
        record.state, "busy" if record.state == WorkState.RUNNING else ""
    )
    return f'<span class="chip {look}"{why}><span class="dot"></span>{record.state}</span>'


def _recovered(record: RunRecord) -> str:
    summary = record.summary or {}
    value, total = summary.get("fve_nrm"), summary.get("positions")
    told = f' <span class="soft">/ {total}</span>' if total else ""
    return (
        f'<span title="{value!r}, over {summary.get("reliable")} reliable positions">{show(value)}</span>{told}'
        if value is not None
        else told
    )


def _moment(record: RunRecord) -> str:
    moment: datetime = record.created_at
    return f'<time datetime="{moment.isoformat()}" title="UTC">{moment.strftime(MOMENT)}</time>'


def _acts(record: RunRecord, id: str) -> str:
    acts = (
        (("restore", "Restore"), ("purge", "Delete for good"))
        if record.deleted_at
        else (("rename", "Rename"), ("delete", "Delete"))
    )
    label = html.escape(plain(record.name, 60), quote=True)
    return "".join(
        f'<button type="button" class="plain" data-act="{act}" data-id="{id}" data-testid="row-{act}" '
        f'aria-label="{word} {label}">{word}</button>'
        for act, word in acts
    )
