"""Options that know their range and their meaning: one declaration for checks, forms, tooltips, CLI and API.

    lr: float | None = option(None, "Peak learning rate.", above=0, high=0.1, unit="per step")

`describe(cls)` lists the options of a config class; `check(config)` holds an instance to them.
"""

from __future__ import annotations

import math
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from loupe.engine.errors import BadOption


@dataclass(frozen=True, slots=True)
class OptionFacts:
    """One option as a form needs it. `low` and `high` are inclusive, `above` is not; None means no bound.

    `kinds` are the plain types it accepts ("int", "float", "bool", "str", "tuple", "none"); `default` is
    None where `required`. `only_for` names the architectures that read it; empty means all.
    """

    name: str
    help: str
    kinds: tuple[str, ...]
    required: bool
    default: object
    low: float | None
    high: float | None
    above: float | None
    choices: tuple[str, ...]
    unit: str
    only_for: tuple[str, ...]


def option(
    default: Any = MISSING,
    help: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    unit: str = "",
    only_for: tuple[str, ...] = (),
) -> Any:
    """A dataclass field with its documentation and its bounds. Without a default it must be given."""
    facts = {"help": help, "low": low, "high": high, "above": above, "unit": unit, "only_for": only_for}
    return field(metadata=facts) if default is MISSING else field(default=default, metadata=facts)


def describe(cls: type) -> tuple[OptionFacts, ...]:
    """The options of a config class, in the order they are declared."""
    hints = get_type_hints(cls)
    return tuple(_facts(each, hints[each.name]) for each in fields(cls) if each.metadata)


def check(config: Any) -> None:
    """Hold every option of a config to its type and its range. Raises BadOption."""
    for facts in describe(type(config)):
        _check_value(facts, getattr(config, facts.name))


def from_dict(cls: type, values: dict[str, Any]) -> Any:
    """Build a config from plain values as JSON gives them. Raises BadOption for an unknown or a missing name."""
    known = {facts.name: facts for facts in describe(cls)}
    unknown = sorted(values.keys() - known.keys())
    if unknown:
        raise BadOption(f"{cls.__name__} has no option {', '.join(unknown)}; it has {', '.join(known)}.")
    missing = sorted(name for name, facts in known.items() if facts.required and name not in values)
    if missing:
        raise BadOption(f"{cls.__name__} needs {', '.join(missing)}.")
    hints = get_type_hints(cls)
    typed = {name: _typed(value, hints[name], known[name]) for name, value in values.items()}
    for name, value in typed.items():
        _check_value(known[name], value)
    return cls(**typed)


def to_dict(config: Any) -> dict[str, Any]:
    """The options as plain values: numbers, strings, lists, None."""
    return {facts.name: _plain(getattr(config, facts.name)) for facts in describe(type(config))}


def _facts(each: Any, hint: Any) -> OptionFacts:
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    enum = next((member for member in members if isinstance(member, type) and issubclass(member, Enum)), None)
    required = each.default is MISSING
    return OptionFacts(
        name=each.name,
        kinds=tuple(_kind(member) for member in members),
        required=required,
        default=None if required else _plain(each.default),
        choices=tuple(str(member.value) for member in enum) if enum else (),
        **each.metadata,
    )


def _kind(member: Any) -> str:
    if member is NoneType:
        return "none"
    if get_origin(member) is tuple:
        return "tuple"
    if isinstance(member, type) and issubclass(member, Enum):
        return "str"
    return member.__name__


def _check_value(facts: OptionFacts, value: Any) -> None:
    if value is None and "none" in facts.kinds:
        return
    if isinstance(value, tuple):
        for each in value:
            _check_number(facts, each)
        return
    if isinstance(value, str | bool):
        wanted = "bool" if isinstance(value, bool) else "str"
        if wanted not in facts.kinds:
            raise BadOption(f"{facts.name} = {value!r} is not {_expected(facts)}.")
        return
    _check_number(facts, value)


def _check_number(facts: OptionFacts, value: Any) -> None:
    may_be_number = not {"int", "float", "tuple"}.isdisjoint(facts.kinds)
    is_number = may_be_number and isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or not _is_within(facts, value):
        raise BadOption(f"{facts.name} = {value!r} is out of range: expected {_expected(facts)}. {facts.help}")
    if isinstance(value, float) and "float" not in facts.kinds and "tuple" not in facts.kinds:
        raise BadOption(f"{facts.name} = {value!r} must be a whole number.")


def _is_within(facts: OptionFacts, value: float) -> bool:
    return (
        (facts.low is None or value >= facts.low)
        and (facts.high is None or value <= facts.high)
        and (facts.above is None or value > facts.above)
    )


def _expected(facts: OptionFacts) -> str:
    kind = " or ".join(kind for kind in facts.kinds if kind != "none")
    bounds = [
        f"at least {facts.low:g}" if facts.low is not None else "",
        f"more than {facts.above:g}" if facts.above is not None else "",
        f"at most {facts.high:g}" if facts.high is not None else "",
    ]
    return " ".join([kind, ", ".join(filter(None, bounds))]).strip()


def _typed(value: Any, hint: Any, facts: OptionFacts) -> Any:
    members = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    if value is None and NoneType in members:
        return None
    for member in members:
        if isinstance(member, type) and issubclass(member, Enum):
            if value not in facts.choices:
                raise BadOption(f"{facts.name} = {value!r} is not one of {', '.join(facts.choices)}.")
            return member(value)
        if get_origin(member) is tuple and isinstance(value, list | tuple):
            return tuple(value)
        if member is float and isinstance(value, int) and not isinstance(value, bool) and int not in members:
            return float(value)
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    return list(value) if isinstance(value, tuple) else value
