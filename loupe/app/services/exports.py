"""A saved run as a file: which formats there are, and what the file is called."""

import re
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

from loupe.app.services.run_files import comma, json_text, parquet
from loupe.app.services.run_files.document import Document


class Format(StrEnum):
    """The formats a run can be written in; all but HTML can be read back."""

    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"
    PARQUET = "parquet"
    HTML = "html"


MEANING = {
    Format.JSON: "everything, one document",
    Format.JSONL: "everything, one line per position",
    Format.CSV: "for spreadsheets",
    Format.PARQUET: "for data frames",
    Format.HTML: "one page to read or to mail; needs nothing else",
}
MEDIA = {
    Format.JSON: "application/json",
    Format.JSONL: "application/x-ndjson",
    Format.CSV: "text/csv; charset=utf-8",
    Format.PARQUET: "application/vnd.apache.parquet",
    Format.HTML: "text/html; charset=utf-8",
}


class Export(NamedTuple):
    """A file to hand over; `name` is plain ASCII without any sign that means something in a path or a header."""

    name: str
    media_type: str
    content: bytes


def export(document: Document, format: Format) -> Export:
    """Write a run. May take a second for a long one, so call it from a thread."""
    return Export(file_name(document, format), MEDIA[format], _writers()[format](document))


def file_name(document: Document, format: Format) -> str:
    """`loupe-the-fox-lost-her-lantern-1a2b3c4d.csv`, from the name and the id of the run."""
    words = re.findall(r"[a-z0-9]+", str(document.run.get("name", "")).lower())
    slug = "-".join(words)[:40].strip("-")
    mark = re.sub(r"[^A-Za-z0-9]", "", str(document.run.get("id", "")))[-8:].lower()
    return "-".join(filter(None, ("loupe", slug, mark))) + f".{format}"


def _writers() -> dict[Format, Callable[[Document], bytes]]:
    from loupe.app.pages.one_file import page

    return {
        Format.JSON: json_text.write_json,
        Format.JSONL: json_text.write_jsonl,
        Format.CSV: comma.write,
        Format.PARQUET: parquet.write,
        Format.HTML: page,
    }
