"""Results without our head: `{metadata, data}`, and what the older viewer wrote and read.

A transcript of the older app is `{data, metadata}`, a bare array of rows, or an object of columns, each a map from
index to value. Its numbers mean what ours mean where they carry our names (`mse`, `relative_rmse`); where something was
not computed it wrote -1 or 0, which is absence here. What has no counterpart keeps its name and is carried along.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from loupe.app.services.run_files.document import Document, Problem, Row, assembled, check_head, check_row

MARKS = {
    *("kl_divergence", "explanation_structured", "explanation_concatenated", "token_salience"),
    *("tuned_lens_top", "logit_lens_top", "target", "salience_plot", "decoder_completions"),
}  # columns that only the older app had
NEVER_TRAINED = 5  # its verbalizers were trained from position 5 on
HEADS = ("encoder_decoder_model", "shared_base_model", "model_id", "checkpoint_path")
EXPLAINED = ("explanation", "explanation_structured", "explanation_concatenated")


def read(value: Any, line: int | None = None) -> Document:
    """A run from one of these forms. Raises Problem."""
    metadata, rows = _parts(value, line)
    facts: dict[str, Any] = {}
    if _is_older(metadata, rows):
        rows = [_translated(row, line) for row in rows]
        metadata = _metadata(metadata, rows)
        facts = {"model": str(metadata.get("shared_base_model") or metadata.get("model_id") or "")}
    checked = [check_row(row, line) for row in rows]
    run, metadata = check_head(_facts(metadata, checked) | facts, metadata, line)
    return assembled(run, metadata, checked, line)


def _parts(value: Any, line: int | None) -> tuple[dict[str, Any], list[Any]]:
    if isinstance(value, list):
        return {}, value
    if not isinstance(value, Mapping):
        raise Problem("This is neither a run, nor a list of rows, nor an object of columns.", line)
    if "data" in value:
        metadata, rows = value.get("metadata") or {}, value["data"]
        if isinstance(rows, Mapping):
            rows = _from_columns(rows, line)
        if not isinstance(rows, list) or not isinstance(metadata, Mapping):
            raise Problem("data must be a list of rows, and metadata an object.", line)
        return dict(metadata), rows
    return {}, _from_columns(value, line)


def _from_columns(columns: Mapping[str, Any], line: int | None) -> list[dict[str, Any]]:
    positions = columns.get("position")
    if not isinstance(positions, Mapping):
        raise Problem("There is no data, and no column `position` either.", line)
    return [
        {name: cells[index] for name, cells in columns.items() if isinstance(cells, Mapping) and index in cells}
        for index in positions
    ]


def _is_older(metadata: Mapping[str, Any], rows: Sequence[Any]) -> bool:
    if any(name in metadata for name in HEADS):
        return True
    return any(isinstance(row, Mapping) and (MARKS & row.keys() or "token_id" not in row) for row in rows[:1])


def _translated(row: Any, line: int | None) -> Row:
    if not isinstance(row, Mapping):
        raise Problem("A row is no object.", line)
    kept = {name: value for name, value in row.items() if name not in ("kl", "kl_divergence", "flags")}
    position = row.get("position")
    if isinstance(position, float) and position.is_integer():
        kept["position"] = position = int(position)
    kept["token"] = _text(row.get("token"))
    kept["explanation"] = _explanation(row)
    for name in ("mse", "relative_rmse"):
        if not _was_computed(row.get(name)):
            kept.pop(name, None)
    if _was_computed(row.get("kl_divergence")):
        kept["kl"] = row["kl_divergence"]
    if isinstance(position, int) and position < NEVER_TRAINED:
        kept["flags"] = ["first_token", "early"] if position == 0 else ["early"]
    return kept


def _explanation(row: Mapping[str, Any]) -> str:
    found = next((row[name] for name in EXPLAINED if row.get(name)), "")
    return "".join(map(_text, found)) if isinstance(found, list) else _text(found)


def _was_computed(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else str(value)


def _metadata(given: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    layer = given.get("layer", rows[0].get("layer") if rows else None)
    whole = [row["position"] for row in rows] == list(range(len(rows)))
    return {
        **{name: value for name, value in given.items() if name not in ("tokens", "layer", "warnings")},
        **({"layer": layer} if isinstance(layer, int) and layer >= 0 else {}),
        **({"tokens": [{"text": row["token"]} for row in rows]} if whole else {}),
    }


def _facts(metadata: Mapping[str, Any], rows: Sequence[Row]) -> dict[str, Any]:
    """What a bare result says of its run."""
    request = metadata.get("request")
    asked: Mapping[str, Any] = request if isinstance(request, Mapping) else {}
    tokens, dtype = metadata.get("tokens"), metadata.get("dtype")
    words = [t.get("text") if isinstance(t, Mapping) else t for t in tokens] if isinstance(tokens, list) else []
    text = "".join(_text(word) for word in words) or "".join(_text(row.get("token")) for row in rows)
    known = {
        "name": " ".join(text.split())[:60],
        "text": text,
        "layer": metadata.get("layer"),
        "seed": asked.get("seed"),
        "token_ids": asked.get("token_ids"),
        "device": metadata.get("device"),
        "dtype": dtype.get("model") if isinstance(dtype, Mapping) else dtype,
        "fingerprints": metadata.get("fingerprints"),
        "versions": {"torch": metadata["torch"]} if isinstance(metadata.get("torch"), str) else None,
    }
    return {name: value for name, value in known.items() if value is not None}
