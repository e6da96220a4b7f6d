"""The sheets for pairs and groups, and group files: read from this browser, written to it."""

import json

from nicegui import events, ui

from loupe.app.pages.library_html import text
from loupe.app.pages.refusals import REFUSALS, refusal_html
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.sheet import PROBLEM, Say, Sheet, choice, choices, field, text_button
from loupe.app.services.catalogue import Kind
from loupe.app.services.group_file import Taken, take_over, write_groups
from loupe.app.services.groups import Group, Pair, slug
from loupe.app.workspace import Workspace
from loupe.engine.errors import BadOption, CorruptFile


def ask_pair(workspace: Workspace, say: Say) -> None:
    """Ask which verbalizer and reconstructor read which model."""
    with Sheet("A new NLA pair", is_broad=True) as sheet:
        name = field("Name", "pair-name")
        model = choice(_folders(workspace, Kind.MODEL), "Model that is read", "pair-model")
        av = choice(_folders(workspace, Kind.VERBALIZER), "Verbalizer", "pair-verbalizer")
        ar = choice(_folders(workspace, Kind.RECONSTRUCTOR), "Reconstructor", "pair-reconstructor")
        donors = {"": "its own", **_folders(workspace, Kind.MODEL, Kind.ADAPTER)}
        donor = choice(donors, "Activations of", "pair-donor", "")
        sheet.place()

        async def keep() -> str:
            called = (name.value or "").strip()
            if not (called and model.value and av.value and ar.value):
                raise BadOption("Give a name, a model, a verbalizer and a reconstructor.")
            pair = Pair(
                id=slug(called),
                name=called[:200],
                model=model.value,
                verbalizer=av.value,
                reconstructor=ar.value,
                layer=workspace.catalogue.get(av.value).layer,
                donor=donor.value or None,
            )
            kept = await workspace.groups.add_pair(pair, author=visitor())
            return f"The pair {kept.id} is in the library."

        with ui.element("div").classes("actions"):
            sheet.end("Keep it", keep, "pair", say)


def ask_group(workspace: Workspace, say: Say) -> None:
    """Ask which pairs and donors belong to which base; an own group of that name gets these instead."""
    groups = workspace.groups
    with Sheet("A model group", is_broad=True) as sheet:
        name = field("Name", "group-name")
        base = choice(_folders(workspace, Kind.MODEL), "Base model", "group-base")
        pairs = choices({pair.id: pair.id for pair in groups.pairs()}, "Pairs", "group-pairs")
        possible = _folders(workspace, Kind.MODEL, Kind.ADAPTER)
        donors = choices(possible, "Donors: fine-tunes and adapters of the base", "group-donors")
        sheet.place()

        async def keep() -> str:
            called = (name.value or "").strip()
            if not (called and base.value):
                raise BadOption("Give a name and a base model.")
            id, named, given = slug(called), tuple(pairs.value), tuple(donors.value)
            if any(group.id == id and group.base == base.value for group in groups.groups()):
                kept = await groups.change_group(id, author=visitor(), pairs=named, donors=given)
            else:
                group = Group(id=id, name=called[:200], base=base.value, pairs=named, donors=given)
                kept = await groups.add_group(group, author=visitor())
            return f"The group {kept.id} is in the library."

        with ui.element("div").classes("actions"):
            sheet.end("Keep it", keep, "group", say)


class GroupFileTools:
    """Buttons that read a group file and write one. What could not be taken over is told."""

    LARGEST = 2**20

    def __init__(self, workspace: Workspace, say: Say) -> None:
        self.workspace = workspace
        self.say = say

    def build(self) -> None:
        """Place the buttons; refusals are told on a sheet, beside what the file said."""
        upload = ui.upload(on_upload=self._take, auto_upload=True, max_file_size=self.LARGEST)
        upload.props("accept=.json data-testid=group-file").classes("unseen").style("visibility: hidden")
        button = text_button("Import a file", lambda: None, "quiet", "group-import")
        button.props('title="groups.json of Loupe, or the older model_groups.json"')
        button.on("click", js_handler=f"() => getElement({upload.id}).pickFiles()")
        text_button("Export", self._write, "quiet", "group-export")
        self.upload = upload

    def _write(self) -> None:
        written = write_groups(self.workspace.groups.groups(), self.workspace.groups.pairs())
        ui.download.content(json.dumps(written, indent=1, ensure_ascii=False), "groups.json", "application/json")

    async def _take(self, event: events.UploadEventArguments) -> None:
        self.upload.reset()
        try:
            content = json.loads(await event.file.read())
        except ValueError as error:
            self._tell(refusal_html(CorruptFile(f"{event.file.name} is no JSON: {error}"), PROBLEM))
            return
        try:
            taken = await take_over(content, self.workspace.catalogue, self.workspace.groups, author=visitor())
        except REFUSALS as error:
            self._tell(refusal_html(error, PROBLEM))
            return
        counts = ((len(taken.groups), "group"), (len(taken.pairs), "pair"))
        told = " and ".join(f"{count} {noun}{'s' * (count != 1)}" for count, noun in counts)
        await self.say(f"Taken over: {told}.")
        if taken.problems or taken.unused:
            self._tell(taken_html(taken))

    def _tell(self, markup: str) -> None:
        with Sheet("The group file", is_broad=True) as sheet:
            sheet.place().set_content(markup)
            text_button("Close", sheet.dialog.close, "quiet", "group-file-close")


def taken_html(taken: Taken) -> str:
    """What of a group file cannot be used, and why."""
    problems = "".join(f"<li><b>{text(id)}</b> {text(why, 400)}</li>" for id, why in taken.problems.items())
    unused = "".join(f"<li>{text(name)}</li>" for name in taken.unused)
    parts = [f"<p>These pairs cannot be used yet:</p><ul>{problems}</ul>" if problems else ""]
    parts.append(f"<p>Without effect here:</p><ul>{unused}</ul>" if unused else "")
    return f'<div class="stack" data-testid="group-file-told">{"".join(parts)}</div>'


def _folders(workspace: Workspace, *kinds: Kind) -> dict[str, str]:
    return {entry.id: entry.id for entry in workspace.catalogue.entries() if entry.kind in kinds}
