"""Which model is read, by which pair, and whose activations: a choice from the catalogue."""

from collections.abc import Callable
from typing import Any, NamedTuple

from nicegui import ui

from loupe.app.services.catalogue import Kind, ModelEntry
from loupe.app.workspace import Workspace

OWN = ""  # no donor: the model's own activations


class Reading(NamedTuple):
    """A model with the pair that reads it, as a choice: what it is called, and the options it stands for."""

    label: str
    options: dict[str, str]
    layer: int | None
    d_model: int | None


def readings(entries: list[ModelEntry]) -> list[Reading]:
    """Every model with every verbalizer and reconstructor that fit it and each other, the starter's own first."""
    kinds = {kind: [e for e in entries if e.kind is kind] for kind in Kind}
    return [
        Reading(
            f"{model.id} · block {av.layer}" + (f" · {ar.id.rpartition('/')[2]}" if ar.id != f"{model.id}/ar" else ""),
            {"model": model.id, "verbalizer": av.id, "reconstructor": ar.id},
            av.layer,
            model.d_model,
        )
        for model in kinds[Kind.MODEL]
        for av in kinds[Kind.VERBALIZER]
        for ar in kinds[Kind.RECONSTRUCTOR]
        if model.d_model == av.d_model == ar.d_model and av.layer == ar.layer and _belong(model.id, av.id, ar.id)
    ]


def _belong(model: str, verbalizer: str, reconstructor: str) -> bool:
    """The starter's own pair reads the starter alone; pairs from elsewhere are matched by their shape."""
    starters = {name.partition("/")[0] == "starter" for name in (model, verbalizer, reconstructor)}
    return len(starters) == 1


class ModelChoice:
    """Two selects: the reading, and the donor. `on_change()` after every choice."""

    def __init__(self, workspace: Workspace, on_change: Callable[[], Any]) -> None:
        self._entries = workspace.catalogue.entries()
        self._readings = readings(self._entries)
        names = {str(number): reading.label for number, reading in enumerate(self._readings)}
        self._on_change = on_change
        self.reading = ui.select(names, value="0" if names else None, label="Model and pair", on_change=self._chosen)
        self.reading.props("dense outlined options-dense data-testid=model-choice")
        self.donor = ui.select({OWN: "its own"}, value=OWN, label="Activations of", on_change=lambda _: on_change())
        self.donor.props("dense outlined options-dense data-testid=donor-choice")
        self.donor.tooltip("A fine-tune or adapter whose activations are read through this pair.")
        self._offer_donors()

    @property
    def chosen(self) -> Reading | None:
        """What is chosen; None when there is no model with a pair."""
        number = self.reading.value
        return self._readings[int(number)] if number is not None else None

    def values(self) -> dict[str, str]:
        """The options that the choice stands for."""
        options = dict(self.chosen.options) if self.chosen else {}
        return options | ({"donor": self.donor.value} if self.donor.value else {})

    def fill(self, options: dict[str, Any]) -> None:
        """Show the choice that these options make, where it is among those offered."""
        for number, reading in enumerate(self._readings):
            asked = {name: options.get(name) or default for name, default in _defaults(options).items()}
            if reading.options == asked:
                self.reading.set_value(str(number))
        if options.get("donor") in self.donor.options:
            self.donor.set_value(options["donor"])

    def _chosen(self) -> None:
        self._offer_donors()
        self._on_change()

    def _offer_donors(self) -> None:
        reading = self.chosen
        fitting = [
            entry.id
            for entry in self._entries
            if reading
            and entry.id != reading.options["model"]
            and ((entry.kind is Kind.MODEL and entry.d_model == reading.d_model) or entry.kind.value == "adapter")
        ]
        self.donor.set_options({OWN: "its own"} | {name: name for name in fitting}, value=OWN)
        self.donor.visible = bool(fitting)


def _defaults(options: dict[str, Any]) -> dict[str, str]:
    model = options.get("model") or "starter"
    return {"model": model, "verbalizer": f"{model}/av", "reconstructor": f"{model}/ar"}
