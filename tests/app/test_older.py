"""The older surface over REST: documented shapes, without the bugs."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from loupe.app.api.application import build_api
from loupe.app.api.older.options import AnalyzeOptions, GenerateOptions, SearchOptions, SendOptions, as_messages
from loupe.app.api.older.results import older_row
from loupe.app.security.guard import OPERATOR
from loupe.app.services.options import Message
from loupe.app.workspace import Workspace
from loupe.engine.errors import BadOption
from tests.app.conftest import TEXT
from tests.app.sample import sample_run

QUICK = {"optimize_explanations_config": {"best_of_k": 1}}
TURN = [{"role": "user", "content": TEXT}]
STARTER: dict[str, Any] = {"model": "starter"}


async def ended(api: httpx.AsyncClient, workspace: Workspace, id: str) -> dict[str, Any]:
    """The status of a request once it has ended."""
    desk = api._transport.app.state.older  # type: ignore[attr-defined]  # httpx keeps the app there
    if talk := desk.talks.get(id):
        await desk.talks.wait(talk)
    else:
        await workspace.analyses.wait(id)
    return (await api.get(f"/status/{id}")).json()


async def test_an_analysis_is_queued_and_its_status_tells_the_result(
    far_api: httpx.AsyncClient, workspace: Workspace
) -> None:
    asked = await far_api.post("/analyze", json={"text": TEXT, "options": QUICK | {"seed": 3, "no_kl": False}})
    queued = asked.json()
    assert asked.status_code == 200 and queued["status"] == "queued"
    assert queued["queue_position"] == 1 and queued["queue_size"] == 1
    status = await ended(far_api, workspace, queued["request_id"])
    assert status["status"] == "completed" and status["processing_time"] >= 0
    assert status["created_at"] <= status["started_at"] <= status["completed_at"]
    row, metadata = status["result"]["data"][1], status["result"]["metadata"]
    assert {"position", "token", "explanation", "mse", "relative_rmse", "kl_divergence"} <= set(row)
    assert "logit_lens_top" not in row, "what was not asked for is absent"
    assert (metadata["model_id"], metadata["best_of_k"], metadata["seed"]) == ("starter", 1, 3)


async def test_a_request_is_read_again_after_a_restart(far_api: httpx.AsyncClient, workspace: Workspace) -> None:
    id = (await far_api.post("/analyze", json={"text": TEXT, "options": QUICK})).json()["request_id"]
    before = await ended(far_api, workspace, id)
    workspace.analyses._live.clear()
    assert (await far_api.get(f"/status/{id}")).json()["result"]["data"] == before["result"]["data"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/status/nobody", None, 404),
        ("POST", "/analyze", {}, 422),
        ("POST", "/analyze", {"text": ""}, 422),
        ("POST", "/analyze", {"text": TEXT, "options": {"batch_size": 0}}, 422),
        ("POST", "/analyze", {"text": "a" * 30_000}, 400),
        ("POST", "/analyze", {"text": TEXT, "model_id": "nobody"}, 404),
        ("POST", "/analyze", {"text": TEXT, "model_id": "/etc"}, 404),
        ("POST", "/api/slim/analyze", {"messages": TURN, "best_of_k": 33}, 422),
        ("POST", "/api/slim/send_message", {"messages": [{"role": "system", "content": "a"}] * 2 + TURN}, 400),
        ("POST", "/api/slim/generate", {"messages": TURN, "model_group": "nobody"}, 404),
        ("GET", "/api/slim/models/nobody/layers", None, 404),
        ("GET", "/api/v2/devices/9/memory", None, 404),
        ("POST", "/api/v2/models/switch", {"model_id": "nobody"}, 404),
        ("POST", "/api/v2/groups/load", {"group_id": "nobody"}, 404),
        ("PATCH", "/api/v2/models", None, 405),
    ],
)
async def test_each_mistake_has_its_status_and_both_error_shapes(
    far_api: httpx.AsyncClient, method: str, path: str, body: object, status: int
) -> None:
    answer = await far_api.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["detail"] == answer.json()["error"]["message"]


async def test_slim_answers_a_chat_and_continues_it(far_api: httpx.AsyncClient, workspace: Workspace) -> None:
    sent = await far_api.post("/api/slim/send_message", json={"messages": TURN, "max_tokens": 4})
    id = sent.json()["request_id"]
    await ended(far_api, workspace, id)
    said = (await far_api.get(f"/api/slim/status/{id}")).json()
    assert said["status"] == "completed" and isinstance(said["result"]["response"], str)
    asked = await far_api.post("/api/slim/generate", json={"messages": TURN, "n_tokens": 3, "n_continuations": 2})
    found = await ended(far_api, workspace, asked.json()["request_id"])
    assert len(found["result"]["completions"]) == 2 and found["result"]["metadata"]["num_tokens"] == 3


async def test_slim_analyses_the_last_messages_only(far_api: httpx.AsyncClient, workspace: Workspace) -> None:
    chat = [*TURN, {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Where?"}]
    body = {"messages": chat, "best_of_k": 1, "last_n_messages": 1}
    whole = await far_api.post("/api/slim/analyze", json=body | {"last_n_messages": None})
    last = await far_api.post("/api/slim/analyze", json=body)
    rows = [(await ended(far_api, workspace, a.json()["request_id"]))["result"]["data"] for a in (whole, last)]
    assert 0 < len(rows[1]) < len(rows[0])
    assert "kl_divergence" not in rows[0][0], "slim never measures KL"


async def test_slim_describes_models_layers_and_itself(far_api: httpx.AsyncClient) -> None:
    models = (await far_api.get("/api/slim/models")).json()
    assert models["current_model_id"] == "starter"
    assert models["groups"][0]["default_layer"] == 3 and models["groups"][0]["description"]
    layers = (await far_api.get("/api/slim/models/starter/layers")).json()
    assert layers == {"layers": [3], "is_loaded": False, "default_layer": 3}
    for path in ("/api/slim/", "/api/slim/debug"):
        assert "POST /api/slim/send_message" in (await far_api.get(path)).json()["endpoints"]


async def test_models_are_switched_loaded_described_and_let_go(
    far_api: httpx.AsyncClient, workspace: Workspace
) -> None:
    assert (await far_api.get("/api/v2/models")).json()["models"][0]["is_loaded"] is False
    switched = (await far_api.post("/api/v2/models/switch", json={"model_id": "starter", "device_id": 0})).json()
    assert (switched["status"], switched["model_id"]) == ("success", "starter")
    listed = (await far_api.get("/api/v2/models")).json()
    assert listed["models"][0]["is_loaded"] and listed["current_model"] == "starter"
    assert (await far_api.get("/api/v2/current")).json()["model_id"] == "starter"
    info = (await far_api.get("/api/v2/models/starter/info")).json()
    assert info["loaded"] and info["layer"] == 3 and info["locations"] == ["cpu"]
    state = (await far_api.get("/api/v2/system/state")).json()
    assert state["devices"][0]["loaded_models"] == ["starter"] and state["cpu_cached_groups"] == ["starter"]
    memory = (await far_api.get("/api/v2/devices/cpu/memory")).json()
    assert (
        memory["models_bytes"] > 0 and memory == {"device": "cpu"} | (await far_api.get("/api/v2/models/memory")).json()
    )
    cleared = (await far_api.delete("/api/v2/devices/cpu/clear")).json()
    assert (cleared["unloaded"], workspace.models.loaded) == (1, ())
    for path, body in (("models/load", {"model_id": "starter"}), ("groups/load", {"group_id": "starter"})):
        assert (await far_api.post(f"/api/v2/{path}", json=body)).json()["status"] == "loaded"
    assert (await far_api.post("/api/v2/groups/starter/preload")).json()["models"] == ["starter"]


async def test_letting_go_spares_what_somebody_uses(far_api: httpx.AsyncClient, workspace: Workspace) -> None:
    spec = workspace.models.spec(AnalyzeOptions().to_analysis(TEXT, STARTER), paths_allowed=False)
    async with workspace.models.use(spec):
        assert (await far_api.delete("/api/v2/devices/0/clear")).json()["in_use"] == 1
    assert len(workspace.models.loaded) == 1


async def test_json_is_given_where_browsers_get_pages_and_prometheus_gets_text(
    far_api: httpx.AsyncClient, workspace: Workspace
) -> None:
    id = (await far_api.post("/analyze", json={"text": TEXT, "options": QUICK})).json()["request_id"]
    await ended(far_api, workspace, id)
    accept = {"Accept": "application/json"}
    assert (await far_api.get("/", headers=accept)).json()["name"] == "Loupe"
    counted = (await far_api.get("/metrics", headers=accept)).json()
    assert (counted["total_requests"], counted["completed_requests"], counted["queue_size"]) == (1, 1, 0)
    assert counted["average_processing_time"] > 0
    health = (await far_api.get("/health")).json()
    assert (health["status"], health["model_loaded"], health["gpu_available"]) == ("healthy", True, False)
    assert health["queue_size"] == 0 and health["data"]["status"] == "ok" and "meta" in health
    gpu = (await far_api.get("/api/gpu_stats")).json()
    assert gpu == {"available": False, "devices": {}}


@pytest.fixture
async def people(workspace: Workspace) -> AsyncIterator[dict[str, httpx.AsyncClient]]:
    """Three callers of one server: two strangers and the operator."""
    app = build_api(workspace)

    def client(address: str, operator: bool) -> httpx.AsyncClient:
        async def asked(scope: Any, receive: Any, send: Any) -> None:
            await app(dict(scope) | {OPERATOR: operator}, receive, send)

        transport = httpx.ASGITransport(asked, client=(address, 1))
        return httpx.AsyncClient(transport=transport, base_url="http://loupe")

    clients = {"ann": client("10.0.0.1", False), "ben": client("10.0.0.2", False), "op": client("127.0.0.1", True)}
    yield clients
    for each in clients.values():
        await each.aclose()


async def test_reset_stops_the_callers_own_work_and_everyones_only_for_the_operator(
    people: dict[str, httpx.AsyncClient], workspace: Workspace
) -> None:
    long = {"text": "The fox ran home. " * 30, "options": QUICK}
    ids = {who: (await people[who].post("/analyze", json=long)).json()["request_id"] for who in ("ann", "ben")}
    assert (await people["ann"].post("/reset")).json()["cancelled"] == 1
    assert (await people["ben"].get(f"/status/{ids['ann']}")).json()["status"] == "cancelled"
    assert workspace.analyses.is_busy(ids["ben"])
    assert (await people["op"].post("/reset")).json()["cancelled"] == 1
    assert not workspace.analyses.is_busy(ids["ben"])


def test_older_options_become_todays() -> None:
    search = SearchOptions(best_of_k=4, temperature=0.7)
    asked = AnalyzeOptions(no_kl=True, logit_lens_analysis=True, optimize_explanations_config=search)
    made = asked.to_analysis(TEXT, STARTER)
    assert (made.best_of, made.temperature, made.seed) == (4, 0.7, 42)
    assert (made.kl, made.logit_lens_k, made.salience) == (False, 10, "word")
    quiet = AnalyzeOptions(no_eval=True).to_analysis(TEXT, STARTER)
    assert (quiet.kl, quiet.salience) == (False, "none")
    assert AnalyzeOptions(calculate_salience=False).to_analysis(TEXT, STARTER).salience == "none"


def test_options_that_never_did_anything_are_named() -> None:
    given = {"batch_size": 8, "do_hard_tokens": True, "use_tuned_lens": False, "no_kl": True}
    asked = AnalyzeOptions.model_validate(given | {"optimize_explanations_config": {"use_batched": False}})
    assert asked.ignored() == ["batch_size", "do_hard_tokens", "optimize_explanations_config.use_batched"]


def test_a_chat_may_come_as_json_and_its_last_assistant_turn_is_a_beginning() -> None:
    turns = as_messages('[{"role": "user", "content": "Hi"}]')
    assert turns == [Message(role="user", content="Hi")]
    assert as_messages("[not json") is None and as_messages('[{"role": "robot"}]') is None
    assert as_messages("[" * 100_000) is None
    begun = [Message(role="user", content="Hi"), Message(role="assistant", content="Well")]
    made = SendOptions().to_generation(begun, STARTER)
    assert made.prefill == "Well" and made.messages is not None and len(made.messages) == 1


def test_continuations_differ_by_seed_and_bad_ones_are_refused() -> None:
    made = GenerateOptions(num_completions=3, seed=7).to_generations(TEXT, STARTER)
    assert [each.seed for each in made] == [7, 8, 9]
    with pytest.raises(BadOption, match="system"):
        SendOptions().to_generation([Message(role="system", content="a")] * 2, STARTER)


def test_a_row_has_the_older_names_and_no_invented_numbers() -> None:
    row = older_row(sample_run()["data"][1])
    assert row["kl_divergence"] == 0.125 and "".join(row["explanation_structured"]) == row["explanation"]
    assert row["logit_lens_top"] == " lantern \\n"
    mse_nrm = sample_run()["data"][1]["mse_nrm"]
    assert row["token_salience"] == [0.02 / mse_nrm, 0.3 / mse_nrm]
    bare = older_row({"position": 0, "token": "a", "explanation": "b"})
    assert bare == {"position": 0, "token": "a", "explanation": "b", "explanation_structured": ["b"]}
