"""A form made from option facts of the engine (`training_request.option_rows`): defaults, ranges, choices, meanings.

An option that only some architectures have is shown only for those.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from nicegui import ui

from loupe.engine.errors import BadOption

ENDLESS = 2**53  # a limit beyond this is the number format's, and says nothing


class OptionForm:
    """Controls for options; `values()` are those that differ from their defaults."""

    def __init__(self, facts: Sequence[Mapping[str, Any]], names: Iterable[str], prefix: str) -> None:
        wanted = list(names)
        self._facts = {each["name"]: each for each in facts if each["name"] in wanted}
        self._controls: dict[str, Any] = {}
        for name in wanted:
            fact = self._facts[name]
            control = _control(fact).props(f"data-testid={prefix}{name.replace('_', '-')}")
            control.tooltip(_about(fact))
            self._controls[name] = control

    def show_for(self, architecture: str) -> None:
        """Show what this architecture has, and only that."""
        for name, control in self._controls.items():
            only = self._facts[name]["only_for"]
            control.visible = not only or architecture in only

    def values(self) -> dict[str, Any]:
        """What was chosen for the architecture that is shown, where it is not the default. Raises BadOption."""
        found = {}
        for name, control in self._controls.items():
            if control.visible:
                value = _value(self._facts[name], control.value)
                if value is not None and value != self._facts[name]["default"]:
                    found[name] = value
        return found

    @property
    def names(self) -> tuple[str, ...]:
        """The options it has controls for."""
        return tuple(self._controls)

    def has(self, name: str, architecture: str) -> bool:
        """Whether it has a control for this option, and the architecture reads it."""
        only = self._facts[name]["only_for"] if name in self._facts else ()
        return name in self._controls and (not only or architecture in only)

    def fill(self, values: Mapping[str, Any]) -> None:
        """Show these values, defaults for those not named."""
        for name, control in self._controls.items():
            fact = self._facts[name]
            value = values.get(name, fact["default"])
            control.set_value(_as_text(value) if _is_tuple(fact) else value)


def named(option: str) -> str:
    """An option's name for people."""
    words = {"l0": "L0", "l1": "L1", "lr": "learning rate"}
    return " ".join(words.get(word, word) for word in option.split("_"))


def _control(fact: Mapping[str, Any]) -> Any:
    label = named(fact["name"])
    label = label if len(label) == 1 else label[0].upper() + label[1:]
    default, kinds = fact["default"], fact["kinds"]
    if "bool" in kinds:
        if "none" in kinds:
            choices = {None: "as the architecture does", True: "yes", False: "no"}
            return ui.select(choices, value=default, label=label).props("dense outlined options-dense")
        return ui.checkbox(label, value=bool(default)).props("dense")
    if fact["choices"]:
        choices = {} if default is not None else {None: "unset"}
        choices |= {value: value for value in fact["choices"]}
        return ui.select(choices, value=default, label=label).props("dense outlined options-dense")
    if _is_tuple(fact):
        return ui.input(label, value=_as_text(default)).props("dense outlined")
    whole = "float" not in kinds
    number = (
        ui.number(label, value=default, step=1, precision=0) if whole else ui.number(label, value=default, format="%g")
    )
    unset = ' stack-label placeholder="by default"' if default is None else ""
    return number.props(f'dense outlined hint="{_range(fact)}"{unset}')


def _range(fact: Mapping[str, Any]) -> str:
    low, high, above = fact["low"], fact["high"], fact["above"]
    lower = f"above {above:g}" if above is not None else f"from {low:g}" if low is not None else ""
    upper = f"to {high:,}".removesuffix(".0") if high is not None and high < ENDLESS else ""
    return " ".join(filter(None, (lower, upper, fact["unit"])))


def _about(fact: Mapping[str, Any]) -> str:
    only = f" Only for {', '.join(fact['only_for'])}." if fact["only_for"] else ""
    return f"{fact['help']}{only}"


def _is_tuple(fact: Mapping[str, Any]) -> bool:
    return "tuple" in fact["kinds"]


def _as_text(value: Iterable[Any] | None) -> str:
    return ", ".join(f"{each:g}" for each in value or ())


def _value(fact: Mapping[str, Any], value: Any) -> Any:
    if value is None or value == "":
        return None
    if _is_tuple(fact):
        try:
            given = [float(part) for part in str(value).split(",") if part.strip()]
        except ValueError:
            raise BadOption(f"{fact['name']} is numbers with commas between; got {value!r}.") from None
        return None if given == list(fact["default"] or ()) else given
    if isinstance(value, float) and "float" not in fact["kinds"]:
        return int(value)
    return value
