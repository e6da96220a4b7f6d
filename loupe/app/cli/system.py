"""`loupe system`: overview, settings, disk, backups, metrics, diagnostics."""

from pathlib import Path
from typing import Annotated

import typer

from loupe.app.cli.client import open_client
from loupe.app.cli.output import Json, out, print_json, print_table
from loupe.app.settings import Settings

app = typer.Typer(help="The server and its machine.", no_args_is_help=True)


@app.command("show")
def show(as_json: Json = False) -> None:
    """Device, memory, latencies and longest slices."""
    with open_client(Settings()) as client:
        found = client.get("/system")["data"]
    if as_json:
        print_json(found)
        return
    device = found.get("device") or {}
    print_table(("", ""), [(n, found[n]) for n in ("status", "engine", "version", "uptime_s")], empty="")
    holdings = device.get("holdings", {}).items()
    print_table(("holder of device memory", "bytes"), [(n, f"{size:,}") for n, size in holdings], empty="")
    rows = [
        (r["name"], f"{r['p50_s'] * 1000:.0f}", f"{r['p95_s'] * 1000:.0f}", "above target" if r["over"] else "")
        for r in found["latency"]
    ]
    print_table(("what people wait for", "p50 ms", "p95 ms", ""), rows, empty="Nothing was measured yet.")
    slices = [(s["name"], f"{s['longest_s'] * 1000:.0f}", s["overruns"]) for s in device.get("slices", [])]
    print_table(("job", "longest slice ms", "over budget"), slices, empty="No job has run on the device yet.")


@app.command("settings")
def settings(as_json: Json = False) -> None:
    """Every setting, its value and where that came from."""
    with open_client(Settings()) as client:
        rows = client.every("/system/settings")
    if as_json:
        print_json(rows)
        return
    print_table(("setting", "value", "from"), [(r["name"], r["value"], r["source"]) for r in rows], empty="")


@app.command("disk")
def disk(as_json: Json = False) -> None:
    """What lies in the data directory, the largest first."""
    with open_client(Settings()) as client:
        found = client.get("/system/disk")["data"]
    if as_json:
        print_json(found)
        return
    print_table(("what", "bytes"), [(name, f"{size:,}") for name, size in found.items()], empty="")


@app.command("backups")
def backups(as_json: Json = False) -> None:
    """The snapshots in the server's own backup folder, newest first."""
    with open_client(Settings()) as client:
        found = client.every("/system/backups")
    if as_json:
        print_json(found)
        return
    rows = [(s["number"], s["created_at"][:19].replace("T", " "), s["artefacts"], s["folder"]) for s in found]
    print_table(("number", "made (UTC)", "artefacts", "folder"), rows, empty="There is no snapshot yet.")


@app.command("diagnostics")
def diagnostics(
    target: Annotated[Path | None, typer.Argument(help="File to write; unset: a name with the time, here.")] = None,
    as_json: Json = False,
) -> None:
    """Write the diagnostics bundle: versions, settings, timings, log lines; no secret, no prompt, no name."""
    with open_client(Settings()) as client:
        name, packed = client.get_file("/system/diagnostics")
    path = target or Path(name)
    path.write_bytes(packed)
    if as_json:
        print_json({"file": str(path.resolve()), "bytes": len(packed)})
    else:
        out.print(f"[green]written[/] {path}", highlight=False)
