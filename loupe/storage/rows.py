"""The tables. Rows never leave `storage`: repositories turn them into frozen records.

`number` orders rows by when they were written, whatever the wall clock did; `id` is what the rest of the world sees.
Constraints have names, because SQLite can only change a table by rebuilding it, and a migration must name what it
rebuilds. A change here needs a migration; a test compares the two.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, ClassVar

from sqlalchemy import DDL, JSON, CheckConstraint, Dialect, ForeignKey, Index, MetaData, Text, UniqueConstraint, event
from sqlalchemy.orm import declared_attr
from sqlalchemy.types import TypeDecorator
from sqlmodel import Field, SQLModel

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class WorkState(StrEnum):
    """Where a job or a run is. `interrupted` was running when the process ended; `parked` did that twice in a row."""

    QUEUED = "queued"
    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    PARKED = "parked"


FINAL_STATES = (WorkState.DONE, WorkState.FAILED, WorkState.CANCELLED)
RUN_ORDERS = ("name", "model", "author", "state", "finished_at")  # columns by which lists of runs are sorted or chosen


class UtcDateTime(TypeDecorator):
    """An aware UTC datetime as ISO text, which sorts by time; SQLite itself would forget the zone."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> str | None:
        """Refuse a naive datetime: nobody could say later which zone was meant."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value!r} has no time zone; store aware datetimes")
        return value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: str | None, dialect: Dialect) -> datetime | None:
        """The same moment, in UTC."""
        return None if value is None else datetime.fromisoformat(value)


class Row(SQLModel):
    """What all tables share: one metadata object with named constraints; `RunRow` is the table `run`."""

    metadata: ClassVar[MetaData] = MetaData(naming_convention=NAMING)  # pyright: ignore[reportIncompatibleVariableOverride]  # SQLModel's documented way to have one's own

    @declared_attr.directive
    def __tablename__(cls) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]  # as above
        return cls.__name__.removesuffix("Row").lower()


def _moment(*, nullable: bool = False) -> Any:
    return Field(default=None, sa_type=UtcDateTime, nullable=nullable)


def _json(*, nullable: bool = False) -> Any:
    return Field(default=None, sa_type=JSON, nullable=nullable)


def _reference(target: str, ondelete: str | None = None, *, nullable: bool = True) -> Any:
    return Field(default=None, sa_column_args=[ForeignKey(target, ondelete=ondelete)], nullable=nullable, index=True)


def _state_check() -> CheckConstraint:
    states = ", ".join(f"'{state}'" for state in WorkState)
    return CheckConstraint(f"state IN ({states})", name="state")


class ArtefactRow(Row, table=True):
    """A folder of finished bytes; `manifest_sha256` is what its manifest must hash to."""

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    kind: str = Field(index=True)
    name: str
    size: int
    manifest_sha256: str
    created_at: datetime = _moment()


class RunRow(Row, table=True):
    """One analysis (or other run) with everything needed to repeat it.

    `origin` says where an imported run came from. A run with `deleted_at` is in the bin: listed nowhere else.
    """

    # every list leaves the bin out, so the indexes that lists are read from begin with it
    __table_args__ = (
        _state_check(),
        Index("ix_run_deleted_at", "deleted_at"),
        *(Index(f"ix_run_deleted_at_{name}", "deleted_at", name) for name in RUN_ORDERS),
    )
    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    kind: str = Field(index=True)
    name: str
    author: str
    state: str = Field(index=True)
    text: str
    model: str
    layer: int | None
    seed: int
    device: str
    dtype: str
    token_ids: list[int] = _json()
    request: dict[str, Any] = _json()
    fingerprints: dict[str, str] = _json()
    versions: dict[str, str] = _json()
    summary: dict[str, Any] | None = _json(nullable=True)
    error_code: str | None
    error_message: str | None
    artefact_id: str | None = _reference("artefact.id")
    repeat_of: str | None = _reference("run.id", "SET NULL")
    created_at: datetime = _moment()
    started_at: datetime | None = _moment(nullable=True)
    finished_at: datetime | None = _moment(nullable=True)
    origin: dict[str, Any] | None = _json(nullable=True)
    deleted_at: datetime | None = _moment(nullable=True)
    deleted_by: str | None


class JobRow(Row, table=True):
    """A piece of work that was accepted, and what became of it."""

    __table_args__ = (_state_check(),)
    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    kind: str = Field(index=True)
    name: str
    author: str
    state: str = Field(index=True)
    priority: int
    seed: int
    request: dict[str, Any] = _json()
    done: int
    total: int | None
    message: str
    attempts: int
    error_code: str | None
    error_message: str | None
    run_id: str | None = _reference("run.id", "CASCADE")
    checkpoint_id: str | None = _reference("artefact.id")
    created_at: datetime = _moment()
    started_at: datetime | None = _moment(nullable=True)
    finished_at: datetime | None = _moment(nullable=True)
    error_more: dict[str, Any] | None = _json(nullable=True)
    result: Any = _json(nullable=True)


class LogRow(Row, table=True):
    """One line that a job left behind."""

    number: int | None = Field(default=None, primary_key=True)
    job_id: str = _reference("job.id", "CASCADE", nullable=False)
    at: datetime = _moment()
    level: str
    message: str


class ResultRow(Row, table=True):
    """The result cache: which artefact answers a question with this content."""

    number: int | None = Field(default=None, primary_key=True)
    key: str = Field(unique=True)
    artefact_id: str = _reference("artefact.id", nullable=False)
    created_at: datetime = _moment()
    last_used_at: datetime = _moment()


class LibraryRow(Row, table=True):
    """Something people put into the library that is no folder: a pair, a group, a certificate, a choice."""

    __table_args__ = (UniqueConstraint("kind", "id"),)
    number: int | None = Field(default=None, primary_key=True)
    kind: str
    id: str
    name: str
    body: dict[str, Any] = _json()
    author: str
    created_at: datetime = _moment()
    changed_at: datetime = _moment()
    deleted_at: datetime | None = _moment(nullable=True)


class DatasetRow(Row, table=True):
    """Texts to train on: where they came from, what they are, and the artefact that holds them.

    `artefact_id` is None for texts that are made when they are read (the story world).
    """

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    name: str
    author: str
    source: str = Field(index=True)
    documents: int
    characters: int
    fingerprint: str = Field(index=True)
    details: dict[str, Any] = _json()
    statistics: dict[str, Any] | None = _json(nullable=True)
    artefact_id: str | None = _reference("artefact.id")
    created_at: datetime = _moment()
    deleted_at: datetime | None = _moment(nullable=True)


class TokenisationRow(Row, table=True):
    """A dataset as token rows, for one tokenizer and one way of cutting."""

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    dataset_id: str = _reference("dataset.id", "CASCADE", nullable=False)
    name: str
    author: str
    model: str
    tokenizer_fingerprint: str = Field(index=True)
    options: dict[str, Any] = _json()
    rows: int
    tokens: int
    fingerprint: str
    statistics: dict[str, Any] = _json()
    artefact_id: str = _reference("artefact.id", nullable=False)
    created_at: datetime = _moment()


class SaeRow(Row, table=True):
    """A sparse autoencoder, transcoder or crosscoder: what it is, where it belongs, how good it is, where it lies.

    Its bytes are an artefact, or a folder elsewhere (`path`, as for those that ship). `card` is its evaluation.
    """

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    name: str
    author: str
    architecture: str = Field(index=True)
    hook_points: list[str] = _json()
    hook_point_out: str | None
    model: str
    model_fingerprint: str = Field(index=True)
    d_in: int
    d_sae: int
    k: int | None
    source: str
    source_format: str
    assumptions: list[str] = _json()
    card: dict[str, Any] | None = _json(nullable=True)
    details: dict[str, Any] = _json()
    size: int
    path: str
    artefact_id: str | None = _reference("artefact.id")
    job_id: str | None = _reference("job.id", "SET NULL")
    tokenisation_id: str | None = _reference("tokenisation.id", "SET NULL")
    step: int | None
    created_at: datetime = _moment()
    deleted_at: datetime | None = _moment(nullable=True)


class PointRow(Row, table=True):
    """One point of a training's curves, or one evaluation on held-out text."""

    __table_args__ = (UniqueConstraint("job_id", "sae", "kind", "step"),)
    number: int | None = Field(default=None, primary_key=True)
    job_id: str = _reference("job.id", "CASCADE", nullable=False)
    sae: str
    kind: str
    step: int
    measured: dict[str, Any] = _json()


class CheckpointRow(Row, table=True):
    """A checkpoint that a training can go on from."""

    number: int | None = Field(default=None, primary_key=True)
    id: str = Field(unique=True)
    job_id: str = _reference("job.id", "CASCADE", nullable=False)
    step: int
    artefact_id: str = _reference("artefact.id", nullable=False)
    size: int
    kept: bool
    created_at: datetime = _moment()


RUN_SEARCH = (
    "CREATE VIRTUAL TABLE run_search USING fts5(name, text, model, content='run', content_rowid='number')",
    "CREATE TRIGGER run_search_insert AFTER INSERT ON run BEGIN "
    "INSERT INTO run_search(rowid, name, text, model) VALUES (new.number, new.name, new.text, new.model); END",
    "CREATE TRIGGER run_search_delete AFTER DELETE ON run BEGIN "
    "INSERT INTO run_search(run_search, rowid, name, text, model) "
    "VALUES ('delete', old.number, old.name, old.text, old.model); END",
    "CREATE TRIGGER run_search_update AFTER UPDATE OF name, text, model ON run BEGIN "
    "INSERT INTO run_search(run_search, rowid, name, text, model) "
    "VALUES ('delete', old.number, old.name, old.text, old.model); "
    "INSERT INTO run_search(rowid, name, text, model) VALUES (new.number, new.name, new.text, new.model); END",
)

for _statement in RUN_SEARCH:
    event.listen(Row.metadata.tables["run"], "after_create", DDL(_statement.replace("%", "%%")))
