"""The older names of states, and a request's status as the older routes tell it."""

from datetime import datetime
from typing import Any

from loupe.app.api.older.options import AnalyzeOptions
from loupe.app.api.older.results import older_result
from loupe.app.services.live import LiveRun
from loupe.app.workspace import Workspace
from loupe.storage.repos.runs import RunRecord
from loupe.storage.rows import WorkState

STATES = {
    WorkState.QUEUED: "queued",
    WorkState.RUNNING: "processing",
    WorkState.PAUSED: "processing",
    WorkState.DONE: "completed",
    WorkState.CANCELLED: "cancelled",
}
LOADING = "loading the model"


def older_state(state: WorkState, stage: str = "") -> str:
    """`queued`, `waiting_for_group_switch`, `processing`, `completed`, `failed` or `cancelled`."""
    if stage == LOADING and state is WorkState.QUEUED:
        return "waiting_for_group_switch"
    return STATES.get(state, "failed")


async def run_status(here: Workspace, id: str, *, asked: AnalyzeOptions | None = None) -> dict[str, Any]:
    """A request that became a run, however long ago. Raises NotFound."""
    record = await here.runs.get(id)
    live = next((each for each in here.analyses.live if each.id == id), None)
    state = older_state(live.state if live else WorkState(record.state), live.stage if live else "")
    known = {"request_id": id, "status": state} | times(record.created_at, record.started_at, record.finished_at)
    if state == "completed":
        known["result"] = await run_result(here, record, asked)
    if state == "failed":
        known["error"] = _why(live, record)
    return known


def _why(live: LiveRun | None, record: RunRecord) -> str:
    told = live.error if live else None
    return (told or {}).get("message") or record.error_message or f"The request was {record.state}."


async def run_result(here: Workspace, record: RunRecord, asked: AnalyzeOptions | None) -> dict[str, Any]:
    """The result of a finished run under the older names."""
    result = await here.analyses.result(record.id)
    request, pair = record.request, here.groups.find_pair(record.model)
    about = {
        "model_id": record.model,
        "encoder_decoder_model": request.get("verbalizer") or (pair.verbalizer if pair else None),
        "shared_base_model": pair.model if pair else record.model,
        "donor_model": request.get("donor") or (pair.donor if pair else None),
        "request_id": record.id,
    }
    structured = asked.return_structured if asked else True
    return older_result(result, about=about, ignored=asked.ignored() if asked else [], structured=structured)


def times(created: datetime, started: datetime | None, ended: datetime | None) -> dict[str, Any]:
    """When it was asked, began and ended, and how many seconds it took; absent before they are known."""
    known: dict[str, Any] = {"created_at": created.isoformat()}
    if started:
        known["started_at"] = started.isoformat()
    if ended:
        known["completed_at"] = ended.isoformat()
        known["processing_time"] = round((ended - (started or created)).total_seconds(), 3)
    return known
