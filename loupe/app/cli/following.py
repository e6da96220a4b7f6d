"""Jobs followed from the command line: shown until they end; those that a command began are ended with it."""

import time
from typing import Any

from loupe.app.cli.client import Client, Refused
from loupe.app.cli.output import err, meter
from loupe.app.errors import status_of_code
from loupe.app.plain import plain
from loupe.storage.rows import WorkState

BUSY = frozenset(state.value for state in (WorkState.QUEUED, WorkState.RUNNING, WorkState.PAUSED))
EVERY_S = 0.1


def followed(client: Client, id: str, *, title: str = "", quiet: bool) -> dict[str, Any]:
    """Show a job's progress until it has ended, however it did; its last state."""
    with meter(title or id, quiet=quiet) as bar:
        while True:
            job = client.get(f"/jobs/{id}")["data"]
            bar(job["done"], job.get("total"), plain(job.get("message", "")))
            if job["state"] not in BUSY:
                return job
            time.sleep(EVERY_S)


def finished(client: Client, id: str, *, title: str = "", quiet: bool, outlives: bool = False) -> dict[str, Any]:
    """Show a job that this command began until it is done. Raises Refused when it ended in any other way.

    Stopping the command cancels the job, unless it `outlives` the command: then a server goes on with it.
    """
    try:
        job = followed(client, id, title=title, quiet=quiet)
    except KeyboardInterrupt:
        if outlives and client.remote:
            err.print(f"The server goes on with it: `loupe jobs watch {id}`, `loupe jobs cancel {id}`.", markup=False)
        else:
            client.post(f"/jobs/{id}/cancel?confirm=true")
        raise
    if job["state"] != WorkState.DONE.value:
        raise refused(job)
    return job


def refused(job: dict[str, Any]) -> Refused:
    """What a job that did not come to its end is told as."""
    problem = job.get("error") or {"code": "cancelled", "message": f"The {job['kind']} was {job['state']}."}
    return Refused(status_of_code(problem["code"]), problem)
