"""A job as people and programs see it: its row, brought up to date by the work on it, and what may be done now."""

from datetime import UTC, datetime
from typing import Any

from loupe.app.services.live_job import LiveJob
from loupe.storage.repos.jobs import JobRecord
from loupe.storage.repos.logs import LogLine
from loupe.storage.rows import FINAL_STATES, WorkState

PRIORITIES = {"interactive": 0, "batch": 1, "training": 2}
_NAMES = {number: name for name, number in PRIORITIES.items()}
_HELD = (WorkState.PAUSED, WorkState.INTERRUPTED, WorkState.PARKED)


def job_json(record: JobRecord, live: LiveJob | None, *, known: bool, pausable: bool) -> dict[str, Any]:
    """A job for programs; absent values are left out. `known`: somebody here can work on jobs of its kind."""
    now = live or record
    error = {"code": record.error_code, "message": record.error_message, **(record.error_more or {})}
    left = live.seconds_left if live else None
    told = {
        "id": record.id,
        "kind": record.kind,
        "name": record.name,
        "author": record.author or None,
        "state": str(now.state),
        "priority": _NAMES.get(now.priority, str(now.priority)),
        "done": now.done,
        "total": now.total,
        "message": now.message or None,
        "seconds": _seconds(record, live),
        "seconds_left": None if left is None else round(left, 1),
        "error": (live.error if live else None) or (error if record.error_code else None),
        "result": live.result if live else record.result,
        "run_id": record.run_id,
        "checkpoint_id": now.checkpoint_id,
        "attempts": record.attempts,
        "created_at": record.created_at,
        "started_at": record.started_at,
        "finished_at": record.finished_at,
        "actions": list(_actions(record.state, live, known, pausable)),
    }
    return {name: value for name, value in told.items() if value is not None}


def line_json(line: LogLine) -> dict[str, Any]:
    """A log line for programs."""
    return {"at": line.at, "level": line.level, "message": line.message}


def _actions(state: WorkState, live: LiveJob | None, known: bool, pausable: bool) -> list[str]:
    if live is not None:
        state = live.state
        if state in FINAL_STATES:
            return []
        turn = ["resume"] if live.paused else ["pause"] * pausable
        return [*turn, "cancel", "priority"]
    if state in FINAL_STATES:
        return ["retry"] * (known and state is not WorkState.DONE)
    again = ["resume", "retry"] if state in _HELD else ["resume"]
    return [*again * known, "cancel", "priority"]


def _seconds(record: JobRecord, live: LiveJob | None) -> float | None:
    """How long it is or was worked on, by the wall clock; never negative, whatever that clock did."""
    if record.started_at is None or (live is None and record.finished_at is None):
        return None
    until = record.finished_at or datetime.now(UTC)
    return max(0.0, round((until - record.started_at).total_seconds(), 1))
