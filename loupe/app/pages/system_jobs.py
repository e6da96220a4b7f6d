"""The jobs of the System page: a table with every lever, and the log of each. Names in it are escaped and inert."""

import html
from typing import Any

from nicegui import ui

from loupe.app.errors import ConfirmationNeeded
from loupe.app.pages.frame import Problem
from loupe.app.pages.links import link
from loupe.app.pages.numbers import seconds
from loupe.app.pages.run_actions import visitor
from loupe.app.plain import plain
from loupe.app.services.job_view import PRIORITIES
from loupe.app.workspace import Workspace
from loupe.storage.records import Page
from loupe.storage.rows import WorkState

LIMIT = 20
REFRESH_S = 1.0
ACT = """(e) => {
  const t = e.target.closest('button[data-act]');
  if (t) emit({ act: t.dataset.act, id: t.dataset.id });
}"""
LEVERS = {"pause": "Pause", "resume": "Resume", "cancel": "Cancel", "retry": "Retry"}

NO_JOB = "No job yet. Analyses, loads, downloads, trainings and backups are listed here as soon as they are asked for."


class JobsPanel:
    """The table of one open page: which page of it is shown, in which state, and what is searched for."""

    def __init__(self, workspace: Workspace, problem: Problem) -> None:
        self.workspace = workspace
        self.problem = problem
        self.page = 1
        self.state = ""
        self.search = ""
        self._shown = ""
        self._is_stale = False

    async def build(self) -> None:
        """Lay the panel out and show the newest jobs; it follows the bridge from then on."""
        with ui.element("div").classes("tools"):
            field = ui.input(placeholder="Search jobs").props("outlined dense clearable debounce=150 type=search")
            field.props('aria-label="Search jobs" data-testid=jobs-search').classes("grow")
            field.on_value_change(lambda e: self._ask(search=(e.value or "")[:200]))
            choices = {"": "State: all"} | {state.value: state.value for state in WorkState}
            select = ui.select(choices, value="").props('outlined dense options-dense aria-label="State"')
            select.props("data-testid=jobs-state").on_value_change(lambda e: self._ask(state=e.value or ""))
        self.table = ui.html("", sanitize=False).classes("panel scroll")
        self.table.on("click", self._act, js_handler=ACT)
        with ui.element("div").classes("turn-page") as self.pager:
            self._turn("Newer", -1)
            self.where = ui.label("").classes("soft num").props("data-testid=jobs-where")
            self._turn("Older", 1)
        await self.show()
        ui.context.client.on_delete(self.workspace.bridge.subscribe("jobs", self._note_change))
        ui.timer(REFRESH_S, self._follow, immediate=False)

    async def show(self) -> None:
        """Read the jobs and draw them, when anything about them has changed."""
        found = await self.workspace.jobs.list(
            page=self.page, limit=LIMIT, search=self.search, state=self.state or None
        )
        drawn = table_html(found, is_filtered=bool(self.search or self.state))
        if drawn != self._shown:
            self._shown = drawn
            self.table.set_content(drawn)
            first = (found.page - 1) * LIMIT + 1
            self.pager.visible = found.has_next or found.page > 1
            self.where.set_text(f"{first}-{first + len(found.items) - 1} of {found.total}" if found.items else "")

    def _note_change(self, _: object) -> None:
        self._is_stale = True

    async def _follow(self) -> None:
        """Look again while there is work, and once after anything happened; a quiet page asks nothing."""
        if self._is_stale or self.workspace.jobs.live:
            self._is_stale = False
            await self.show()

    async def _ask(self, **wanted: str) -> None:
        self.page = 1
        for name, value in wanted.items():
            setattr(self, name, value)
        await self.show()

    def _turn(self, name: str, by: int) -> None:
        async def turn() -> None:
            self.page = max(1, self.page + by)
            await self.show()

        button = ui.button(name, on_click=turn, color=None).classes("quiet")
        button.props(f"flat dense no-caps data-testid=jobs-{name.lower()}")

    async def _act(self, event: Any) -> None:
        act, id = str(event.args["act"]), str(event.args["id"])
        if act == "log":
            await self._log(id)
        elif act == "cancel":
            await self._cancel(id)
        elif act in ("pause", "resume", "retry"):
            await getattr(self.workspace.jobs, act)(id, by=visitor())
        elif act in PRIORITIES:
            await self.workspace.jobs.set_priority(id, act, by=visitor())
        await self.show()

    async def _cancel(self, id: str) -> None:
        try:
            await self.workspace.jobs.cancel(id, by=visitor())
        except ConfirmationNeeded as asked:
            if await _meant(str(asked)):
                await self.workspace.jobs.cancel(id, by=visitor(), confirm=True)

    async def _log(self, id: str) -> None:
        lines = await self.workspace.jobs.logs(id)
        with (
            ui.dialog().props('aria-label="Log"') as dialog,
            ui.element("div").classes("sheet log-sheet").props("data-testid=job-log"),
        ):
            ui.html("Log", tag="h2", sanitize=False)
            ui.html(log_html(lines), sanitize=False).classes("scroll")
            ui.button("Close", on_click=lambda: dialog.submit(None), color=None).classes("quiet").props("flat no-caps")
        await dialog
        dialog.delete()


async def _meant(question: str) -> bool:
    with ui.dialog() as dialog, ui.element("div").classes("sheet").props("data-testid=confirm"):
        dialog.props["aria-label"] = question
        ui.label(question)
        with ui.element("div").classes("actions"):
            yes = ui.button("Cancel it", on_click=lambda: dialog.submit(True), color=None).classes("danger")
            yes.props("flat no-caps data-testid=confirm-yes")
            no = ui.button("Leave it", on_click=lambda: dialog.submit(False), color=None).classes("quiet")
            no.props("flat no-caps data-testid=confirm-no")
    answer = await dialog
    dialog.delete()
    return bool(answer)


def table_html(found: Page[dict[str, Any]], *, is_filtered: bool = False) -> str:
    """The jobs as one table."""
    if not found.items:
        said = "No job fits. Fewer words or another state find more." if is_filtered else NO_JOB
        return f'<p class="body soft" data-testid="jobs-empty">{said}</p>'
    heads = "".join(f"<th>{name}</th>" for name in ("Job", "State", "Progress", "Priority", "By", ""))
    rows = "".join(_row(job) for job in found.items)
    table = f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody>"
    return f'<table class="history stacks" data-testid="jobs">{table}</table>'


def _row(job: dict[str, Any]) -> str:
    name = f"<bdi>{html.escape(plain(job['name'], 80))}</bdi>"
    if job.get("run_id"):
        name = f'<a href="{link("/runs/" + job["run_id"])}">{name}</a>'
    error = f'<div class="bad">{html.escape(plain(job["error"]["message"], 300))}</div>' if job.get("error") else ""
    cells = (
        f'<td class="name">{name}<div class="soft">{html.escape(job["kind"])}</div>{error}</td>',
        f'<td data-label="State"><span class="state {job["state"]}">{job["state"]}</span></td>',
        f'<td class="when" data-label="Progress">{_progress(job)}</td>',
        f'<td data-label="Priority">{_priority(job)}</td>',
        f'<td data-label="By">{_author(job.get("author", ""))}</td>',
        f'<td class="acts">{_levers(job)}</td>',
    )
    return f'<tr data-testid="job" data-id="{job["id"]}" data-state="{job["state"]}">{"".join(cells)}</tr>'


def _author(name: str) -> str:
    return f"<bdi>{html.escape(plain(name, 40))}</bdi>" if name else ""


def _progress(job: dict[str, Any]) -> str:
    total, done = job.get("total"), job["done"]
    bar = f'<progress max="{total}" value="{done}">{done} of {total}</progress>' if total else ""
    count = f"{done:,} / {total:,}" if total else f"{done:,}" if done else ""
    left = f" · {seconds(job['seconds_left'])} left" if "seconds_left" in job else ""
    took = f" · {seconds(job['seconds'])}" if "seconds" in job and not left else ""
    message = f'<div class="soft">{html.escape(plain(job["message"], 80))}</div>' if _is_open(job) else ""
    numbers = f'<span class="num">{count}{left}{took}</span>' if count or left or took else ""
    return bar + numbers + message


def _is_open(job: dict[str, Any]) -> bool:
    return bool(job.get("message")) and job["state"] in ("queued", "running", "paused")


def _priority(job: dict[str, Any]) -> str:
    now = job["priority"]
    if "priority" not in job["actions"]:
        return html.escape(now)
    others = [name for name in PRIORITIES if name != now]
    return f"{now}<br>" + "".join(_button(name, f"→ {name}", job["id"]) for name in others)


def _levers(job: dict[str, Any]) -> str:
    possible = [name for name in LEVERS if name in job["actions"]]
    return "".join(_button(name, LEVERS[name], job["id"]) for name in possible) + _button("log", "Log", job["id"])


def _button(act: str, label: str, id: str) -> str:
    return f'<button class="plain" data-act="{act}" data-id="{id}" data-testid="job-{act}">{label}</button>'


def log_html(lines: Any) -> str:
    """The lines of a log, oldest first; escaped, and inert."""
    rows = "".join(
        f'<tr class="{html.escape(line.level)}"><td class="num soft">{line.at:%H:%M:%S}</td>'
        f"<td>{html.escape(line.level)}</td><td>{html.escape(plain(line.message))}</td></tr>"
        for line in lines
    )
    return f'<table class="plain-table log"><tbody>{rows}</tbody></table>' if rows else "<p>It said nothing.</p>"
