"""Log lines for people (text) or machines (JSON), each with the request and job it belongs to.

Prompts, explanations and keys are never passed to a logger at the default level; what is logged are identifiers,
counts and durations. Extra fields given as `extra={"fields": {...}}` become JSON keys, or `key=value` at the end.
"""

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

from loupe.app.settings import Settings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
job_id: ContextVar[str | None] = ContextVar("job_id", default=None)

QUIET = (
    "httpx",
    "httpcore",
    "urllib3",
    "alembic",
    "aiosqlite",
    "huggingface_hub",
    "transformers",
    "filelock",
    "engineio",
)


def configure(settings: Settings) -> None:
    """Send every logger to standard error in the chosen form; chatty libraries only from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(_attach_ids)
    handler.setFormatter(JsonLines() if settings.log_format == "json" else TextLines())
    logging.basicConfig(level=settings.log_level, handlers=[handler], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)  # its connection lines name the pages' secret ids
    logging.captureWarnings(True)


def _attach_ids(record: logging.LogRecord) -> bool:
    record.request_id = request_id.get()
    record.job_id = job_id.get()
    return True


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """The identifiers and extra fields of a record, absent ones left out."""
    ids = {"request_id": getattr(record, "request_id", None), "job_id": getattr(record, "job_id", None)}
    return {k: v for k, v in ids.items() if v} | getattr(record, "fields", {})


class JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | fields_of(record)
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


class TextLines(logging.Formatter):
    """`12:30:01 info  loupe.app: message  key=value`, exceptions below."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).astimezone().strftime("%H:%M:%S")
        pairs = "".join(f"  {k}={v}" for k, v in fields_of(record).items())
        line = f"{at} {record.levelname.lower():<7} {record.name}: {record.getMessage()}{pairs}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
