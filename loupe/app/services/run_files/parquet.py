"""Runs as Parquet: typed columns for data frames, the head in the schema's metadata under `loupe-run`.

A column whose values do not fit its type exactly, or that is not one of ours, is written as JSON text and marked so.
"""

from collections.abc import Sequence
from io import BytesIO
from typing import TYPE_CHECKING, Any

import orjson

from loupe.app.services.run_files.comma import columns_of
from loupe.app.services.run_files.document import (
    FORMAT,
    MAX_POSITIONS,
    VERSION,
    Document,
    Problem,
    Row,
    assembled,
    check_head,
    check_row,
    present,
)
from loupe.app.services.run_files.older import read as read_bare

if TYPE_CHECKING:
    import pyarrow as pa

MARK = {b"loupe": b"json"}
MAGIC = b"PAR1"
TOO_LARGE = 2**30  # bytes that a small file may claim to unfold to


def write(document: Document) -> bytes:
    """The table, compressed with zstd."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = columns_of(document.data)
    fields, arrays = [], []
    for name in columns:
        field, array = _column(name, [row.get(name) for row in document.data])
        fields.append(field)
        arrays.append(array)
    schema = pa.schema(fields, metadata={FORMAT: orjson.dumps(document.head())})
    out = BytesIO()
    pq.write_table(pa.Table.from_arrays(arrays, schema=schema), out, compression="zstd")
    return out.getvalue()


def read(content: bytes) -> Document:
    """The run of a file; any Parquet file with a column `position` will do. Raises Problem."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(BytesIO(content))
        _check_size(file)
        table = file.read()
        found = table.schema.metadata or {}
        rows = _rows(table)
    except (pa.ArrowException, OSError, ValueError, OverflowError, MemoryError) as error:
        if isinstance(error, Problem):
            raise
        raise Problem(f"This is no Parquet file that can be read: {_first_line(error)}") from None
    if FORMAT.encode() not in found:
        return read_bare(rows)
    head = orjson.loads(found[FORMAT.encode()])
    if not isinstance(head, dict) or head.get("version") != VERSION:
        raise Problem(f"The head of the run is not of version {VERSION}, which this Loupe reads.")
    run, metadata = check_head(head.get("run"), head.get("metadata"))
    return assembled(run, metadata, [check_row(row) for row in rows])


def _types() -> "dict[str, pa.DataType]":
    import pyarrow as pa

    number, whole, text = pa.float64(), pa.int64(), pa.string()
    scores = pa.struct([(name, number) for name in ("mse_nrm", "cosine", "fve_nrm", "mse", "relative_rmse")])
    readouts = pa.list_(pa.struct([("token", text), ("token_id", whole), ("probability", number)]))
    rollout = pa.struct(
        [
            *((name, text) for name in ("text", "raw_output", "ended")),
            ("parsed", pa.bool_()),
            *((name, pa.list_(whole)) for name in ("token_ids", "ties")),
            ("scores", scores),
        ]
    )
    unit = pa.struct([("unit", text), ("start", whole), ("end", whole), ("value", number)])
    return {
        **dict.fromkeys(("position", "token_id", "best"), whole),
        **dict.fromkeys(("token", "explanation", "raw_output"), text),
        **dict.fromkeys(("fve_nrm", "cosine", "mse_nrm", "mse", "relative_rmse", "kl", "agreement", "norm"), number),
        **dict.fromkeys(("logit_lens", "tuned_lens", "next_tokens"), readouts),
        "flags": pa.list_(text),
        "rollouts": pa.list_(rollout),
        "salience": pa.list_(unit),
    }


def _column(name: str, values: Sequence[Any]) -> "tuple[pa.Field, pa.Array]":
    import pyarrow as pa

    if (kind := _types().get(name)) is not None:
        try:
            array = pa.array(values, type=kind)
            if [present(value) for value in array.to_pylist()] == list(values):
                return pa.field(name, kind), array
        except (pa.ArrowException, OverflowError, TypeError, ValueError):
            pass
    written = [None if value is None else orjson.dumps(value).decode() for value in values]
    return pa.field(name, pa.string(), metadata=MARK), pa.array(written, type=pa.string())


def _rows(table: "pa.Table") -> list[Row]:
    columns: dict[str, list[Any]] = {}
    for field, column in zip(table.schema, table.columns, strict=True):
        values = column.to_pylist()
        if (field.metadata or {}).items() >= MARK.items():
            values = [None if value is None else orjson.loads(value) for value in values]
        columns[field.name] = [present(value) for value in values]
    return [
        {name: values[index] for name, values in columns.items() if values[index] is not None}
        for index in range(table.num_rows)
    ]


def _check_size(file: Any) -> None:
    told = file.metadata
    unfolded = sum(told.row_group(number).total_byte_size for number in range(told.num_row_groups))
    if told.num_rows > MAX_POSITIONS or unfolded > TOO_LARGE:
        raise Problem(f"The file unfolds to {told.num_rows} rows of {unfolded} bytes, which is more than a run has.")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
