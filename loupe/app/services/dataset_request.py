"""What may be asked of datasets: one declaration for the API, its documents, forms and the command line."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from loupe.app.services.catalogue import STARTER


class DatasetRequest(BaseModel):
    """A dataset to be made: from pasted text, an uploaded file, files on this machine, or a repository of the hub."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(min_length=1, max_length=200, description="What it is called.")
    text: str | None = Field(default=None, max_length=50_000_000, description="The text itself, pasted.")
    path: str | None = Field(default=None, description="File or folder: txt, jsonl, json, csv, tsv or parquet.")
    upload: str | None = Field(default=None, max_length=40, description="Id of a complete upload.")
    repo: str | None = Field(
        default=None, max_length=200, pattern=r"^[\w.-]+(/[\w.-]+)?$", description="Dataset of the hub: OWNER/NAME."
    )
    revision: str = Field(default="main", max_length=200, description="Branch, tag or commit of that repository.")
    config: str | None = Field(default=None, max_length=200, description="Which of its configurations.")
    part: str | None = Field(default=None, max_length=200, description="Which of its splits, such as train.")
    column: str | None = Field(default=None, description="Column of the text or chat; unset takes the likely one.")
    split: Literal["blank_line", "line", "file"] = Field(
        default="blank_line", description="What separates documents in plain text."
    )
    limit: int | None = Field(default=None, ge=1, description="Read at most this many documents.")


class TokenisationRequest(BaseModel):
    """How a dataset is cut into token rows for one model."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field(default=STARTER, description="Model whose tokenizer is used.")
    name: str = Field(default="", max_length=200, description="What it is called; unset names it by its options.")
    mode: Literal["pack", "window"] = Field(
        default="pack", description="Pack documents end to end, or give each windows of its own."
    )
    max_tokens: int = Field(default=128, ge=2, le=1 << 20, description="Tokens of a row.")
    overlap: int = Field(default=0, ge=0, description="Tokens that a window repeats of the one before, as context.")
    min_tokens: int = Field(default=2, ge=1, description="Rows shorter than this are left out.")
    bos: Literal["row", "document", "none"] | None = Field(
        default=None, title="BOS", description="Where the beginning-of-text token stands; unset: as the tokenizer does."
    )
    separator: Literal["eos", "bos", "none"] | None = Field(
        default=None, description="What stands between packed documents; unset: the end-of-text token, if any."
    )
    documents: int | None = Field(default=None, ge=1, description="Read at most this many documents.")

    def cut(self) -> dict[str, Any]:
        """The options of the cutting alone."""
        return self.model_dump(include={"mode", "max_tokens", "overlap", "min_tokens", "bos", "separator"})
