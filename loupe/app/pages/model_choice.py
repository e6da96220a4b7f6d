"""Which model is read by which pair, and whose activations: the choice that the library offers."""

from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui

from loupe.app.services.catalogue import Kind
from loupe.app.services.groups import Pair
from loupe.app.workspace import Workspace

OWN = ""  # no donor: the model's own activations


def label_of(pair: Pair) -> str:
    """A pair by name, with the block it reads, or with what stands in its way."""
    where = f" · block {pair.layer}" if pair.layer is not None else ""
    return f"{pair.name}{where}" + (f" · {pair.problem}" if pair.problem else "")


class ModelChoice:
    """Two selects: the pair (and with it the model and the layer), and the donor. `on_change()` after every choice."""

    def __init__(self, workspace: Workspace, on_change: Callable[[], Any]) -> None:
        self._workspace = workspace
        self._pairs = {pair.id: pair for pair in workspace.groups.pairs()}
        self._on_change = on_change
        names = {id: label_of(pair) for id, pair in self._pairs.items()}
        first = workspace.groups.default if workspace.groups.default in names else next(iter(names), None)
        self.pair = ui.select(names, value=first, label="Model and pair", on_change=self._chosen)
        self.pair.props("dense outlined options-dense data-testid=model-choice")
        self.donor = ui.select({OWN: "its own"}, value=OWN, label="Activations of", on_change=lambda _: on_change())
        self.donor.props("dense outlined options-dense data-testid=donor-choice")
        self.donor.tooltip("A fine-tune or adapter whose activations are read through this pair.")
        self._offer_donors()

    def values(self) -> dict[str, str]:
        """The options that the choice stands for; none when the library holds no pair."""
        named = {"model": str(self.pair.value)} if self.pair.value else {}
        return named | ({"donor": str(self.donor.value)} if self.donor.value else {})

    def fill(self, options: Mapping[str, Any]) -> None:
        """Show the choice that these options make, where it is among those offered."""
        asked = {name: options.get(name) for name in ("verbalizer", "reconstructor") if options.get(name)}
        for id, pair in self._pairs.items():
            is_named = options.get("model") in (id, pair.model)
            if is_named and all(getattr(pair, name) == value for name, value in asked.items()):
                self.pair.set_value(id)
                break
        if options.get("donor") in self._donors:
            self.donor.set_value(options["donor"])

    def _chosen(self) -> None:
        self._offer_donors()
        self._on_change()

    def _offer_donors(self) -> None:
        pair = self._pairs.get(str(self.pair.value))
        self._donors = donors_of(self._workspace, pair) if pair else []
        self.donor.set_options({OWN: "its own"} | {name: name for name in self._donors}, value=OWN)
        self.donor.visible = bool(self._donors)


def donors_of(workspace: Workspace, pair: Pair) -> list[str]:
    """Models and adapters whose activations this pair can read: those of its groups, and those of its base's shape."""
    entries = workspace.catalogue.entries()
    base = next((entry for entry in entries if entry.id == pair.model), None)
    grouped = [donor for group in workspace.groups.groups_of(pair.id) for donor in group.donors]
    fitting = [
        entry.id
        for entry in entries
        if base is not None
        and entry.id != base.id
        and (
            (entry.kind is Kind.ADAPTER and entry.base in (base.id, base.source))
            or (entry.kind is Kind.MODEL and (entry.d_model, entry.n_layers) == (base.d_model, base.n_layers))
        )
    ]
    return list(dict.fromkeys([*grouped, *fitting]))
