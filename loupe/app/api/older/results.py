"""Finished rows and results under their older names."""

import re
from typing import Any

_WORD = re.compile(r"\S+\s*")


def older_row(row: dict[str, Any], *, structured: bool = True) -> dict[str, Any]:
    """One row of a table: what was not computed is absent."""
    same = {n: row[n] for n in ("position", "token", "explanation", "mse", "relative_rmse") if row.get(n) is not None}
    if row.get("kl") is not None:
        same["kl_divergence"] = row["kl"]
    if structured:
        same["explanation_structured"] = _WORD.findall(row.get("explanation", ""))
    if row.get("salience") is not None and row.get("mse_nrm"):
        same["token_salience"] = [unit["value"] / row["mse_nrm"] for unit in row["salience"] if "value" in unit]
    if row.get("logit_lens"):
        same["logit_lens_top"] = " ".join(read["token"].replace("\n", "\\n") for read in row["logit_lens"])
    if row.get("flags"):
        same["flags"] = row["flags"]
    return same


def older_result(result: dict[str, Any], *, about: dict[str, Any], ignored: list[str], structured: bool = True) -> dict:
    """`{data, metadata}` of a finished analysis. `about` names the models."""
    found = result["metadata"]
    asked = found.get("request") or {}
    metadata = about | {
        "layer": found.get("layer"),
        "best_of_k": asked.get("best_of"),
        "temperature": asked.get("temperature"),
        "seed": asked.get("seed"),
        "device": found.get("device"),
        "ignored_options": ignored or None,
        "warnings": found.get("warnings") or None,
    }
    return {
        "data": [older_row(row, structured=structured) for row in result["data"]],
        "metadata": {name: value for name, value in metadata.items() if value is not None},
    }
