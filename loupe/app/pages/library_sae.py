"""`/library/saes/{id}`: what it is, how well it does, where it came from, and how to take it away."""

import html

from nicegui import background_tasks, ui

from loupe.app.pages.frame import Problem
from loupe.app.pages.library_add import folders_from_page
from loupe.app.pages.library_card import card_html
from loupe.app.pages.library_html import facts_html, text
from loupe.app.pages.library_saes import hook_text, origin_text
from loupe.app.pages.links import link
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.sheet import Sheet, choice, field, text_button
from loupe.app.services.catalogue import STARTER
from loupe.app.services.live_job import LiveJob
from loupe.app.services.saes import EVALUATED_ROWS
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace
from loupe.engine.errors import BadOption
from loupe.storage.errors import NotFound
from loupe.storage.repos.saes import SaeRecord

MOST_ROWS = 100_000


class SaePage:
    """One open page of an SAE; it is drawn again whenever something of it changed."""

    def __init__(self, workspace: Workspace, problem: Problem, record: SaeRecord) -> None:
        self.workspace = workspace
        self.problem = problem
        self.record = record
        self.client = ui.context.client

    async def build(self) -> None:
        """Lay it out."""
        with ui.element("div").classes("library"):
            self.head = ui.html("", sanitize=False)
            self._actions()
            self.said = ui.element("div").classes("said-bar").props("role=status data-testid=library-said")
            with self._panel("What it is", "facts"):
                self.facts = ui.html("", sanitize=False)
            with self._panel("Evaluation card", "sae-card"):
                self.card = ui.html("", sanitize=False)
            with self._panel("Where it came from", "provenance"):
                self.origin = ui.html("", sanitize=False)
        await self.draw()

    async def draw(self) -> None:
        """Read the record and show it as it is now."""
        try:
            record = self.record = await self.workspace.store.saes.get(self.record.id)
        except NotFound:  # removed for good while the page was open
            return
        gone = record.deleted_at is not None
        chip = '<span class="chip">deleted</span>' if gone else ""
        self.head.set_content(
            f'<a href="{link("/library")}">Library</a> <span class="soft">Sparse autoencoder</span>'
            f'<h1 class="lede" data-testid="sae-name">{text(record.name, 120)} {chip}</h1>'
        )
        self.facts.set_content(facts_html(shape_of(record)))
        self.card.set_content(card_html(record.card, str(record.details.get("evaluated_on") or "")))
        self.origin.set_content(await self._origin_html())
        self.delete.visible = not gone and record.source != STARTER
        self.restore.visible = gone

    def _actions(self) -> None:
        href = link(f"/api/v1/saes/{self.record.id}/export")
        with ui.element("div").classes("actions"):
            ui.html(
                f'<a class="quiet-link" href="{href}" download data-testid="sae-export">Export as SAELens</a>',
                sanitize=False,
            )
            if folders_from_page(self.workspace.settings):
                text_button("Write to a folder", self._ask_folder, "quiet", "sae-write")
            text_button("Upload to the hub", self._ask_upload, "quiet", "sae-upload")
            text_button("Evaluate", self._ask_rows, "quiet", "sae-evaluate")
            text_button("Rename", self._ask_name, "quiet", "sae-rename")
            self.delete = text_button("Delete", self._delete, "danger", "sae-delete")
            self.restore = text_button("Bring it back", self._restore, "go", "sae-restore")

    # Acts.

    async def say(self, sentence: str) -> None:
        """Tell what came of something."""
        self.said.clear()
        with self.said:
            ui.html(text(sentence, 400), sanitize=False)
        await self.draw()

    async def _delete(self) -> None:
        await self.workspace.saes.delete(self.record.id)
        await self.say(f"{self.record.name} is deleted.")
        with self.said:
            text_button("Undo", self._restore, "quiet", "library-undo")

    async def _restore(self) -> None:
        await self.workspace.saes.restore(self.record.id)
        await self.say("It is back.")

    def _ask_name(self) -> None:
        with Sheet("Rename this SAE") as sheet:
            name = field("Name", "sae-new-name", self.record.name)
            sheet.place()

            async def keep() -> str:
                chosen = (name.value or "").strip()[:200]
                if not chosen:
                    raise BadOption("Give a name.")
                await self.workspace.saes.rename(self.record.id, chosen)
                return f"It is called {chosen} now."

            with ui.element("div").classes("actions"):
                sheet.end("Rename", keep, "sae-rename", self.say)

    def _ask_folder(self) -> None:
        with Sheet("Write it to a folder of this machine", is_broad=True) as sheet:
            place = field("Full path of a folder; a folder of the SAE's name is made in it", "sae-write-to")
            sheet.place()

            async def write() -> str:
                written = await self.workspace.saes.write_to(
                    self.record.id,
                    (place.value or "").strip(),
                    paths_allowed=folders_from_page(self.workspace.settings),
                )
                return f"It lies in {written}."

            with ui.element("div").classes("actions"):
                sheet.end("Write", write, "sae-write", self.say)

    def _ask_upload(self) -> None:
        with Sheet("Upload to the hub", is_broad=True) as sheet:
            size, token = size_text(self.record.size), self.workspace.hub_token.source
            about = f"{text(self.record.name)}, {size}, is sent to the repository named here and nowhere else. Token: "
            ui.html(f"<p>{about}<b>{text(token)}</b>.</p>", sanitize=False).classes("soft")
            repo = field("OWNER/NAME", "sae-upload-repo")
            path = field("Folder in the repository (optional)", "sae-upload-path")
            private = ui.checkbox("Private, if it has to be made").props("dense data-testid=sae-upload-private")
            sheet.place()

            async def send() -> str:
                live = await self.workspace.sae_exchange.upload(
                    self.record.id,
                    (repo.value or "").strip(),
                    path=(path.value or "").strip(),
                    private=bool(private.value),
                    author=visitor(),
                )
                self._watch(live, "It is on the hub.")
                return "It is being sent."

            with ui.element("div").classes("actions"):
                sheet.end("Upload", send, "sae-upload", self.say)

    async def _ask_rows(self) -> None:
        rows = [r for r in await self.workspace.store.datasets.tokenisations() if r.model == self.record.model]
        if not rows:
            await self.say(f"There are no token rows for {self.record.model} yet. Cut a dataset into some first.")
            return
        with self.client, Sheet("Evaluate on token rows", is_broad=True) as sheet:
            names = {row.id: f"{row.name} ({row.rows:,} rows)" for row in rows}
            which = choice(names, "Token rows it was not trained on", "sae-evaluate-rows")
            most = ui.number("Most rows that are read", value=EVALUATED_ROWS, min=1, max=MOST_ROWS, precision=0)
            most.props("outlined dense data-testid=sae-evaluate-most")
            sheet.place()

            async def judge() -> str:
                count = min(MOST_ROWS, max(1, int(most.value or EVALUATED_ROWS)))
                live = await self.workspace.saes.evaluate(self.record.id, which.value, rows=count, author=visitor())
                self._watch(live, "Evaluated; the card is new.")
                return "Evaluating; the card appears here."

            with ui.element("div").classes("actions"):
                sheet.end("Evaluate", judge, "sae-evaluate", self.say)

    def _watch(self, live: LiveJob, done: str) -> None:
        """Tell when a job has ended, and how."""

        async def end() -> None:
            record = await self.workspace.jobs.wait(live.id)
            if not self.client.is_deleted:
                with self.client:
                    await self.say(
                        done if record.state == "done" else record.error_message or f"It was {record.state}."
                    )

        background_tasks.create(end(), name=f"sae-{live.id}")

    # Provenance.

    async def _origin_html(self) -> str:
        record, rows = self.record, [("how", text(origin_text(self.record)))]
        rows.append(("model", f'<a href="{link(f"/library/models/{record.model}")}">{text(record.model)}</a>'))
        if record.job_id:
            rows.append(
                ("training", f'<a href="{link(f"/training/{record.job_id}")}">{await self._training_name()}</a>')
            )
        if record.tokenisation_id:
            rows.append(("trained on", await self._dataset_html(record.tokenisation_id)))
        for name in ("repo", "path", "commit", "licence", "model_named", "from"):
            if value := record.details.get(name):
                rows.append((name.replace("_", " "), text(value, 200)))
        rows += [("format", text(record.source_format)), ("fingerprint of the model", text(record.model_fingerprint))]
        rows += [("by", text(record.author)), ("since", f"{record.created_at:%Y-%m-%d %H:%M} UTC")]
        rows += [("assumed", text(each, 300)) for each in record.assumptions]
        shown = "".join(f"<dt>{html.escape(name)}</dt><dd>{value}</dd>" for name, value in rows if value != text(""))
        return f'<dl class="known">{shown}</dl>'

    async def _training_name(self) -> str:
        job = await self.workspace.jobs.get(str(self.record.job_id))
        return text(job["name"], 100)

    async def _dataset_html(self, tokenisation: str) -> str:
        rows = await self.workspace.store.datasets.tokenisation(tokenisation)
        dataset = await self.workspace.store.datasets.get(rows.dataset_id)
        href = link(f"/training/datasets?open={dataset.id}")
        return f'<a href="{href}">{text(dataset.name)}</a> <span class="soft">{text(rows.name)}</span>'

    @staticmethod
    def _panel(title: str, testid: str) -> ui.element:
        panel = ui.element("section").classes("panel pad stack").props(f'aria-label="{title}" data-testid={testid}')
        with panel:
            ui.html(title, tag="h2", sanitize=False)
        return panel


def shape_of(record: SaeRecord) -> dict[str, object]:
    """What an SAE is, in figures."""
    return {
        "architecture": record.architecture,
        "hook point": hook_text(record),
        "reads": f"{record.d_in:,} wide",
        "latents": f"{record.d_sae:,} ({record.d_sae / record.d_in:.3g} x)",
        "k": record.k,
        "size": size_text(record.size),
        "steps": None if record.step is None else f"{record.step:,}",
        "id": record.id,
    }
