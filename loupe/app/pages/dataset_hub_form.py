"""A dataset from the hub: looked at first (commit, licence, parts, columns, first cells), then fetched as a job."""

import html
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from nicegui import background_tasks, ui

from loupe.app.pages.hub_token import ask_token
from loupe.app.pages.library_html import facts_html, text
from loupe.app.pages.refusals import REFUSALS, refusal_html
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.sheet import choice, field, text_button
from loupe.app.services.dataset_request import DatasetRequest
from loupe.app.services.live_job import LiveJob
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace

LIKELY = "the likely one"


class HubForm:
    """`on_arrival(id)` is called when the dataset is there."""

    def __init__(self, workspace: Workspace, on_arrival: Callable[[str], Awaitable[Any]]) -> None:
        self.workspace = workspace
        self.on_arrival = on_arrival
        self.client = ui.context.client
        self.parts: dict[str, tuple[str, str]] = {}
        self.looked_at: str | None = None  # the part whose columns are shown

    def build(self) -> None:
        """Lay it out; what depends on the repository is shown once it was looked at."""
        with ui.element("section").classes("panel"), ui.element("div").classes("body stack"):
            ui.html("Fetch one from the hub", tag="h2", sanitize=False)
            with ui.element("div").classes("train-form"):
                self.repo = field("OWNER/NAME", "dataset-repo")
                self.revision = field("Revision: branch, tag or commit", "dataset-revision", "main")
                self.name = field("Name (optional)", "dataset-hub-name")
                self.part = choice({}, "Config and split", "dataset-part")
                self.column = choice({"": LIKELY}, "Column of the text or chat", "dataset-hub-column", "")
                self.limit = ui.number("Documents at most (optional)", min=1, precision=0)
                self.limit.props("outlined dense data-testid=dataset-limit")
            self.part.on_value_change(self._other_part)
            self.shown = ui.html("", sanitize=False).props("role=status")
            with ui.element("div").classes("actions"):
                text_button("Fetch it", self._fetch, "go", "dataset-fetch")
                text_button("Look", self._look, "quiet", "dataset-look")
                text_button("Hub token", self._token, "quiet", "dataset-hub-token")
        self._forget_parts()

    def _asked(self) -> DatasetRequest:
        repo = (self.repo.value or "").strip()
        config, part = self.parts.get(self.part.value or "", (None, None))
        return DatasetRequest(
            name=(self.name.value or "").strip()[:200] or repo.rpartition("/")[2] or "dataset",
            repo=repo,
            revision=(self.revision.value or "").strip() or "main",
            config=config,
            part=part,
            column=self.column.value or None,
            limit=int(self.limit.value) if self.limit.value else None,
        )

    async def _look(self) -> None:
        self._forget_parts()
        await self._preview()

    async def _other_part(self) -> None:
        if self.part.value and self.part.value != self.looked_at:
            await self._preview()

    async def _preview(self) -> None:
        self.looked_at = self.part.value
        self.shown.set_content('<p class="soft">Looking …</p>')
        try:
            found = await self.workspace.datasets.preview(self._asked())
        except REFUSALS as error:
            self.shown.set_content(refusal_html(error, "dataset-hub-problem"))
            return
        if not self.parts:
            self._offer(found)
        columns = {each["name"]: f"{each['name']} ({each['kind']})" for each in found["columns"]}
        self.column.set_options({"": LIKELY, **columns}, value=found["chosen"] if found["chosen"] in columns else "")
        self.column.visible = bool(columns)
        self.shown.set_content(preview_html(found))

    def _offer(self, found: Mapping[str, Any]) -> None:
        """Let one of several parts be chosen; choosing looks at its columns."""
        names = [f"{each['config']} / {each['split']}" for each in found["parts"]]
        keys = [(each["config"], each["split"]) for each in found["parts"]]
        chosen = f"{found['config']} / {found['split']}" if "split" in found else None
        self.parts, self.looked_at = dict(zip(names, keys, strict=True)), chosen
        self.part.set_options(names, value=chosen)
        self.part.visible = len(names) > 1

    def _forget_parts(self) -> None:
        self.parts = {}
        self.part.set_options([], value=None)
        self.part.visible = self.column.visible = False

    async def _fetch(self) -> None:
        try:
            live = await self.workspace.datasets.create(self._asked(), author=visitor())
        except REFUSALS as error:
            self.shown.set_content(refusal_html(error, "dataset-hub-problem"))
            return
        self.shown.set_content('<p class="soft">Fetching; how far it is stands above.</p>')
        background_tasks.create(self._ended(live), name=f"dataset-{live.id}")

    async def _ended(self, live: LiveJob) -> None:
        record = await self.workspace.jobs.wait(live.id)
        if self.client.is_deleted:
            return
        with self.client:
            if record.state == "done":
                self.shown.set_content("")
                await self.on_arrival(live.result["dataset"])
                return
            said = text(record.error_message or f"It was {record.state}.", 600)
            self.shown.set_content(
                f'<div class="look failed" role="alert" data-testid="dataset-hub-problem">{said}</div>'
            )

    def _token(self) -> None:
        async def say(sentence: str) -> None:
            self.shown.set_content(f'<p class="soft">{text(sentence)}</p>')

        ask_token(self.workspace, say)


def preview_html(found: Mapping[str, Any]) -> str:
    """What a repository has, and the first cells of the part that was looked at."""
    sizes = [each["size_bytes"] for each in found["parts"]]
    where = f"{found['config']} / {found['split']}" if "split" in found else None
    read = next((each for each in found["parts"] if where == f"{each['config']} / {each['split']}"), None)
    facts = {
        "commit": str(found["commit"])[:12] + (" (the hub's own parquet files)" if found["converted"] else ""),
        "licence": found.get("licence") or "not stated",
        "gated": "yes: accept its terms on the hub and give a token" if found["gated"] else "no",
        "parts": f"{len(sizes)}, {size_text(sum(sizes))} in all",
        "would fetch": f"{where}: {read['files']} files, {size_text(read['size_bytes'])}" if read else None,
    }
    note = f'<div class="warning">{text(found["note"], 400)}</div>' if found.get("note") else ""
    return f'<div class="stack" data-testid="dataset-preview">{facts_html(facts)}{note}{_columns_html(found)}</div>'


def _columns_html(found: Mapping[str, Any]) -> str:
    rows = "".join(
        f'<tr data-testid="dataset-preview-column"><td><b>{text(each["name"], 60)}</b>'
        f"{' <span class=chip>read</span>' if each['name'] == found['chosen'] else ''}</td>"
        f"<td>{html.escape(each['kind'])}</td><td>{text(next(iter(each['examples']), ''), 160)}</td></tr>"
        for each in found["columns"]
    )
    heads = "<thead><tr><th>Column</th><th>Kind</th><th>First cell</th></tr></thead>"
    return f'<div class="scroll"><table class="plain-table">{heads}<tbody>{rows}</tbody></table></div>' if rows else ""
