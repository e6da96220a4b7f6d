"""Which models there are: the starter, and every model folder in the data directory. Reads files, never weights.

A folder of this machine is added as a link, so that nothing is copied and deleting removes the link alone. What is
deleted lies under `.deleted/` until its time is over.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from loupe.app.errors import Forbidden, NotFound

STARTER = "starter"
SIDECAR = "nla_meta.yaml"


class Kind(StrEnum):
    """What a model folder is for."""

    MODEL = "model"
    VERBALIZER = "verbalizer"
    RECONSTRUCTOR = "reconstructor"
    ADAPTER = "adapter"


_ROLES = {"av": Kind.VERBALIZER, "actor": Kind.VERBALIZER, "ar": Kind.RECONSTRUCTOR, "critic": Kind.RECONSTRUCTOR}


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model folder as its own files describe it; `size` in bytes, absent values None. `base` is what an adapter
    says it adapts."""

    id: str
    kind: Kind
    path: Path
    size: int
    source: str
    revision: str | None
    architecture: str | None
    n_layers: int | None
    d_model: int | None
    layer: int | None
    dtype: str | None = None
    licence: str | None = None
    base: str | None = None


@dataclass(frozen=True, slots=True)
class PairSpec:
    """Which folders read which: a model, its NLA pair, and where the vectors come from."""

    model: Path
    verbalizer: Path
    reconstructor: Path
    layer: int | None = None
    donor: Path | None = None
    dtype: str = "auto"


class Catalogue:
    """Finds model folders by name. Paths are taken only from the operator of this machine."""

    def __init__(self, starter: Path, models: Path) -> None:
        self.starter = starter
        self.models = models

    @property
    def has_starter(self) -> bool:
        """Whether the starter's model and pair are there."""
        parts = (self.starter / "model", self.starter / "nla/av", self.starter / "nla/ar")
        return all((part / "config.json").is_file() for part in parts)

    def entries(self) -> list[ModelEntry]:
        """All entries, the starter's first."""
        parts = (("starter", "model"), ("starter/av", "nla/av"), ("starter/ar", "nla/ar"), ("starter/ar2", "nla/ar2"))
        ours = parts if self.has_starter else ()
        there = [(name, self.starter / part) for name, part in ours if is_model_folder(self.starter / part)]
        found = [_entry(name, path, "shipped with Loupe") for name, path in there]
        folders = sorted(p for p in self.models.iterdir() if p.name[0] != "." and is_model_folder(p))
        return found + [_entry(p.name, p, _source(p)) for p in folders]

    def name_of(self, path: Path) -> str:
        """The id of a folder; its own name when it is not in the catalogue."""
        return next((e.id for e in self.entries() if e.path == path), path.name)

    def get(self, name: str) -> ModelEntry:
        """The entry of this id. Raises NotFound."""
        for entry in self.entries():
            if entry.id == name:
                return entry
        known = ", ".join(e.id for e in self.entries()) or "none"
        raise NotFound(f"There is no model {name!r}. Known: {known}.")

    def folder(self, name: str, *, paths_allowed: bool) -> Path:
        """The folder that an id or a path names. Raises NotFound, or Forbidden for a path from elsewhere."""
        if name in {e.id for e in self.entries()}:
            return self.get(name).path
        looks_like_path = name.startswith((".", "/", "~")) or Path(name).expanduser().is_dir()
        if not looks_like_path:
            return self.get(name).path
        if not paths_allowed:
            raise Forbidden("Paths are taken only from this machine's own command line; name a model of the list.")
        folder = Path(name).expanduser().resolve()
        if not folder.is_dir():
            raise NotFound(f"There is no folder {folder}.")
        return folder


def is_model_folder(path: Path) -> bool:
    """Whether a folder holds a model or an adapter."""
    return (path / "config.json").is_file() or (path / "adapter_config.json").is_file()


def read_entry(path: Path) -> ModelEntry:
    """A folder that is not in the catalogue, as its files describe it."""
    return _entry(path.name, path, "local folder")


@lru_cache(maxsize=512)
def _entry(name: str, path: Path, source: str) -> ModelEntry:
    config, adapter = _json(path / "config.json"), _json(path / "adapter_config.json")
    text = config.get("text_config") or config
    sidecar = _yaml(path / SIDECAR)
    extraction = sidecar.get("extraction") or {}
    kind = _ROLES.get(str(sidecar.get("role")), Kind.MODEL)
    return ModelEntry(
        id=name,
        kind=kind if config else Kind.ADAPTER,
        path=path,
        size=sum(f.stat().st_size for f in path.glob("*.safetensors")),
        source=source,
        revision=name.rpartition("@")[2] if "@" in name else None,
        architecture=config.get("model_type") or adapter.get("peft_type"),
        n_layers=text.get("num_hidden_layers") or text.get("n_layer"),
        d_model=text.get("hidden_size") or text.get("n_embd"),
        layer=sidecar.get("extraction_layer_index", extraction.get("layer_index")),
        dtype=_short_dtype(text.get("dtype") or text.get("torch_dtype") or config.get("dtype")),
        licence=_licence(path),
        base=adapter.get("base_model_name_or_path"),
    )


def _source(path: Path) -> str:
    if "@" in path.name:
        return path.name.rpartition("@")[0].replace("--", "/")
    return "linked folder" if path.is_symlink() else "local folder"


def _short_dtype(name: object) -> str | None:
    return {"float32": "fp32", "bfloat16": "bf16", "float16": "fp16"}.get(str(name).removeprefix("torch."))


def _licence(path: Path) -> str | None:
    """What the model card's front matter says, or the first line of a licence file."""
    try:
        card = (path / "README.md").read_text(errors="replace")
    except OSError:
        card = ""
    if card.startswith("---\n") and (end := card.find("\n---", 4)) > 0:
        try:
            said = yaml.safe_load(card[4:end])
        except yaml.YAMLError:
            said = None
        if isinstance(said, dict) and isinstance(said.get("license"), str):
            return said["license"][:80]
    for file in sorted(path.glob("LICENSE*")):
        line = next((part.strip() for part in file.read_text(errors="replace").splitlines() if part.strip()), "")
        return line[:80] or None
    return None


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _yaml(path: Path) -> dict[str, Any]:
    try:
        value = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return value if isinstance(value, dict) else {}
