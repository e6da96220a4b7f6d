"""Hook points under the names of TransformerLens and of Hugging Face modules, both ways.

Two libraries call one place by different names, and one name may mean different places: `post_attention_layernorm`
is before the MLP in Llama and after attention in Gemma 2. So module names are read with the family's own table of
taps. Without a family, a name is accepted when every listed family that could have it agrees, and refused otherwise.
What Loupe does not read (attention heads, neurons, embeddings) is refused by name, never moved to a neighbour.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from types import SimpleNamespace
from typing import NamedTuple

from loupe.engine.errors import BadOption
from loupe.engine.models.families import FAMILIES, Family, Tap
from loupe.engine.models.hooks import HookPoint, Site

_TRANSFORMER_LENS = {
    Site.RESID_PRE: "hook_resid_pre",
    Site.RESID_MID: "hook_resid_mid",
    Site.RESID_POST: "hook_resid_post",
    Site.ATTN_OUT: "hook_attn_out",
    Site.MLP_IN: "mlp.hook_in",
    Site.MLP_OUT: "hook_mlp_out",
}
_SITES = {name: site for site, name in _TRANSFORMER_LENS.items()} | {"mlp.hook_out": Site.MLP_OUT}
_BEFORE_GAIN = ("ln2.hook_normalized",)
_UNREAD = {
    "attn.hook_z": "the attention heads before they are mixed",
    "mlp.hook_post": "the neurons of the MLP",
    "hook_embed": "the token embeddings",
    "embed_tokens": "the token embeddings",
    "wte": "the token embeddings",
    "o_proj.input": "the attention heads before they are mixed",
    "c_proj.input": "the inside of a branch",
    "down_proj.input": "the neurons of the MLP",
}
_AMBIGUOUS = {
    "hook_mlp_in": "the residual stream before the norm in TransformerLens, but the MLP's input in Gemma Scope 2"
}


class Place(NamedTuple):
    """A hook point as a file names it. `before_gain`: the norm's output without its gain, which no module returns."""

    point: HookPoint
    before_gain: bool = False


def transformer_lens_name(point: HookPoint) -> str:
    """ "blocks.3.hook_resid_post" for the output of block 3."""
    return f"blocks.{point.layer}.{_TRANSFORMER_LENS[point.site]}"


def module_name(family: Family, point: HookPoint) -> str:
    """ "model.layers.3.output": the module whose input or output it is. Raises BadOption when the family has none."""
    tap = _taps(family)[point.site]
    if tap is None:
        raise BadOption(f"The blocks of {family.name} have no {point.site}.")
    side = "input" if tap.side == "in" else "output"
    return ".".join(part for part in (family.blocks, str(point.layer), tap.module, side) if part)


def place_of(name: str, family: Family | None = None) -> Place:
    """The place a name means. Raises BadOption (not a place that is read here; ambiguous without the model)."""
    _refuse_unread(name)
    parts = re.fullmatch(r"blocks\.(\d+)\.(.+)", name)
    if parts and parts[2] in _SITES:
        return Place(HookPoint(int(parts[1]), _SITES[parts[2]]))
    if parts and parts[2] in _BEFORE_GAIN:
        return Place(HookPoint(int(parts[1]), Site.MLP_IN), before_gain=True)
    if parts and parts[2] in _AMBIGUOUS:
        raise BadOption(f"{name!r} is ambiguous: it is {_AMBIGUOUS[parts[2]]}. Name the hook point yourself.")
    if parts and parts[2] in set(Site):
        return Place(HookPoint(int(parts[1]), Site(parts[2])))
    return Place(_module_point(name, family))


def _refuse_unread(name: str) -> None:
    for part, meaning in _UNREAD.items():
        if name == part or name.endswith(f".{part}"):
            raise BadOption(f"{name!r} is {meaning}, which Loupe does not read; it reads {', '.join(Site)} of a block.")


def _module_point(name: str, family: Family | None) -> HookPoint:
    families = [family] if family else [each for each in _all_families() if _inside(each, name)]
    meanings = {meaning for each in families if (meaning := _meaning(each, name)) != "absent"}
    points = {meaning for meaning in meanings if isinstance(meaning, HookPoint)}
    if len(points) == 1 and len(meanings) == 1:
        return points.pop()
    if points:
        said = " or ".join(sorted(map(str, points)))
        raise BadOption(
            f"{name!r} is {said}, depending on the model: choose the model that the SAE belongs to, or its hook point."
        )
    where = f" in {family.name}" if family else ""
    raise BadOption(
        f"{name!r} is no hook point that Loupe reads{where}. Expected a name such as blocks.3.hook_resid_post or "
        "model.layers.3.output."
    )


def _meaning(family: Family, name: str) -> HookPoint | str:
    """A hook point, "absent" (no such module known in this family), or "unread" (a module that is no site)."""
    inside = _inside(family, name)
    if inside is None:
        return "absent"
    layer, module, side = inside
    taps = _taps(family)
    for site, tap in taps.items():
        if tap == (module, side):
            return HookPoint(layer, site)
    mid, mlp = taps[Site.RESID_MID], taps[Site.MLP_IN]
    if (
        mid
        and mlp
        and mid.side == "in"
        and mid.module not in ("", mlp.module)
        and (module, side) == (mid.module, "out")
    ):
        return HookPoint(layer, Site.MLP_IN)  # what the norm before the MLP returns is what the MLP receives
    return "unread" if any(tap and tap.module == module for tap in taps.values()) else "absent"


def _inside(family: Family, name: str) -> tuple[int, str, str] | None:
    """Layer, module inside the block, and side ("in" or "out") of a name, with or without the model's prefix."""
    text, side = name, "out"
    for suffix, meant in ((".input", "in"), (".output", "out")):
        if name.endswith(suffix):
            text, side = name.removesuffix(suffix), meant
    root, _, blocks = family.blocks.rpartition(".")
    for prefix in (f"{root}.{blocks}", f"model.{blocks}", blocks):
        found = re.fullmatch(rf"{re.escape(prefix)}[.\[](\d+)\]?(?:\.(.+))?", text)
        if found:
            return int(found[1]), found[2] or "", side
    return None


def _taps(family: Family) -> dict[Site, Tap | None]:
    layout = family.layout
    return {
        Site.RESID_PRE: Tap("", "in"),
        Site.RESID_POST: Tap("", "out"),
        Site.RESID_MID: layout.resid_mid,
        Site.ATTN_OUT: layout.attn_out,
        Site.MLP_OUT: layout.mlp_out,
        Site.MLP_IN: layout.mlp_in,
    }


@lru_cache
def _all_families() -> tuple[Family, ...]:
    return tuple(_wirings())


def _wirings() -> Iterator[Family]:
    """Every listed family in every wiring that its config can ask for."""
    for flag in (True, False):
        config = SimpleNamespace(
            use_parallel_residual=flag,
            do_layer_norm_before=flag,
            _remove_final_layer_norm=False,
            word_embed_proj_dim=1,
            hidden_size=1,
            new_decoder_architecture=False,
            parallel_attn=flag,
        )
        yield from (row(config) for row in FAMILIES.values())
