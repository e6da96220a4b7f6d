"""Datasets, a training and its SAE from the command line alone."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.test_cli import loupe  # noqa: F401 - the fixture

Run = Callable[..., tuple[int, str, str]]


def test_from_a_text_file_to_an_sae_folder(loupe: Run, tmp_path: Path) -> None:  # noqa: F811 - the fixture
    def ask(*arguments: object) -> dict:
        code, out, err = loupe(*arguments, "--json")
        assert code == 0, out + err
        return json.loads(out)

    text = tmp_path / "foxes.txt"
    text.write_text("\n\n".join(f"The fox saw {n} hills and the moon over the river." for n in range(40)))
    dataset = ask("datasets", "create", text)
    assert dataset["documents"] == 40
    rows = ask("datasets", "tokenise", dataset["id"], "--mode", "window", "--max-tokens", 32)
    small = ("--d-sae", 16, "--k", 2, "--steps", 4, "--batch-rows", 32, "--hook-point", "blocks.1.resid_post")
    few = ("--set", "initial_rows=64", "--set", "log_interval=2", "--set", "threshold_rows=64")
    done = ask("train", rows["id"], *small, *few)
    assert done["state"] == "done" and len(done["saes"]) == 1
    template = ask("templates", "save", done["id"], "--name", "Small")
    assert template["recipe"]["training"]["steps"] == 4 and template["recipe"]["saes"][0]["d_sae"] == 16
    again = ask("train", rows["id"], "--template", template["id"], "--set", "checkpoint_interval=2")
    assert again["request"]["training"]["checkpoint_interval"] == 2
    cache = ask("activations", "make", rows["id"], "--hook-point", "blocks.1.resid_post", "--rows", 300)
    assert [row["id"] for row in ask("activations", "list")] == [cache["id"]] and cache["rows"] == 300
    read = ask("train", "--activations", cache["id"], "--template", template["id"])
    assert read["request"]["activations"] == ask("activations", "show", cache["id"])["id"]
    assert ask("activations", "delete", cache["id"])["id"] == cache["id"]
    saved = ask("checkpoints", "list", again["id"])
    assert [each["step"] for each in saved] == [4, 2]
    loaded = ask("checkpoints", "load", again["id"], saved[1]["id"])["saes"]
    assert [sae["step"] for sae in loaded] == [2]
    card = ask("saes", "evaluate", done["saes"][0], rows["id"], "--rows", 4)
    assert card["tokens"] > 0
    folder = Path(ask("saes", "export", done["saes"][0], tmp_path / "out")["folder"])
    assert (folder / "cfg.json").is_file()
    again = ask("saes", "import", folder, "--name", "again")
    assert again["source"] == "imported" and again["d_sae"] == 16
    assert {row["name"] for row in ask("saes", "list")} >= {"again"}


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("train",), 2),
        (("train", "nothing"), 2),
        (("datasets", "create", "/nowhere.txt"), 2),
        (("saes", "import", "/nowhere"), 3),
    ],
)
def test_mistakes_have_exit_codes(loupe: Run, arguments: tuple[str, ...], code: int) -> None:  # noqa: F811 - the fixture
    assert loupe(*arguments)[0] == code
