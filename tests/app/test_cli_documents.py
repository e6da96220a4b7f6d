"""The command line's page names every command and every exit code."""

from pathlib import Path

from loupe.app.cli.main import app
from loupe.app.errors import EXIT_CODES, TABLE

PAGE = (Path(__file__).parents[2] / "docs/cli.md").read_text()


def test_every_command_is_on_the_page() -> None:
    names = [command.name for command in app.registered_commands] + [group.name for group in app.registered_groups]
    assert len(names) > 12
    missing = [name for name in names if f"`loupe {name}" not in PAGE]
    assert not missing


def test_every_exit_code_is_on_the_page_and_every_refusal_has_one() -> None:
    for code in {0, 1, 130, *EXIT_CODES.values()}:
        assert f"\n| {code} |" in PAGE, code
    unexpected = {answer.status for answer in TABLE.values()} - EXIT_CODES.keys()
    assert unexpected == {500}
