"""The tests that docs/promises.md names exist."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PROMISES = (ROOT / "docs" / "promises.md").read_text()


def names_in(path: Path) -> set[str]:
    return {
        node.name
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_promise_has_a_row():
    assert re.findall(r"^\| (R\d+) \|", PROMISES, flags=re.M) == [f"R{number}" for number in range(1, 11)]


def test_every_test_that_a_promise_names_exists():
    named = re.findall(r"`(tests/[\w/]+\.py|test_\w+\.py)?(?:::(\w+))?`", PROMISES)
    path, checked = ROOT, 0
    for file, test in named:
        path = ROOT / file if file.startswith("tests/") else path.parent / file if file else path
        assert path.exists(), path
        assert not test or test in names_in(path), f"{path.name} has no {test}"
        checked += bool(test)
    assert checked > 15
