"""The command line without a server: the same results, tables or JSON, and exit codes that mean something."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from loupe.app.cli.main import main
from tests.app.conftest import GOLDEN
from tests.app.sample import sample_run

Run = Callable[..., tuple[int, str, str]]
PAIR = ("--model", GOLDEN / "base", "--verbalizer", GOLDEN / "av", "--reconstructor", GOLDEN / "ar")


@pytest.fixture
def loupe(tmp_path: Path, starter: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: Any) -> Run:
    """Run a command; returns its exit code and what it printed."""
    monkeypatch.setenv("LOUPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOUPE_STARTER_DIR", str(starter))
    monkeypatch.setattr("loupe.app.logging.configure", lambda settings: None)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main([str(a) for a in arguments])
        out, err = capfdbinary.readouterr()
        return int(ended.value.code or 0), out.decode(), err.decode()

    return run


def test_analyze_prints_metadata_and_data_for_any_pair_on_disk(loupe: Run) -> None:
    options = ("--positions", "0-2", "--max-new-tokens", 5, "--seed", 3, "--best-of", 2, "--no-kl", "--no-salience")
    code, out, _ = loupe("analyze", "The fox ran home.", *PAIR, *options, "--json")
    assert code == 0
    result = json.loads(out)
    assert set(result) == {"metadata", "data"} and [row["position"] for row in result["data"]] == [0, 1, 2]
    row = result["data"][1]
    assert {"token", "token_id", "explanation", "cosine", "mse_nrm", "mse", "relative_rmse", "rollouts"} <= set(row)
    assert "kl" not in row and "salience" not in row and len(row["rollouts"]) == 2
    asked = result["metadata"]["request"]
    assert (asked["best_of"], asked["seed"], asked["temperature"]) == (2, 3, 1.0)


def test_analyze_without_json_reads_as_a_list(loupe: Run) -> None:
    code, out, _ = loupe("analyze", "The fox ran.", "--max-new-tokens", 4)
    assert code == 0 and "'The'" in out and "cosine" in out


@pytest.mark.parametrize(
    ("arguments", "exit_code", "error"),
    [
        (("analyze", ""), 2, "empty_text"),
        (("analyze", "a fox", "--positions", "77"), 2, "bad_positions"),
        (("analyze", "a fox", "--best-of", 2, "--temperature", 0), 2, "bad_option"),
        (("analyze", "a fox", "--salience", "letter"), 2, "bad_option"),
        (("analyze", "a fox", "--temperature", 77), 2, "invalid_request"),
        (("analyze", "a fox", "--model", "nobody"), 2, "not_found"),
        (("analyze", "a fox", "--verbalizer", GOLDEN / "ar"), 3, "wrong_role"),
        (("analyze", "a fox", "--reconstructor", GOLDEN / "base"), 3, "sidecar_missing"),
        (("runs", "show", "nobody"), 2, "not_found"),
        (("models", "show", "nobody"), 2, "not_found"),
        (("analyze", "a fox", "--bestof", 2), 2, "usage"),
        (("restore", "/nowhere/at/all"), 3, "backup_error"),
    ],
)
def test_each_mistake_has_its_error_and_exit_code(loupe: Run, arguments: tuple, exit_code: int, error: str) -> None:
    code, out, err = loupe(*arguments, "--json")
    assert (code, json.loads(out)["error"]["code"]) == (exit_code, error), (out, err)
    assert "Traceback" not in err


def test_an_error_for_people_is_one_line_on_standard_error(loupe: Run) -> None:
    code, out, err = loupe("analyze", "")
    assert code == 2 and out == "" and "The text is empty" in err


def test_runs_are_listed_shown_exported_and_deleted(loupe: Run) -> None:
    loupe("analyze", "The fox ran.", "--max-new-tokens", 4, "--name", "one", "--json")
    _, out, _ = loupe("runs", "list", "--json")
    listed = json.loads(out)
    id = listed["data"][0]["id"]
    assert listed["pagination"]["total"] == 1 and listed["data"][0]["name"] == "one"
    assert id in loupe("runs", "list")[1]
    assert json.loads(loupe("runs", "show", id, "--json")[1])["request"]["text"] == "The fox ran."
    assert set(json.loads(loupe("runs", "export", id)[1])) >= {"format", "metadata", "data"}
    assert json.loads(loupe("runs", "delete", id, "--yes", "--json")[1])["state"] == "in_bin"
    assert json.loads(loupe("runs", "list", "--json")[1])["data"] == []
    assert json.loads(loupe("runs", "restore", id, "--json")[1])["id"] == id
    assert json.loads(loupe("runs", "delete", id, "--yes", "--forever", "--json")[1])["state"] == "deleted"
    assert json.loads(loupe("runs", "list", "--deleted", "--json")[1])["data"] == []


def test_models_are_listed(loupe: Run) -> None:
    code, out, _ = loupe("models", "list", "--json")
    assert code == 0 and [row["id"] for row in json.loads(out)] == ["starter", "starter/av", "starter/ar"]


def test_a_backup_can_be_restored_elsewhere(loupe: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loupe("analyze", "The fox ran.", "--max-new-tokens", 4, "--json")
    code, out, _ = loupe("backup", tmp_path / "kept", "--json")
    assert code == 0 and json.loads(out)["artefacts"] == 1
    id = json.loads(loupe("runs", "list", "--json")[1])["data"][0]["id"]
    before = loupe("runs", "export", id)[1]
    monkeypatch.setenv("LOUPE_HOME", str(tmp_path / "elsewhere"))
    code, out, _ = loupe("restore", tmp_path / "kept", "--json")
    assert code == 0 and json.loads(out)["data_dir"] == str(tmp_path / "elsewhere")
    assert loupe("runs", "export", id)[1] == before


def test_doctor_says_what_is_missing_and_what_to_do(
    loupe: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = loupe("doctor", "--json")
    assert code == 0 and json.loads(out)["ok"] and json.loads(out)["server"] is None
    assert "home, not made yet" in out and not (tmp_path / "home").exists(), "a doctor only looks"
    monkeypatch.setenv("LOUPE_STARTER_DIR", str(tmp_path / "none"))
    code, out, _ = loupe("doctor")
    assert code == 1 and "loupe starter build" in out


def test_serving_a_public_address_without_a_password_is_refused(loupe: Run) -> None:
    code, _, err = loupe("serve", "--host", "0.0.0.0", "--port", 0)
    assert code == 6 and "LOUPE_PASSWORD" in err


def test_a_run_travels_by_file_and_is_compared_with_what_it_was(loupe: Run, tmp_path: Path) -> None:
    name = "evil\u202egnp.exe [/] [bold] \x1b[2J"
    file = tmp_path / "run.json"
    file.write_text(json.dumps(sample_run()))
    first = json.loads(loupe("runs", "import", file, "--json")[1])["ids"][0]
    assert loupe("runs", "rename", first, name)[0] == 0
    code, out, _ = loupe("runs", "list")
    assert code == 0 and "[bold]" in out and "\u202e" not in out and "\x1b" not in out
    code, told, _ = loupe("runs", "export", first, "--format", "parquet", "-o", tmp_path, "--json")
    written = json.loads(told)
    assert code == 0 and Path(written["path"]).stat().st_size == written["bytes"] > 0
    code, told, _ = loupe("runs", "export", first, "--format", "parquet", "--json")
    assert code != 0 and "--output" in json.loads(told)["error"]["message"]
    (exported,) = tmp_path.glob("loupe-*.parquet")
    second = json.loads(loupe("runs", "import", exported, "--json")[1])["ids"][0]
    assert json.loads(loupe("runs", "compare", first, second, "--json")[1])["verdict"] == "equal"
    code, out, _ = loupe("runs", "compare", first, "sample:01-the-lost-lantern")
    assert code == 0 and "Equal to the last bit." in out and "asked differently" in out


def test_a_file_that_is_no_run_is_refused_with_its_lines(
    loupe: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"position": -1}\n{"position": 1,\n')
    code, _, err = loupe("runs", "import", file)
    assert code == 3 and "bad.jsonl:2:" in err and "Nothing was imported" in err
    assert json.loads(loupe("runs", "import", file, "--json")[1])["error"]["code"] == "import_refused"
    monkeypatch.setattr("loupe.app.cli.runs.PIECE_BYTES", 1)  # as a large file is: in pieces, read by a job
    code, _, err = loupe("runs", "import", file)
    assert code == 3 and "bad.jsonl:2:" in err and "Nothing was imported" in err
    file.write_text(json.dumps(sample_run()))
    assert len(json.loads(loupe("runs", "import", file, "--json")[1])["ids"]) == 1
