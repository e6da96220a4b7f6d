"""`loupe jobs`: list, show, logs, watch, pause, resume, cancel, retry, priority.

Without a server the command itself does the work, so `resume` and `retry` then stay until the job has ended.
"""

from typing import Annotated, Any

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.following import followed, refused
from loupe.app.cli.output import Json, err, out, print_json, print_table
from loupe.app.plain import plain
from loupe.app.settings import Settings

app = typer.Typer(help="All work: analyses, generations, downloads, trainings.", no_args_is_help=True)
Id = Annotated[str, typer.Argument(help="Id from `loupe jobs list`.")]


@app.command("list")
def list_jobs(
    search: Annotated[str, typer.Option(help="Words to look for in name, kind and author.")] = "",
    state: Annotated[str | None, typer.Option(help="Only jobs in this state.")] = None,
    kind: Annotated[str | None, typer.Option(help="Only jobs of this kind.")] = None,
    sort_by: Annotated[str, typer.Option(help="created_at, name, kind, state, author or priority.")] = "created_at",
    order: Annotated[str, typer.Option(help="asc or desc.")] = "desc",
    page: Annotated[int, typer.Option(help="Page, from 1.")] = 1,
    limit: Annotated[int, typer.Option(help="Jobs per page.")] = 50,
    as_json: Json = False,
) -> None:
    """Jobs, the newest first."""
    wanted = {"search": search, "state": state, "kind": kind, "page": page, "limit": limit}
    with open_client(Settings()) as client:
        answer = client.get("/jobs", sortBy=sort_by, order=order, **wanted)
    if as_json:
        print_json({"data": answer["data"], "pagination": answer["pagination"]})
        return
    columns = ("id", "kind", "state", "progress", "left", "priority", "author", "name")
    print_table(columns, [_row(job) for job in answer["data"]], empty="There is no such job.")
    if answer["pagination"]["has_next"]:
        err.print(f"{answer['pagination']['total']} in all; the next are on --page {page + 1}.")


@app.command("show")
def show(id: Id, as_json: Json = False) -> None:
    """One job: state, progress, error, and what may be done with it now."""
    with open_client(Settings()) as client:
        _print(client.get(f"/jobs/{id}")["data"], as_json)


@app.command("logs")
def logs(id: Id, as_json: Json = False) -> None:
    """What a job said, oldest first."""
    with open_client(Settings()) as client:
        lines = client.get(f"/jobs/{id}/logs")["data"]
    if as_json:
        print_json(lines)
        return
    for line in lines:
        out.print(f"{line['at'][:19].replace('T', ' ')}  {line['level']:<7}  {plain(line['message'])}", markup=False)


@app.command("watch")
def watch(id: Id, as_json: Json = False) -> None:
    """Follow a job until it has ended; fails when the job failed."""
    with open_client(Settings()) as client:
        _shown(followed(client, id, quiet=as_json), as_json)


@app.command("pause")
def pause(id: Id, as_json: Json = False) -> None:
    """Hold a job until it is resumed, across restarts too."""
    _pull("pause", id, as_json)


@app.command("resume")
def resume(id: Id, as_json: Json = False) -> None:
    """Go on with a paused, interrupted or parked job."""
    _pull("resume", id, as_json, works=True)


@app.command("cancel")
def cancel(
    id: Id,
    yes: Annotated[bool, typer.Option("--yes", help="Also when it is another person's work.")] = False,
    as_json: Json = False,
) -> None:
    """End a job at its next safe point."""
    _pull(f"cancel?confirm={str(yes).lower()}", id, as_json)


@app.command("retry")
def retry(id: Id, as_json: Json = False) -> None:
    """Work on a job again: an interrupted one goes on, a failed or cancelled one is asked for anew."""
    _pull("retry", id, as_json, works=True)


@app.command("priority")
def priority(
    id: Id, level: Annotated[str, typer.Argument(help="interactive, batch or training.")], as_json: Json = False
) -> None:
    """How urgent a job is."""
    with open_client(Settings()) as client:
        _print(client.patch(f"/jobs/{id}", {"priority": level})["data"], as_json)


def _pull(lever: str, id: str, as_json: bool, *, works: bool = False) -> None:
    with open_client(Settings()) as client:
        job = client.post(f"/jobs/{id}/{lever}")["data"]
        if works and not client.remote:
            _shown(followed(client, job["id"], quiet=as_json), as_json)
            return
        _print(job, as_json)


def _shown(job: dict[str, Any], as_json: bool) -> None:
    if job["state"] == "failed":
        raise refused(job)
    _print(job, as_json)


def _row(job: dict[str, Any]) -> tuple[str, ...]:
    done = f"{job['done']:,}" + (f" / {job['total']:,}" if "total" in job else "")
    left = f"{job['seconds_left']:.0f} s" if "seconds_left" in job else ""
    return (
        job["id"],
        job["kind"],
        job["state"],
        done,
        left,
        job["priority"],
        plain(job.get("author", "")),
        plain(job["name"]),
    )


def _print(job: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(job)
        return
    print_table(("", ""), [(name, plain(str(value))) for name, value in job.items()], empty="")
