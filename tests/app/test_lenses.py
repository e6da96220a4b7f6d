"""Tuned lenses: fitted over the API, used by the next analysis, chosen in a stated order, deleted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from typer.testing import CliRunner

from loupe.app.cli.main import app as cli
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace, open_workspace
from loupe.engine.lens.files import write_lens
from loupe.engine.models.lens import LENS_FILE, TunedLens
from tests.app.conftest import GOLDEN, analysed, lay_out_starter
from tests.app.test_trainings import finished, token_rows

SMALL = {"steps": 4, "batch_rows": 32, "buffer_rows": 64, "checkpoint_interval": 2, "log_interval": 2}


def put_lens(folder: Path, *, layers: tuple[int, ...], **card: Any) -> Path:
    width = json.loads((GOLDEN / "base/config.json").read_text())["hidden_size"]
    folder.mkdir(parents=True)
    lens = TunedLens({k: torch.eye(width) for k in layers}, {k: torch.ones(width) for k in layers})
    write_lens(folder, lens, card)
    return folder


def layer_of(starter: Path) -> int:
    return json.loads((starter / "nla/ar/config.json").read_text())["num_hidden_layers"] - 1


async def tuned_columns(api: httpx.AsyncClient, workspace: Workspace) -> tuple[list[Any] | None, str | None]:
    """The tuned-lens column of the last token, and which lens the run names."""
    wanted = {"logit_lens_k": 2, "kl": False, "salience": "none", "positions": "-1", "max_new_tokens": 2}
    id, _ = await analysed(api, workspace, **wanted)
    (row,) = (await api.get(f"/api/v1/runs/{id}/result")).json()["data"]
    run = (await api.get(f"/api/v1/runs/{id}")).json()["data"]
    return row.get("tuned_lens"), run["fingerprints"].get("tuned_lens")


async def test_a_lens_fitted_here_reads_the_next_analysis_and_is_named_in_its_run(
    api: httpx.AsyncClient, workspace: Workspace, starter: Path
) -> None:
    assert await tuned_columns(api, workspace) == (None, None)
    rows = await token_rows(api, workspace)
    job = await finished(api, workspace, "/api/v1/lenses", {"tokenisation": rows, "options": SMALL})
    (lens,) = (await api.get("/api/v1/lenses")).json()["data"]
    assert (lens["job_id"], lens["tokenisation"]) == (job["id"], rows)
    assert (lens["source"], lens["model"], lens["in_use"]) == ("fitted", "starter", True)
    assert [score["layer"] for score in lens["scores"]] == lens["recipe"]["layers"]
    kept = await workspace.store.artefact_records.size_by_kind()
    assert "lens" in kept and "checkpoint" not in kept, "what the fit would have gone on from is gone"
    assert layer_of(starter) in lens["recipe"]["layers"]
    found, fingerprint = await tuned_columns(api, workspace)
    assert found is not None and len(found) == 2
    assert fingerprint is not None and len(fingerprint) == 64
    assert (await api.delete(f"/api/v1/lenses/{lens['id']}")).status_code == 200
    assert (await api.get("/api/v1/lenses")).json()["data"] == []
    assert lens["id"] not in workspace.store.artefacts.ids()
    assert await tuned_columns(api, workspace) == (None, None)


async def test_a_fitted_lens_is_there_after_a_restart_and_a_damaged_one_says_so(
    make_settings: Callable[..., Settings],
) -> None:
    from loupe.app.api.application import build_api

    async with open_workspace(make_settings()) as workspace:
        transport = httpx.ASGITransport(build_api(workspace, paths_allowed=True))
        async with httpx.AsyncClient(transport=transport, base_url="http://loupe") as api:
            rows = await token_rows(api, workspace)
            await finished(api, workspace, "/api/v1/lenses", {"tokenisation": rows, "options": SMALL, "name": "mine"})
    async with open_workspace(make_settings()) as workspace:
        (lens,) = workspace.lenses.all()
        assert (lens.name, lens.source, lens.problem) == ("mine", "fitted", None)
        file = lens.folder / LENS_FILE
        file.write_bytes(file.read_bytes()[:-1] + b"?")
    async with open_workspace(make_settings()) as workspace:
        (told,) = workspace.lenses.listed()
        assert told["name"] == "mine" and LENS_FILE in told["problem"] and not told["in_use"]
        await workspace.lenses.delete(told["id"])
        assert workspace.lenses.all() == []


async def test_the_configured_folder_comes_before_what_ships(
    make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    starter = lay_out_starter(tmp_path / "mine")
    layer = layer_of(starter)
    put_lens(starter / "lens", layers=(layer,), model="loupe-starter")
    put_lens(tmp_path / "lenses/starter", layers=(layer,))
    put_lens(tmp_path / "lenses/other", layers=(layer,))
    async with open_workspace(make_settings(starter_dir=starter, tuned_lens_dir=tmp_path / "lenses")) as workspace:
        listed = workspace.lenses.listed()
        assert [(each["id"], each["in_use"]) for each in listed] == [
            ("folder-other", True),
            ("folder-starter", True),
            ("starter", False),
        ]
        async with workspace.models.use_model(workspace.catalogue.get("starter").path) as lm:
            found = workspace.lenses.of(lm, layer)
            assert found is not None
            assert found.fingerprint == TunedLens.load(tmp_path / "lenses/starter").fingerprint
            assert workspace.lenses.of(lm, layer + 1) is None


async def test_a_lens_of_other_weights_is_not_used(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    starter = lay_out_starter(tmp_path / "mine")
    layer = layer_of(starter)
    put_lens(starter / "lens", layers=(layer,), model_fingerprint="of another model")
    async with (
        open_workspace(make_settings(starter_dir=starter)) as workspace,
        workspace.models.use_model(workspace.catalogue.get("starter").path) as lm,
    ):
        assert workspace.lenses.of(lm, layer) is None
        right = put_lens(tmp_path / "right", layers=(layer,), model_fingerprint=lm.fingerprint)
        (starter / "lens").rename(tmp_path / "wrong")
        right.rename(starter / "lens")
        assert workspace.lenses.of(lm, layer) is not None


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"tokenisation": "nowhere"}, 404, "not_found"),
        ({"model": "nowhere"}, 404, "not_found"),
        ({"model": "starter/av"}, 409, "conflict"),
        ({"options": {"steps": 0}}, 400, "bad_option"),
        ({"options": {"rate": 1}}, 400, "bad_option"),
        ({"options": {"layers": [99]}}, 400, "layer_out_of_range"),
        ({"held_out": 1.0}, 400, "invalid_request"),
    ],
)
async def test_what_cannot_be_fitted_is_refused_before_anything_is_kept(
    api: httpx.AsyncClient, workspace: Workspace, body: dict[str, Any], status: int, code: str
) -> None:
    answer = await api.post("/api/v1/lenses", json={"tokenisation": "nowhere", **body})
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code), answer.text
    assert (await workspace.store.jobs.list()).total == 0


async def test_only_what_was_fitted_here_is_deleted(make_settings: Callable[..., Settings], tmp_path: Path) -> None:
    from loupe.app.errors import Conflict, NotFound

    starter = lay_out_starter(tmp_path / "mine")
    put_lens(starter / "lens", layers=(1,))
    async with open_workspace(make_settings(starter_dir=starter)) as workspace:
        with pytest.raises(Conflict, match="not fitted here"):
            await workspace.lenses.delete("starter")
        with pytest.raises(NotFound):
            await workspace.lenses.delete("nowhere")


def test_the_command_lists_and_shows_what_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    starter = lay_out_starter(tmp_path / "mine")
    score = {"layer": 1, "tokens": 9, "kl": 0.5, "kl_logit_lens": 2.0, "agrees": 0.75, "agrees_logit_lens": 0.25}
    put_lens(starter / "lens", layers=(1,), scores=[score])
    monkeypatch.setenv("LOUPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOUPE_STARTER_DIR", str(starter))
    listed = CliRunner().invoke(cli, ["lens", "list", "--json"])
    assert listed.exit_code == 0, listed.output
    assert [(lens["id"], lens["in_use"]) for lens in json.loads(listed.stdout)] == [("starter", True)]
    shown = CliRunner().invoke(cli, ["lens", "show", "starter"])
    assert shown.exit_code == 0 and "0.500" in shown.stdout and "75.0%" in shown.stdout
