"""Documents that cannot go stale: their examples run, their links lead somewhere, their ids exist."""

import re
from pathlib import Path

import pytest

from tests.app.conftest import GOLDEN

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


def test_the_python_example_of_the_guide_runs(capsys: pytest.CaptureFixture[str]) -> None:
    guide = (ROOT / "docs/guide.md").read_text()
    code = "\n".join(re.findall(r"```python\n(.*?)```", guide, re.DOTALL))
    assert len(code.splitlines()) >= 5
    for shipped, tiny in (("starter/model", "base"), ("starter/nla/av", "av"), ("starter/nla/ar", "ar")):
        assert f"assets/{shipped}" in code
        code = code.replace(f"assets/{shipped}", str(GOLDEN / tiny))
    exec(compile(code, "docs/guide.md", "exec"), {})  # noqa: S102 - our own document
    assert "fve_nrm" in capsys.readouterr().out


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_between_documents_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", document.read_text()):
        if not target.startswith("http"):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_test_id_in_the_code_is_listed_and_every_listed_one_exists() -> None:
    listed = set(re.findall(r"`([a-z-]+)`", (ROOT / "docs/testing.md").read_text().split("## Test ids")[1]))
    code = "\n".join(p.read_text() for p in (ROOT / "loupe/app/pages").glob("*.py"))
    used = set(re.findall(r"data-testid=\"?([a-z-]+)", code))
    families = {name for name in used if name.endswith("-")}  # the rest of the name is made from data
    unlisted = {name for name in used - families if name not in listed}
    unlisted |= {name for name in families if not any(each.startswith(name) for each in listed)}
    assert not unlisted, f"not listed in docs/testing.md: {unlisted}"
    everything = code + "\n".join(p.read_text() for p in (ROOT / "loupe/app/services").glob("*.py"))
    gone = {name for name in listed if not all(part in everything for part in re.split("[-_]", name))}
    assert not gone, f"listed but gone: {gone}"  # some names are put together, so their parts are looked for


def test_the_readme_opens_with_one_sentence_one_picture_and_two_commands() -> None:
    text = (ROOT / "README.md").read_text()
    sentence, picture, commands = text.split("\n\n")[:3]
    assert sentence.count(".") == 1 and picture.startswith("![") and commands.count("make ") == 2


def test_every_command_of_the_guide_exists() -> None:
    from loupe.app.cli.main import app

    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    for document in DOCUMENTS:
        for verb in re.findall(r"(?:^|`)loupe ([a-z]+)", document.read_text(), re.MULTILINE):
            assert verb in names, f"{document.name}: loupe {verb}"
