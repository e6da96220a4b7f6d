"""The part of a training's form that describes SAEs alike but for where they read: one for every block and hook point.

What a template says and the controls cannot show is kept, and written beside them.
"""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nicegui import ui

from loupe.app.pages.option_form import OptionForm, named
from loupe.app.plain import plain
from loupe.app.services.training_request import SAERequest
from loupe.engine.errors import BadOption

SITES = {
    "resid_post": "output of the block", "resid_pre": "input of the block", "resid_mid": "between attention and MLP",
    "attn_out": "attention's output", "mlp_in": "MLP's input",
    "mlp_out": "MLP's output",
}  # fmt: skip
TRANSCODERS = ("transcoder", "skip_transcoder")
SHAPE = ("k", "prefixes")
MORE_SHAPE = ("activation", "apply_b_dec_to_input")
SPARSITY = ("l0_target", "l1_coefficient")


class SaeForm:
    """`options` are those of `training_request.option_rows`; `on_change()`: the count may have changed."""

    def __init__(
        self, options: Mapping[str, Sequence[Mapping[str, Any]]], layers: int, on_change: Callable[[], Any]
    ) -> None:
        self._kept: dict[str, Any] = {}
        self._on_change = on_change
        own = [fact["name"] for fact in options["training"] if fact["only_for"]]
        kinds = next(fact["choices"] for fact in options["sae"] if fact["name"] == "architecture")
        self.box = ui.element("section").classes("sae-form").props('role=group data-testid=train-sae aria-label="SAE"')
        with self.box:
            with ui.element("div").classes("sae-form-head"):
                self._title = ui.html("", tag="h3", sanitize=False)
                self.remove = ui.button("Remove", color=None).classes("quiet")
                self.remove.props("flat no-caps dense data-testid=train-sae-remove")
            self._note = ui.html("", sanitize=False).classes("soft small")
            self._note.visible = False
            with ui.element("div").classes("train-form"):
                self.kind = ui.select({kind: kind.replace("_", " ") for kind in kinds}, value="batchtopk")
                self._dress(self.kind, "Architecture", "train-architecture", "How codes are made sparse.")
                self.width = ui.number(value=SAERequest().d_sae, min=1, step=1, precision=0)
                self._dress(self.width, "Latents", "train-d-sae", "Number of latents: features.")
                self.layers = ui.select({}, value=[], multiple=True)
                about = "Several: an SAE for each; a crosscoder reads them all."
                self._dress(self.layers, "Blocks", "train-layers", about)
                self.sites = ui.select(SITES, value=["resid_post"], multiple=True)
                self._dress(self.sites, "Hook points", "train-site", "Where in the block it reads; several: one each.")
                self._shape = OptionForm(options["sae"], SHAPE, "train-")
                self._sparsity = OptionForm(options["training"], SPARSITY, "train-")
            folded = ui.expansion("More of this SAE").props("dense data-testid=train-sae-more")
            with folded, ui.element("div").classes("train-form body"):
                self._more_shape = OptionForm(options["sae"], MORE_SHAPE, "train-")
                self._more = OptionForm(options["training"], [n for n in own if n not in SPARSITY], "train-")
        self.set_layers(layers)
        self.kind.on_value_change(lambda _: self._show())
        for control in (self.layers, self.sites):
            control.on_value_change(lambda _: on_change())
        self._show()

    def set_title(self, number: int, *, is_only: bool) -> None:
        """Say which one of several it is."""
        self._title.set_content("SAE" if is_only else f"SAE {number}")
        self.box.props(f'aria-label="SAE {number}"')
        self.remove.visible = not is_only

    def set_layers(self, count: int) -> None:
        """Offer the blocks of a model with so many."""
        kept = [layer for layer in self.layers.value or [] if layer < count] or [count // 2]
        self.layers.set_options({layer: f"block {layer}" for layer in range(count)}, value=kept)

    @property
    def count(self) -> int:
        """How many SAEs it stands for."""
        if "reads" in self._kept or self.kind.value == "crosscoder":
            return 1
        return len(self.layers.value or []) * (1 if self.kind.value in TRANSCODERS else len(self.sites.value or []))

    def asked(self) -> list[dict[str, Any]]:
        """The SAEs as a request names them. Raises BadOption."""
        if self.width.value is None:
            raise BadOption("The number of latents is missing.")
        kept = dict(self._kept)
        changes = kept.pop("changes", {}) | self._sparsity.values() | self._more.values()
        options = kept.pop("options", {}) | self._shape.values() | self._more_shape.values()
        same = {"architecture": self.kind.value, "d_sae": int(self.width.value), "options": options, "changes": changes}
        if "reads" in kept:
            return [same | kept]
        return [same | kept | place for place in self._places()]

    def _places(self) -> list[dict[str, Any]]:
        layers, sites = sorted(self.layers.value or []), [site for site in SITES if site in (self.sites.value or [])]
        if not layers:
            raise BadOption("No block is chosen. Choose the block whose activations are read.")
        if self.kind.value in TRANSCODERS:
            return [{"reads": [f"blocks.{i}.mlp_in"], "writes": [f"blocks.{i}.mlp_out"]} for i in layers]
        if not sites:
            raise BadOption("No hook point is chosen. Choose where in the block the SAE reads.")
        points = [f"blocks.{layer}.{site}" for layer in layers for site in sites]
        return [{"reads": points}] if self.kind.value == "crosscoder" else [{"reads": [point]} for point in points]

    def fill(self, sae: SAERequest, shared: Mapping[str, Any]) -> None:
        """Show one SAE of a recipe; `shared` are options of the whole training that only some architectures have."""
        self.kind.set_value(sae.architecture)
        self.width.set_value(sae.d_sae)
        changes = {**{name: value for name, value in shared.items() if self._shows(name)}, **sae.changes}
        for form in (self._shape, self._more_shape):
            form.fill(sae.options)
        for form in (self._sparsity, self._more):
            form.fill(changes)
        own = {*self._sparsity.names, *self._more.names}
        self._kept = _unseen(sae, changes, {*SHAPE, *MORE_SHAPE}, own)
        if sae.reads and not self._show_places(sae):
            self._kept |= {"reads": list(sae.reads), "writes": list(sae.writes)}
        self._note.set_content(_kept_html(self._kept))
        self._note.visible = bool(self._kept)
        self._show()

    def _shows(self, option: str) -> bool:
        return self._sparsity.has(option, self.kind.value) or self._more.has(option, self.kind.value)

    def _show_places(self, sae: SAERequest) -> bool:
        """Choose the blocks and hook points it reads; False where the controls cannot say it."""
        points = [tuple(name.split(".")) for name in sae.reads]
        if any(len(p) != 3 or p[0] != "blocks" or not p[1].isdigit() or p[2] not in SITES for p in points):
            return False
        layers, sites = sorted({int(p[1]) for p in points}), {p[2] for p in points}
        if any(layer not in self.layers.options for layer in layers) or len(points) != len(layers) * len(sites):
            return False
        if sae.architecture in TRANSCODERS:
            if sites != {"mlp_in"} or tuple(sae.writes) != tuple(f"blocks.{p[1]}.mlp_out" for p in points):
                return False
        elif sae.writes and sae.writes != sae.reads:
            return False
        self.layers.set_value(layers)
        if sae.architecture not in TRANSCODERS:
            self.sites.set_value([site for site in SITES if site in sites])
        return True

    def _show(self) -> None:
        kind = str(self.kind.value)
        self.layers.visible = "reads" not in self._kept
        self.sites.visible = kind not in TRANSCODERS and self.layers.visible
        for form in (self._shape, self._more_shape, self._sparsity, self._more):
            form.show_for(kind)
        self._on_change()

    @staticmethod
    def _dress(control: Any, label: str, mark: str, about: str) -> None:
        control.props(f'outlined dense options-dense label="{label}" data-testid={mark}').tooltip(about)


def _unseen(sae: SAERequest, changes: Mapping[str, Any], shape: set[str], own: set[str]) -> dict[str, Any]:
    """What a recipe says of an SAE that no control shows."""
    options = {name: value for name, value in sae.options.items() if name not in shape}
    others = {name: value for name, value in changes.items() if name not in own}
    found = {"name": sae.name, "options": options, "changes": others}
    return {name: value for name, value in found.items() if value}


def _kept_html(kept: Mapping[str, Any]) -> str:
    """The same for the eye."""
    said = []
    if kept.get("name"):
        said.append(f"named {kept['name']}")
    for name, value in {**kept.get("options", {}), **kept.get("changes", {})}.items():
        said.append(f"{named(name)} {value}")
    for name, verb in (("reads", "reads"), ("writes", "writes")):
        if kept.get(name):
            said.append(f"{verb} {', '.join(kept[name])}")
    return html.escape(plain(f"From the template: {'; '.join(said)}.", 400)) if said else ""
