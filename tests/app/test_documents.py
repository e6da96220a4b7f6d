"""Documents that cannot go stale: their examples run, their links lead somewhere, their ids exist."""

import re
from pathlib import Path

import pytest

from loupe.app.api.application import build_api
from loupe.storage.rows import Row
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


def test_every_command_in_the_documents_exists_with_its_options() -> None:
    from typer.main import get_command

    from loupe.app.cli.main import app

    for document in DOCUMENTS:
        shell = "\n".join(re.findall(r"```sh\n(.*?)```", document.read_text(), re.DOTALL))
        for line in re.findall(r"^loupe .*|`loupe [^`]*`", shell + "\n" + document.read_text(), re.MULTILINE):
            words, command = line.strip("`").partition("#")[0].split()[1:], get_command(app)
            while words and words[0].islower() and (under := getattr(command, "commands", None)):
                assert words[0] in under, f"{document.name}: {line}"
                command = under[words.pop(0)]
            known = {option for each in command.params for option in each.opts + each.secondary_opts}
            unknown = {word for word in words if word.startswith("--")} - known - {"--help"}
            assert not unknown, f"{document.name}: {line}"


def test_the_page_about_rest_names_every_noun_and_every_kind_of_job() -> None:
    page = (ROOT / "docs/api.md").read_text()
    nouns = {path.split("/")[3] for path in build_api().openapi()["paths"] if path.startswith("/api/v1/")}
    assert not {noun for noun in nouns if f"/{noun}" not in page}
    services = "\n".join(path.read_text() for path in (ROOT / "loupe/app/services").glob("*.py"))
    kinds = set(re.findall(r"jobs\.register\((?:Job)?Kind\(\"(\w+)\"", services)) | {"analysis", "generation"}
    assert len(kinds) > 8 and not {kind for kind in kinds if f"`{kind}`" not in page}


def test_the_page_about_formats_has_every_table_of_the_database() -> None:
    page = (ROOT / "docs/formats.md").read_text()
    assert not [name for name in Row.metadata.tables if f"| `{name}` |" not in page]
