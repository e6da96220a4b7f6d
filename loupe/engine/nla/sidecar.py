"""`nla_meta.yaml`, the sidecar beside an NLA checkpoint: what to inject, where, how long, and how to read the result.

Choices:

- Schema versions 1 and 2 are read, and both names of either role (`av`/`actor`, `ar`/`critic`).
- A layer index K is the *output of block K*. It may be written in up to four places; all that are written must agree.
  `num_hidden_layers` in a sidecar also means K, although `config.json` of a reconstructor says K + 1.
- Nothing is repaired. Whatever contradicts something else is an error that names both.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import yaml

from loupe.engine.errors import (
    DepthDrift,
    ScaleMissing,
    SidecarMissing,
    SidecarUnreadable,
    WrongRole,
)

SIDECAR_NAME = "nla_meta.yaml"
SCHEMA_VERSIONS = (1, 2)


class Role(StrEnum):
    """Which half of a pair a checkpoint is."""

    VERBALIZER = "av"
    RECONSTRUCTOR = "ar"


_ROLES = {"av": Role.VERBALIZER, "actor": Role.VERBALIZER, "ar": Role.RECONSTRUCTOR, "critic": Role.RECONSTRUCTOR}
_OLD_NAMES = {Role.VERBALIZER: "actor", Role.RECONSTRUCTOR: "critic"}
_NAMES = {Role.VERBALIZER: "a verbalizer (av)", Role.RECONSTRUCTOR: "a reconstructor (ar)"}


@dataclass(frozen=True, slots=True)
class InjectionTokens:
    """The sign that marks the slot, and the ids of sign and neighbours in the rendered prompt."""

    char: str
    token_id: int
    left_id: int
    right_id: int


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A parsed sidecar. `layer` is K or None where the file does not say; scales are as written or resolved.

    `mse_scale` is None where the file says null (raw mode, which no scorer here accepts).
    """

    role: Role
    schema_version: int
    d_model: int
    layer: int | None
    tokens: InjectionTokens | None
    suffix_ids: tuple[int, ...]
    verbalizer_template: str | None
    reconstructor_template: str | None
    injection_scale: float | None
    mse_scale: float | None
    fve_denominator: float | None
    raw: Mapping[str, Any]


def load_sidecar(folder: Path | str, role: Role) -> Sidecar:
    """Read the sidecar of a checkpoint folder that must have this role.

    Raises SidecarMissing, SidecarUnreadable, WrongRole, DepthDrift.
    """
    file = Path(folder) / SIDECAR_NAME
    if not file.is_file():
        raise SidecarMissing(
            f"{folder} has no {SIDECAR_NAME}: it is no NLA checkpoint, or its sidecar was not copied along. "
            "Ask whoever provided it for that file."
        )
    try:
        raw = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SidecarUnreadable(f"{file} is not valid YAML: {error}") from error
    return parse_sidecar(raw, role, str(file))


def parse_sidecar(raw: object, role: Role, origin: str = SIDECAR_NAME) -> Sidecar:
    """Check and read an already loaded sidecar. `origin` names it in errors, which are those of `load_sidecar`."""
    if not isinstance(raw, dict):
        raise SidecarUnreadable(f"{origin} holds {type(raw).__name__}, expected a mapping.")
    if raw.get("kind") != "nla_model":
        raise SidecarUnreadable(f"{origin} has kind {raw.get('kind')!r}, expected 'nla_model'.")
    version = raw.get("schema_version", 1)
    if version not in SCHEMA_VERSIONS:
        raise SidecarUnreadable(f"{origin} has schema_version {version!r}; versions 1 and 2 are known.")
    found = _ROLES.get(str(raw.get("role")))
    if found is not role:
        has = _NAMES[found] if found else f"role {raw.get('role')!r}"
        raise WrongRole(f"{origin} describes {has}, but {_NAMES[role]} belongs here.")
    extraction = _mapping(raw, "extraction", origin)
    d_model = _integer(raw.get("d_model"), f"{origin}: d_model")
    templates = _mapping(raw, "prompt_templates", origin)
    return Sidecar(
        role=role,
        schema_version=version,
        d_model=d_model,
        layer=_layer(raw, origin),
        tokens=_tokens(_mapping(raw, "tokens", origin), role, origin),
        suffix_ids=tuple(_mapping(raw, "tokens", origin).get("critic_suffix_ids") or ()),
        verbalizer_template=_template(templates, Role.VERBALIZER, "{injection_char}", role, origin),
        reconstructor_template=_template(templates, Role.RECONSTRUCTOR, "{explanation}", role, origin),
        injection_scale=_number(extraction.get("injection_scale")),
        mse_scale=_mse_scale(extraction, d_model, origin),
        fve_denominator=_number(extraction.get("fve_denominator")),
        raw=raw,
    )


def require_injection_scale(sidecar: Sidecar, override: float | None) -> float:
    """The norm of injected vectors: the explicit override if given, else the sidecar's number. Raises ScaleMissing."""
    scale = override if override is not None else sidecar.injection_scale
    if scale is None:
        written = sidecar.raw.get("extraction", {}).get("injection_scale")
        raise ScaleMissing(
            f"The verbalizer's sidecar has extraction.injection_scale {written!r}, which is no number. The verbalizer "
            "was trained at one norm and is blind at others: pass injection_scale explicitly if you know it."
        )
    if not (math.isfinite(scale) and scale > 0):
        raise ScaleMissing(f"injection_scale must be a positive number, got {scale!r}.")
    return float(scale)


def require_mse_scale(sidecar: Sidecar) -> float:
    """The norm both vectors get before they are compared. Raises ScaleMissing for raw mode."""
    if sidecar.mse_scale is None:
        raise ScaleMissing(
            "The reconstructor's sidecar has extraction.mse_scale null (raw mode). Scores here compare directions and "
            "need a number; leave the key out for sqrt(d_model)."
        )
    return sidecar.mse_scale


def fill_template(template: str, placeholder: str, value: str) -> str:
    """Put `value` in place of the placeholder, verbatim: braces in `value` mean nothing.

    Doubled braces of the template itself are single ones, as in Python's format strings, which the format uses.
    """
    return value.join(part.replace("{{", "{").replace("}}", "}") for part in template.split(placeholder))


def _layer(raw: Mapping[str, Any], origin: str) -> int | None:
    places = {
        "extraction_layer_index": raw.get("extraction_layer_index"),
        "extraction.layer_index": _mapping(raw, "extraction", origin).get("layer_index"),
    }
    for name in ("critic", "ar"):
        section = _mapping(raw, name, origin)
        places |= {f"{name}.{key}": section.get(key) for key in ("extraction_layer_index", "num_hidden_layers")}
    written = {place: _integer(value, f"{origin}: {place}") for place, value in places.items() if value is not None}
    if len(set(written.values())) > 1:
        raise DepthDrift(f"{origin} contradicts itself about the layer: {written}.")
    return next(iter(written.values()), None)


def _tokens(tokens: Mapping[str, Any], role: Role, origin: str) -> InjectionTokens | None:
    if role is Role.RECONSTRUCTOR and "injection_char" not in tokens:
        return None
    char = tokens.get("injection_char")
    if not isinstance(char, str) or not char:
        raise SidecarUnreadable(f"{origin} has no tokens.injection_char.")
    keys = ("injection_token_id", "injection_left_neighbor_id", "injection_right_neighbor_id")
    return InjectionTokens(char, *(_integer(tokens.get(key), f"{origin}: tokens.{key}") for key in keys))


def _template(templates: Mapping[str, Any], which: Role, placeholder: str, role: Role, origin: str) -> str | None:
    template = templates.get(which.value) or templates.get(_OLD_NAMES[which])
    if template is None and which is not role:
        return None
    if template is None and which is Role.RECONSTRUCTOR:
        return None  # the verbalizer's sidecar may hold it for both
    if not isinstance(template, str) or template.count(placeholder) != 1:
        raise SidecarUnreadable(
            f"{origin}: prompt_templates.{which} must be a text with exactly one {placeholder}, got {template!r}."
        )
    return template


def _mse_scale(extraction: Mapping[str, Any], d_model: int, origin: str) -> float | None:
    value = extraction.get("mse_scale", "sqrt_d_model")
    if value == "sqrt_d_model":
        return math.sqrt(d_model)
    if value in (None, "raw", "none"):
        return None
    number = _number(value)
    if number is None or not (math.isfinite(number) and number > 0):
        raise SidecarUnreadable(f"{origin}: extraction.mse_scale must be a positive number, got {value!r}.")
    return number


def _mapping(raw: Mapping[str, Any], key: str, origin: str) -> Mapping[str, Any]:
    value = raw.get(key) or {}
    if not isinstance(value, dict):
        raise SidecarUnreadable(f"{origin}: {key} must be a mapping, got {value!r}.")
    return value


def _integer(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise SidecarUnreadable(f"{what} must be a whole number, got {value!r}.")
    return value


def _number(value: object) -> float | None:
    """YAML 1.1 reads `8e4` as text, so numbers written as text count too; anything else is no number."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None
