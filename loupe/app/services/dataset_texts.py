"""Texts and token rows through the engine: what a dataset is read from and cut with. Called in a thread."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.services.dataset_request import DatasetRequest, TokenisationRequest
from loupe.storage.repos.datasets import DatasetRecord

if TYPE_CHECKING:
    from loupe.engine.data.columns import TablePreview
    from loupe.engine.data.making import MakeDataset
    from loupe.engine.data.sources import Source
    from loupe.engine.data.texts import StoredTexts, StoryTexts
    from loupe.engine.jobs import Job


def stories(details: dict[str, Any]) -> "StoryTexts":
    """Texts of the story world."""
    from loupe.engine.data.texts import StoryTexts

    return StoryTexts(int(details["count"]), int(details["first_seed"]))


def stored(folder: Path) -> "StoredTexts":
    """Texts of an artefact. Raises CorruptFile."""
    from loupe.engine.data.texts import StoredTexts

    return StoredTexts(folder)


def source_of(request: DatasetRequest) -> "Source":
    """Where the rows come from. Raises EmptyDataset, NotADataset."""
    from loupe.engine.data.sources import LocalFiles, PastedText
    from loupe.engine.data.tables import Split

    split = Split(request.split)
    if request.text is not None:
        return PastedText(request.text, split)
    return LocalFiles.at(Path(str(request.path)).expanduser(), split)


def make_job(request: DatasetRequest, source: "Source") -> "MakeDataset":
    """The job that writes them down."""
    from loupe.engine.data.making import MakeDataset

    return MakeDataset(source, request.name, column=request.column, limit=request.limit)


def preview(request: DatasetRequest) -> dict[str, Any]:
    """Columns and first cells."""
    from loupe.engine.data.columns import preview as look

    rows = (row for piece in source_of(request).pieces() for row in piece.rows)
    return columns_json(look(rows))


def columns_json(seen: "TablePreview") -> dict[str, Any]:
    """A preview of a table for programs."""
    columns = [{"name": c.name, "kind": c.kind, "examples": list(c.examples)} for c in seen.columns]
    return {"columns": columns, "chosen": seen.chosen}


def found_in(texts: "StoredTexts | StoryTexts", search: str, start: int, limit: int) -> dict[str, Any]:
    """A page of the documents that contain a text."""
    from loupe.engine.data.texts import passages

    found = texts.find(search, start, limit)
    rows = [{"number": number, "text": text} for number, text in passages(texts, found.documents)]
    return {"documents": rows, "next": found.next, "total": len(texts)}


def _tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def tokenise_job(
    folder: Path, texts: "StoredTexts | StoryTexts", record: DatasetRecord, request: TokenisationRequest
) -> "Job":
    """The job that cuts texts into token rows. Raises BadOption."""
    from loupe.engine.data.cutting import CutOptions
    from loupe.engine.data.tokenising import Tokenise

    return Tokenise(
        texts,
        _tokenizer(folder),
        CutOptions.from_dict(request.cut()),
        request.name,
        documents=request.documents,
        characters=record.characters,
    )


def preview_tokens(folder: Path, document: Any, request: TokenisationRequest) -> list[list[dict]]:
    """The first rows of one document, token by token. Raises BadOption."""
    from loupe.engine.data.cutting import CutOptions
    from loupe.engine.data.tokenising import preview_rows

    rows = preview_rows(_tokenizer(folder), document, CutOptions.from_dict(request.cut()))
    return [[{"text": view.text, "flags": int(flags)} for view, flags in row] for row in rows]
