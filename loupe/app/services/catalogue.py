"""Which models there are: the starter, and every model folder in the data directory. Reads files, never weights."""

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


_ROLES = {"av": Kind.VERBALIZER, "actor": Kind.VERBALIZER, "ar": Kind.RECONSTRUCTOR, "critic": Kind.RECONSTRUCTOR}


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """One model folder as its own files describe it; `size` in bytes, absent values None."""

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
        ours = [("starter", "model"), ("starter/av", "nla/av"), ("starter/ar", "nla/ar")] if self.has_starter else []
        found = [_entry(name, self.starter / part, "shipped with Loupe") for name, part in ours]
        folders = sorted(p for p in self.models.iterdir() if (p / "config.json").is_file() and p.name[0] != ".")
        return found + [_entry(p.name, p, _source(p.name)) for p in folders]

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


@lru_cache(maxsize=512)
def _entry(name: str, path: Path, source: str) -> ModelEntry:
    config = _json(path / "config.json")
    text = config.get("text_config") or config
    sidecar = _yaml(path / SIDECAR)
    extraction = sidecar.get("extraction") or {}
    return ModelEntry(
        id=name,
        kind=_ROLES.get(str(sidecar.get("role")), Kind.MODEL),
        path=path,
        size=sum(f.stat().st_size for f in path.glob("*.safetensors")),
        source=source,
        revision=name.rpartition("@")[2] if "@" in name else None,
        architecture=config.get("model_type"),
        n_layers=text.get("num_hidden_layers") or text.get("n_layer"),
        d_model=text.get("hidden_size") or text.get("n_embd"),
        layer=sidecar.get("extraction_layer_index", extraction.get("layer_index")),
    )


def _source(name: str) -> str:
    return name.rpartition("@")[0].replace("--", "/") if "@" in name else "local folder"


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
