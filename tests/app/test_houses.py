"""Three houses, one direction: app may import engine and storage, those import neither app nor each other."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2] / "loupe"
FORBIDDEN = {
    "engine": ("loupe.app", "loupe.storage", "nicegui", "fastapi", "starlette", "httpx", "requests", "sqlmodel"),
    "storage": ("loupe.app", "loupe.engine", "nicegui", "fastapi", "starlette", "httpx", "requests", "torch"),
}
CLIENTS = ("httpx", "httpx2", "requests", "aiohttp", "huggingface_hub", "urllib.request")
OWN_SERVER = {"loupe/app/cli/client.py"}  # speaks to this machine's own server only


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def within(module: str, names: tuple[str, ...]) -> bool:
    return any(module == name or module.startswith(name + ".") for name in names)


@pytest.mark.parametrize("house", sorted(FORBIDDEN))
def test_a_house_imports_only_what_it_may(house: str) -> None:
    files = sorted((ROOT / house).rglob("*.py"))
    assert len(files) > 10
    wrong = {f"{p.relative_to(ROOT)}: {m}" for p in files for m in imports_of(p) if within(m, FORBIDDEN[house])}
    assert not wrong


def test_only_outbound_makes_requests() -> None:
    files = [p for p in ROOT.rglob("*.py") if "outbound" not in p.parts]
    names = {p: str(p.relative_to(ROOT.parent)) for p in files}
    wrong = {
        f"{names[p]}: {m}" for p in files for m in imports_of(p) if within(m, CLIENTS) and names[p] not in OWN_SERVER
    }
    assert not wrong


def test_nothing_but_the_settings_and_the_data_directory_reads_the_environment() -> None:
    allowed = {
        "loupe/storage/paths.py",  # LOUPE_HOME's default
        "loupe/app/server.py",  # variables set for NiceGUI
        "loupe/app/services/convert.py",  # strips the environment of a child process, and reads no setting
    }
    readers = {
        str(p.relative_to(ROOT.parent))
        for p in ROOT.rglob("*.py")
        if "os.environ" in p.read_text() or "os.getenv" in p.read_text()
    }
    assert readers <= allowed
