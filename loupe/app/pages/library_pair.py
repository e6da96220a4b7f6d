"""The page of an NLA pair: what its sidecar says, its parts, where it is loaded, and the groups it is in."""

from nicegui import background_tasks, ui

from loupe.app.errors import AppError
from loupe.app.pages.frame import Problem
from loupe.app.pages.library_html import dependants_html, facts_html
from loupe.app.pages.library_load import LoadBar
from loupe.app.pages.library_news import follow
from loupe.app.pages.library_pairs import pair_entry
from loupe.app.pages.library_sheet import head_html, panel, parts_html
from loupe.app.pages.run_actions import visitor
from loupe.app.pages.states import failed
from loupe.app.services.groups import Pair
from loupe.app.services.live_job import LiveJob
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace
from loupe.engine.errors import LoupeError


class PairPage:
    """One open page of a pair."""

    def __init__(self, workspace: Workspace, problem: Problem, pair: Pair) -> None:
        self.workspace = workspace
        self.pair = pair
        self.bar = LoadBar(workspace, problem, load=self._load, unload=self._unload, changed=self.draw)

    async def build(self) -> None:
        """Lay it out; the devices are filled in when they are known."""
        pair, row = self.pair, pair_entry(self.workspace, self.pair)
        with ui.element("div").classes("library"):
            self.head = ui.html("", sanitize=False)
            self.bar.build(self._dtypes(), pair.verbalizer)
            if row.problem:
                failed({"message": row.problem, "details": {"sentence": "This pair cannot be used as it stands."}})
            with panel("What it is", "facts"):
                facts = sidecar_facts(self.workspace, pair) | {"weights together": self._size(), "source": pair.source}
                ui.html(facts_html(facts), sanitize=False)
                parts = {"model": pair.model, "verbalizer": pair.verbalizer, "reconstructor": pair.reconstructor}
                ui.html(parts_html(parts | ({"donor": pair.donor} if pair.donor else {})), sanitize=False)
            with panel("Groups it is in", "groups"):
                groups = [group.id for group in self.workspace.groups.groups_of(pair.id)]
                ui.html(dependants_html({"pairs": [], "groups": groups, "runs": 0, "users": 0}), sanitize=False)
        follow(self.workspace, self.draw)
        await self.draw()
        background_tasks.create(self.bar.draw_devices(), name="pair-devices", context=ui.context.client)

    async def draw(self) -> None:
        """Its state as it is now, and what that allows."""
        row = pair_entry(self.workspace, self.pair)
        self.head.set_content(head_html("NLA pair", row.name, row.state))
        self.bar.show(can_load=row.state == "on disk", can_unload=row.state == "loaded")

    async def _load(self, dtype: str, device: str) -> LiveJob:
        return await self.workspace.loads.load_pair(self.pair.id, dtype, device=device, author=visitor())

    async def _unload(self) -> None:
        await self.workspace.models.unload_pair(self.pair)

    def _dtypes(self) -> dict[str, str]:
        try:
            return self.workspace.library.dtypes(self.pair.model)
        except AppError:  # its model is gone: there is nothing to load either
            return {"auto": "as stored"}

    def _size(self) -> str | None:
        entries = {entry.id: entry.size for entry in self.workspace.catalogue.entries()}
        sizes = [entries.get(folder) for folder in dict.fromkeys(self.pair.folders)]
        return None if None in sizes else size_text(sum(size or 0 for size in sizes))


def sidecar_facts(workspace: Workspace, pair: Pair) -> dict[str, object]:
    """What the verbalizer's sidecar says about injection; only the layer where it cannot be read."""
    from loupe.engine.nla.sidecar import Role, load_sidecar

    try:
        sidecar = load_sidecar(workspace.catalogue.get(pair.verbalizer).path, Role.VERBALIZER)
    except (AppError, LoupeError):
        return {"reads block": pair.layer}
    return {
        "reads block": pair.layer if pair.layer is not None else sidecar.layer,
        "d_model": sidecar.d_model,
        "injection scale": sidecar.injection_scale,
        "fve denominator": sidecar.fve_denominator,
        "decoded together": pair.batch_rows,
        "description": pair.description,
    }
