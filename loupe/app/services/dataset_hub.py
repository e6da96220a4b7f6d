"""Datasets of the hub: what there is, a look at its first rows, and the texts written as its files arrive.

Called in a thread that may wait for the network, so never on the device's.
"""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.errors import HubRefused
from loupe.app.outbound.hub_datasets import DatasetHub
from loupe.app.services.dataset_request import DatasetRequest
from loupe.app.services.dataset_texts import columns_json, make_job
from loupe.engine.errors import Cancelled

if TYPE_CHECKING:
    from loupe.engine.context import ArtefactWriter
    from loupe.engine.data.making import MadeDataset


def part_of(hub: DatasetHub, request: DatasetRequest) -> tuple[str, str]:
    """The config and split that would be read. Raises OfflineRefused, HubRefused, HubUnreachable."""
    return hub.plan_dataset(str(request.repo), request.revision).part(request.config, request.part)[0]


def preview(hub: DatasetHub, request: DatasetRequest) -> dict[str, Any]:
    """What there is by config and split, and the columns of the part that is asked for. Raises as `part_of`."""
    found = hub.plan_dataset(str(request.repo), request.revision)
    parts = [
        {"config": config, "split": split, "files": len(files), "size_bytes": sum(file.size for file in files)}
        for (config, split), files in sorted(found.parts.items())
    ]
    told = {
        "repo": found.plan.repo,
        "revision": found.plan.revision,
        "commit": found.plan.commit,
        "licence": found.plan.licence,
        "gated": found.plan.gated,
        "converted": found.converted,
        "homepage": found.homepage or None,
        "parts": parts,
    }
    return {name: value for name, value in told.items() if value is not None} | _columns(hub, found, request)


def _columns(hub: DatasetHub, found: Any, request: DatasetRequest) -> dict[str, Any]:
    """The columns, or why they cannot be shown: more than one part and none chosen, or a file too large for a look."""
    try:
        (config, split), _ = found.part(request.config, request.part)
        seen = hub.preview_dataset(found, config, split)
    except HubRefused as error:
        return {"columns": [], "chosen": None, "note": str(error)}
    return {"config": config, "split": split} | columns_json(seen)


def made(
    hub: DatasetHub,
    folder: Path,
    request: DatasetRequest,
    report: Callable[[int, int | None, str], None],
    write: "ArtefactWriter",
    stop: threading.Event,
) -> "tuple[MadeDataset, dict[str, Any]]":
    """Write the texts as the files arrive in `folder`; with where they came from. Raises Cancelled, Conflict, as
    `part_of`, and what reading the files raises."""
    from loupe.engine.context import JobContext
    from loupe.engine.data.tables import Split
    from loupe.engine.jobs import Progress

    found = hub.plan_dataset(str(request.repo), request.revision)
    source = hub.source(
        found, folder, config=request.config, split=request.part, text_split=Split(request.split), stop=stop
    )
    ctx = JobContext(writer=write)
    steps = make_job(request, source).run(ctx)
    while True:
        ctx.begin_slice()
        try:
            event = next(steps)
        except StopIteration as end:
            licence = {"licence": found.plan.licence} if found.plan.licence else {}
            return end.value, source.describe() | licence
        if isinstance(event, Progress):
            report(event.done, event.total, event.message)
        if stop.is_set():
            steps.close()
            raise Cancelled("The download was stopped; nothing half stays.")
