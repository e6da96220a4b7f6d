"""Three houses, one direction; and only one room with a door to the network."""

import ast
import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "loupe"
MODULES = sorted(PACKAGE.rglob("*.py"))
NETWORK = {
    "aiohttp", "ftplib", "http.client", "httpx", "httpx2", "huggingface_hub", "requests", "smtplib", "urllib.request",
    "urllib3", "websockets", "xmlrpc",
}  # fmt: skip
TALKS_TO_OURSELVES = {"app/cli/client.py"}  # the command line reaches the server that holds the data directory
READS_THE_ENVIRONMENT = {
    "storage/paths.py",  # LOUPE_HOME's default
    "app/settings.py",  # tells which settings come from it
    "app/settings_file.py",  # LOUPE_CONFIG: where the file is
    "app/server.py",  # variables set for NiceGUI
    "app/older_variables.py",  # translates an earlier app's variables into ours, before anything is started
    "app/services/convert.py",  # strips the environment of a child process, and reads no setting
}
STATES = {"loupe.storage.rows", "loupe.storage.rows.WorkState", "loupe.storage.rows.FINAL_STATES"}
FORBIDDEN = {
    "engine": {"loupe.app", "loupe.storage", "nicegui", "fastapi", "starlette", "sqlmodel", "sqlalchemy", "sqlite3"},
    "storage": {"loupe.app", "loupe.engine", "nicegui", "fastapi", "starlette", "torch", "transformers", "numpy"},
}


def imports_of(path: Path) -> set[str]:
    """Every module a file imports, as full dotted names; `from a import b` counts as `a` and `a.b`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import; write the full name"
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def touches(imported: set[str], forbidden: set[str]) -> set[str]:
    return {name for name in imported for root in forbidden if name == root or name.startswith(root + ".")}


@pytest.mark.parametrize("house", FORBIDDEN)
def test_a_house_imports_neither_its_neighbours_nor_their_tools(house):
    offences = {
        str(path.relative_to(PACKAGE)): sorted(found)
        for path in (PACKAGE / house).rglob("*.py")
        if (found := touches(imports_of(path), FORBIDDEN[house]))
    }
    assert offences == {}


def test_rows_never_leave_storage():
    leaks = {
        str(path.relative_to(PACKAGE)): sorted(found)
        for path in (PACKAGE / "app").rglob("*.py")
        if (found := touches(imports_of(path), {"loupe.storage.rows"}) - STATES)
    }
    assert leaks == {}


def test_only_outbound_makes_requests():
    offences = {
        str(path.relative_to(PACKAGE)): sorted(found)
        for path in MODULES
        if "outbound" not in path.parts
        and str(path.relative_to(PACKAGE)) not in TALKS_TO_OURSELVES
        and (found := touches(imports_of(path), NETWORK))
    }
    assert offences == {}


def test_nothing_but_the_settings_and_the_data_directory_reads_the_environment():
    readers = {
        str(path.relative_to(PACKAGE)) for path in MODULES if re.search(r"\bos\.(environ|getenv)\b", path.read_text())
    }
    assert readers <= READS_THE_ENVIRONMENT


def test_the_check_sees_an_import_wherever_it_stands(tmp_path):
    source = tmp_path / "room.py"
    source.write_text("def f():\n    from loupe.app import bridge\n    import urllib.request as u\n")
    assert touches(imports_of(source), {"loupe.app"}) == {"loupe.app", "loupe.app.bridge"}
    assert touches(imports_of(source), NETWORK) == {"urllib.request"}


def test_every_module_says_what_it_is_for():
    silent = [
        str(path.relative_to(PACKAGE)) for path in MODULES if ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert [path for path in silent if not path.endswith("__init__.py")] == []


def test_there_are_modules_to_check():
    assert len(MODULES) > 20
    assert all((PACKAGE / path).exists() for path in TALKS_TO_OURSELVES)
