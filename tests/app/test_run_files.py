"""Runs as files: whatever is exported comes back equal, and what is wrong with a file is told by line."""

import csv
import io
import json
from pathlib import Path

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loupe.app.errors import ImportRefused
from loupe.app.services.exports import Format, export
from loupe.app.services.imports import read_runs
from loupe.app.services.run_files import older
from loupe.app.services.run_files.document import Document
from loupe.app.settings import Settings, starter_folder
from tests.app.hostile import HOSTILE, is_a_formula
from tests.app.sample import sample_run

READABLE = [each for each in Format if each is not Format.HTML]
SAMPLES = sorted((starter_folder(Settings()) / "runs").glob("*.json"))


def document(**facts: object) -> Document:
    """The written sample run as a document."""
    found = older.read(sample_run())
    return Document({**found.run, "id": "a1", "name": "The lantern", **facts}, found.metadata, found.data)


def back(content: bytes) -> Document:
    """The one run of a file."""
    _, (found,) = read_runs(content)
    return found


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
@pytest.mark.parametrize("format", READABLE)
def test_a_real_run_comes_back_equal_from_every_format(path: Path, format: Format) -> None:
    run = older.read(json.loads(path.read_text()))
    run = Document({**run.run, "author": "Ada", "id": "x"}, run.metadata, run.data)
    assert back(export(run, format).content) == run


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(HOSTILE)
numbers = st.floats(allow_nan=False, allow_infinity=False)
whole = st.integers(-(2**53), 2**53)
plain_json = st.recursive(
    st.booleans() | whole | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=4,
)
readouts = st.lists(
    st.fixed_dictionaries({"token": texts, "token_id": whole, "probability": numbers}, optional={"note": texts}),
    max_size=2,
)
units = st.lists(st.fixed_dictionaries({"unit": texts}, optional={"value": numbers, "start": whole}), max_size=2)
scores = st.fixed_dictionaries({}, optional={"fve_nrm": numbers, "cosine": numbers, "mse_nrm": numbers})
rollouts = st.lists(
    st.fixed_dictionaries(
        {"text": texts}, optional={"token_ids": st.lists(whole, max_size=3), "parsed": st.booleans(), "scores": scores}
    ),
    max_size=2,
)
columns = {
    **dict.fromkeys(("fve_nrm", "mse", "kl"), numbers),
    **dict.fromkeys(("logit_lens", "next_tokens"), readouts),
    "flags": st.lists(texts, max_size=2),
    "raw_output": texts,
    "rollouts": rollouts,
    "salience": units,
    "extra column": plain_json,
    "=cmd()": plain_json,
}
rows = st.fixed_dictionaries(
    {"token": texts, "explanation": texts, "token_id": st.integers(0, 2**31)}, optional=columns
)
documents = st.builds(
    lambda name, found, more: Document(
        {"name": name, "seed": 2**63 - 1, "request": {"text": name, **more}},
        {"layer": 2, "tokens": [{"text": row["token"]} for row in found], **more},
        tuple({"position": index, **row} for index, row in enumerate(found)),
    ),
    texts,
    st.lists(rows, min_size=1, max_size=3),
    st.dictionaries(st.sampled_from(["a", "=b", "'c"]), plain_json, max_size=2),
)


@given(documents, st.sampled_from(READABLE))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_whatever_a_run_holds_comes_back_equal(run: Document, format: Format) -> None:
    assert back(export(run, format).content) == run


@pytest.mark.parametrize("format", READABLE)
def test_a_run_without_rows_keeps_its_tokens(format: Format) -> None:
    run = Document({"name": "n"}, {"tokens": [{"text": "a"}]}, ())
    assert back(export(run, format).content) == run


def test_no_cell_of_a_table_is_a_formula_to_a_spreadsheet() -> None:
    run = document(name='=HYPERLINK("http://x")')
    rows = [row | {"token": bad, "explanation": bad, bad: bad} for row, bad in zip(run.data, HOSTILE, strict=False)]
    content = export(Document(run.run, run.metadata, tuple(rows)), Format.CSV).content
    cells = [cell for line in csv.reader(io.StringIO(content.decode("utf-8-sig"), newline="")) for cell in line]
    assert len(cells) > 20
    assert [cell for cell in cells if is_a_formula(cell)] == []


def test_a_table_opens_in_pandas_with_numbers_as_numbers() -> None:
    import pandas as pd

    run = document()
    table = pd.read_csv(io.BytesIO(export(run, Format.CSV).content))
    assert list(table["fve_nrm"]) == [row["fve_nrm"] for row in run.data]
    typed = pd.read_parquet(io.BytesIO(export(run, Format.PARQUET).content))
    assert list(typed["kl"]) == [0.125] * len(run.data)
    assert typed["rollouts"][0][1]["scores"]["cosine"] == run.data[0]["rollouts"][1]["scores"]["cosine"]


@pytest.mark.parametrize("name", [*HOSTILE, "../../etc/passwd", "a" * 300, "", "Ünïcode ✓", "con.txt"])
def test_the_name_of_an_export_is_plain_whatever_the_run_is_called(name: str) -> None:
    file = export(document(name=name, id="../x"), Format.JSON).name
    assert file.isascii() and file.startswith("loupe-") and file.endswith(".json") and len(file) < 80
    assert set(file) <= set("abcdefghijklmnopqrstuvwxyz0123456789-.") and file.count(".") == 1


def test_several_runs_in_one_file_of_lines_are_several_runs() -> None:
    runs = [document(name="one"), document(name="two")]
    content = b"".join(export(run, Format.JSONL).content for run in runs)
    kind, found = read_runs(content)
    assert (kind, list(found)) == (Format.JSONL, runs)


OLDER = {
    "metadata": {"shared_base_model": "google/gemma-2-9b-it", "layer": 30, "best_of_k": 16, "model_id": "g30"},
    "data": [
        {
            "position": position,
            "token": token,
            "explanation_structured": [" sea", " story", ":"],
            "token_salience": [0.1, -0.2, 0.0],
            "mse": 1.5 if position else -1,
            "relative_rmse": 0.0,
            "kl_divergence": -1 if position else 0.25,
            "logit_lens_top": "the a",
        }
        for position, token in enumerate(["The", " sea"])
    ],
}


def as_columns(rows: list[dict]) -> dict:
    return {name: {str(i): row[name] for i, row in enumerate(rows)} for name in rows[0]}


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(OLDER),
        json.dumps(OLDER, indent=2),
        json.dumps(OLDER) + "\n",
        json.dumps(OLDER["data"]),
        json.dumps(as_columns(OLDER["data"])),
        json.dumps({"metadata": OLDER["metadata"], "data": as_columns(OLDER["data"])}),
    ],
    ids=["line", "indented", "newline", "rows", "columns", "columns inside"],
)
def test_every_form_of_the_older_viewer_is_understood(written: str) -> None:
    _, (found,) = read_runs(written.encode())
    first, second = found.data
    assert (first["explanation"], second["token"], found.run["text"]) == (" sea story:", " sea", "The sea")
    assert first["flags"] == ["first_token", "early"]
    assert (second["mse"], first["kl"]) == (1.5, 0.25)
    assert second["token_salience"] == [0.1, -0.2, 0.0] and second["logit_lens_top"] == "the a"
    if '"metadata"' in written:
        assert (found.metadata["layer"], found.run["model"]) == (30, "google/gemma-2-9b-it")


def test_what_the_older_app_did_not_compute_is_absent() -> None:
    _, (found,) = read_runs(json.dumps(OLDER).encode())
    assert "mse" not in found.data[0] and "kl" not in found.data[1]
    assert all("relative_rmse" not in row for row in found.data)


def test_concatenated_transcripts_with_and_without_lines_between_are_several_runs() -> None:
    once = json.dumps(OLDER)
    for written in (f"{once}\n{once}\n", f"{once}{once}", f"{json.dumps(OLDER, indent=1)}\n\n{once}"):
        assert len(read_runs(written.encode())[1]) == 2


def test_nan_from_other_writers_is_absence() -> None:
    row = '{"position": 0, "token": "a", "token_id": 1, "explanation": "b", "kl": NaN, "mse": Infinity}'
    _, (found,) = read_runs(f'{{"metadata": {{}}, "data": [{row}]}}'.encode())
    assert found.data == ({"position": 0, "token": "a", "token_id": 1, "explanation": "b"},)


def test_each_wrong_line_is_named_and_told_what_is_wrong_with_it() -> None:
    lines = export(document(), Format.JSONL).content.splitlines()
    lines[2] = b'{"position": "two"}'
    lines[4] = b'{"position": 4,'
    lines[5] = b"[1, 2]"
    with pytest.raises(ImportRefused, match="Nothing was imported") as caught:
        read_runs(b"\n".join(lines))
    told = {each["line"]: each["problem"] for each in caught.value.details["lines"]}
    assert set(told) >= {3, 5}
    assert "position" in told[3] and "no JSON" in told[5]


WRONG = {
    "nothing": (b"", "no column `position`"),
    "page": (b"<!doctype html><p>", "a page to read"),
    "not utf-8": (b"position,token\n0,\xff\xfe", "Line 2: Byte .* is not UTF-8"),
    "no position": (b"token,explanation\na,b\n", "names no column `position`"),
    "too many cells": (b"position,token\n0,a,b\n", "Line 2: There are 3 cells"),
    "formula as number": (b"position,token,kl\n0,a,=1+1\n", "Line 2: kl: '=1\\+1' is no JSON value"),
    "twice": (b'[{"position": 1}, {"position": 1}]', "Position 1 is there twice"),
    "negative": (b'[{"position": -1}]', "greater than or equal to 0"),
    "list of numbers": (b"[1, 2]", "is a number|no object"),
    "number": (b'{"position": 3}', "no column `position`"),
    "empty list": (b"[]", "nothing in this run"),
    "newer": (b'{"format": "loupe-run", "version": 9, "data": []}', "version 9"),
    "rollouts are no list": (b'[{"position": 0, "token_id": 1, "rollouts": 5}]', "rollouts"),
    "denominator": (b'{"metadata": {"fve_denominator": 3}, "data": [{"position": 0, "token_id": 1}]}', "denominator"),
    "outside": (b'{"metadata": {"tokens": ["a"]}, "data": [{"position": 4, "token_id": 1}]}', "outside the 1 token"),
    "deep": (
        b'{"metadata": ' + b'{"a":' * 900 + b"1" + b"}" * 900 + b', "data": [{"position": 0}]}',
        "deep|nest|Recurs",
    ),
    "very deep": (b"[" * 100_000, "deep|no JSON"),
    "not parquet": (b"PAR1 but not really", "no Parquet file"),
    "surrogate": (b'[{"position": 0, "token": "\\ud800", "token_id": 1}]', "no JSON|cannot be written"),
    "huge": (b'[{"position": 0, "token_id": 1' + b"0" * 40 + b"}]", "64|integer"),
    "unclosed quote": (b'position,token\n0,"a\n', "no CSV"),
}


@pytest.mark.parametrize("content, told", WRONG.values(), ids=WRONG.keys())
def test_a_file_that_is_no_run_is_refused_with_a_reason(content: bytes, told: str) -> None:
    with pytest.raises(ImportRefused, match=told):
        read_runs(content)


@given(st.binary(max_size=80) | st.text(max_size=80).map(lambda text: text.encode("utf-8", "surrogatepass")))
@settings(max_examples=150, deadline=None)
def test_any_bytes_are_runs_or_refused(content: bytes) -> None:
    try:
        _, found = read_runs(content)
    except ImportRefused:
        return
    assert all(orjson.dumps(run.result) for run in found)


def test_a_parquet_file_with_any_rows_and_a_position_is_read() -> None:
    import pandas as pd

    out = io.BytesIO()
    pd.DataFrame({"position": [1, 0], "token": ["b", "a"], "token_id": [4, 5], "mse": [0.5, None]}).to_parquet(out)
    found = back(out.getvalue())
    assert [row["token"] for row in found.data] == ["a", "b"]
    assert "mse" not in found.data[0] and found.data[1]["mse"] == 0.5
