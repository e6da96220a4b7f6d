"""What decided the result of a run, by name: text, model, options, weights, versions, device."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from loupe.app.services.run_files.document import Document

OPTIONS = (
    *("donor", "adapter", "verbalizer", "reconstructor", "positions", "best_of", "temperature", "top_p"),
    *("max_new_tokens", "kl", "salience", "logit_lens_k", "next_token_k"),
)


class Differing(NamedTuple):
    """A fact of the two runs that is not the same; None where a run does not state it."""

    name: str
    a: Any
    b: Any


def differing(a: Document, b: Document) -> tuple[Differing, ...]:
    """Every fact in which two runs differ, in a fixed order."""
    facts = facts_of(a), facts_of(b)
    names = dict.fromkeys((*facts[0], *facts[1]))
    return tuple(
        Differing(name, facts[0].get(name), facts[1].get(name))
        for name in names
        if facts[0].get(name) != facts[1].get(name)
    )


def facts_of(document: Document) -> dict[str, Any]:
    """What decides a result, by name: text, model, options, weights, versions, device."""
    run, metadata = document.run, document.metadata
    asked = {**(metadata.get("request") or {}), **(run.get("request") or {})}
    known = {
        "text": run.get("text"),
        "model": run.get("model"),
        "layer": run.get("layer", metadata.get("layer")),
        "seed": run.get("seed", asked.get("seed")),
        **{name: asked.get(name) for name in OPTIONS if name != "positions" or isinstance(asked.get(name), str)},
        "device": run.get("device") or metadata.get("device"),
        "dtype": run.get("dtype") or metadata.get("dtype"),
        **{f"weights of {part}": sha for part, sha in fingerprints(document).items()},
        **{f"version of {name}": version for name, version in (run.get("versions") or {}).items()},
    }
    return {name: value for name, value in known.items() if value is not None and value != ""}


def fingerprints(document: Document) -> Mapping[str, Any]:
    """sha256 of the weights and sidecars, by part; empty when the run does not state them."""
    return document.run.get("fingerprints") or document.metadata.get("fingerprints") or {}
