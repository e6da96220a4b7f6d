"""The command tree, and the one place where an error becomes a line and an exit code."""

import sys
from collections.abc import Sequence

import typer
from pydantic import ValidationError

from loupe.app import logging as app_logging
from loupe.app.cli import (
    activations,
    analyze,
    backup,
    checkpoints,
    convert,
    datasets,
    doctor,
    events,
    generate,
    groups,
    jobs,
    lens,
    models,
    runs,
    saes,
    serve,
    starter,
    system,
    templates,
    train,
    uploads,
)
from loupe.app.cli.client import Refused
from loupe.app.cli.output import print_problem
from loupe.app.errors import UNEXPECTED, AppError, answer_for, describe, exit_code
from loupe.app.settings import Settings
from loupe.engine.errors import LoupeError
from loupe.storage.errors import StorageError

app = typer.Typer(
    name="loupe",
    help="Look inside language models: every token explained in words, with measured trust.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("serve")(serve.serve)
app.command("analyze")(analyze.analyze)
app.command("generate")(generate.generate)
app.add_typer(models.app, name="models")
app.add_typer(groups.pairs, name="pairs")
app.add_typer(groups.groups, name="groups")
app.add_typer(runs.app, name="runs")
app.add_typer(datasets.app, name="datasets")
app.add_typer(activations.app, name="activations")
app.command("train")(train.train)
app.add_typer(checkpoints.app, name="checkpoints")
app.add_typer(templates.app, name="templates")
app.add_typer(saes.app, name="saes")
app.add_typer(lens.app, name="lens")
app.add_typer(uploads.app, name="uploads")
app.add_typer(jobs.app, name="jobs")
app.add_typer(starter.app, name="starter")
app.add_typer(system.app, name="system")
app.command("events")(events.events)
app.command("convert")(convert.convert)
app.command("backup")(backup.backup)
app.command("restore")(backup.restore)
app.command("doctor")(doctor.doctor)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exit with 0, or with the code of what went wrong."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = "--json" in given
    try:
        app_logging.configure(Settings(log_level="WARNING") if given[:1] != ["serve"] else Settings())
        code = app(given, standalone_mode=False) or 0
    except typer.Exit as ended:
        code = ended.exit_code
    except typer.TyperException as misuse:
        print_problem({"code": "usage", "message": str(misuse)}, as_json=as_json)
        code = 2
    except (typer.Abort, KeyboardInterrupt):
        print_problem({"code": "cancelled", "message": "Cancelled."}, as_json=as_json)
        code = 130
    except Refused as refused:
        print_problem(refused.problem, as_json=as_json)
        code = exit_code(refused.status)
    except ValidationError as invalid:
        print_problem({"code": "invalid_request", "message": _problems(invalid)}, as_json=as_json)
        code = 2
    except (AppError, LoupeError, StorageError) as error:
        print_problem(describe(error), as_json=as_json)
        code = exit_code(answer_for(error).status)
    sys.exit(code if isinstance(code, int) else exit_code(UNEXPECTED.status))


def _problems(invalid: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'request'}: {e['msg']}" for e in invalid.errors())
