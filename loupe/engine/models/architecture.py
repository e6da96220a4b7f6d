"""A model as a tree: what is inside what, how large each part is, and where its hook points are read.

Blocks that are alike are shown once with their number. The tree comes from the config alone: the model is built without
weights, on torch's meta device. It is device-thread work all the same, since building changes global modes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from torch import nn

from loupe.engine.models.configs import skeleton
from loupe.engine.models.families import Family, Tap, listed_family
from loupe.engine.models.hooks import Site


@dataclass(frozen=True, slots=True)
class Node:
    """A module: its path, class, parameters below it, the shape of its own matrix, how many are alike, and the sites
    that are read at it (`blocks.<layer>.<site>`)."""

    path: str
    name: str
    kind: str
    parameters: int
    shape: tuple[int, ...] | None
    repeats: int
    sites: tuple[str, ...]
    children: tuple[Node, ...]

    def to_json(self) -> dict[str, Any]:
        """For programs; absent values are left out."""
        return _without_nothing(asdict(self))


def architecture_of(folder: Path) -> Node:
    """The tree of a model folder. Hook points are shown for listed families; others are found when they are loaded.

    Raises UnknownFormat, CorruptFile, UnsupportedModel.
    """
    model = skeleton(folder)
    return tree(model, listed_family(model.config))


def tree(model: nn.Module, family: Family | None = None) -> Node:
    """The tree of a model in memory."""
    return _node("", "model", model, _sites(family) if family else {}, 1)


def _node(path: str, name: str, module: nn.Module, sites: dict[str, list[str]], repeats: int) -> Node:
    children = tuple(
        _node(f"{path}.{inner}".strip("."), label, child, sites, count)
        for inner, label, child, count in _grouped(module)
    )
    weight = module._parameters.get("weight")
    return Node(
        path=path,
        name=name,
        kind=type(module).__name__,
        parameters=sum(parameter.numel() for parameter in module.parameters()) * repeats,
        shape=tuple(weight.shape) if weight is not None else None,
        repeats=repeats,
        sites=tuple(sites.get(path, ())),
        children=children,
    )


def _grouped(module: nn.Module) -> Iterator[tuple[str, str, nn.Module, int]]:
    """Children, runs of alike ones in a list as one: inner name, label, the first of them, how many."""
    if not isinstance(module, nn.ModuleList):
        yield from ((name, name, child, 1) for name, child in module.named_children())
        return
    for _, run in groupby(module.named_children(), key=lambda named: _signature(named[1])):
        alike = list(run)
        first, last = alike[0][0], alike[-1][0]
        yield first, first if first == last else f"{first} to {last}", alike[0][1], len(alike)


def _signature(module: nn.Module) -> tuple[Any, ...]:
    shapes = tuple((name, tuple(parameter.shape)) for name, parameter in module.named_parameters())
    return type(module).__name__, shapes


def _sites(family: Family) -> dict[str, list[str]]:
    """Site names by the path of the module they are read at, for the first block."""
    layout, first = family.layout, f"{family.blocks}.0"
    taps: dict[Site, Tap | None] = {
        Site.RESID_PRE: Tap("", "in"),
        Site.ATTN_OUT: layout.attn_out,
        Site.RESID_MID: layout.resid_mid,
        Site.MLP_IN: layout.mlp_in,
        Site.MLP_OUT: layout.mlp_out,
        Site.RESID_POST: Tap("", "out"),
    }
    found: dict[str, list[str]] = {}
    for site, tap in taps.items():
        if tap is not None:
            found.setdefault(f"{first}.{tap.module}".rstrip("."), []).append(f"{site.value} ({tap.side}put)")
    return found


def _without_nothing(node: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in node.items() if value not in (None, (), [])}
    if "children" in kept:
        kept["children"] = [_without_nothing(child) for child in kept["children"]]
    return kept
