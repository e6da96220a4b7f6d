"""The older WebSocket: each message has its answer, and a socket that drops takes its work with it."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager as Block
from typing import Any

import pytest

from loupe.app.api.application import build_api
from loupe.app.security.guard import Guard
from loupe.app.security.keys import Sessions
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace
from tests.app.conftest import TEXT
from tests.app.sockets import Refused, Socket, connected

QUICK = {"optimize_explanations_config": {"best_of_k": 1}, "no_kl": True, "calculate_salience": False}
LONG = "The fox ran home. " * 30
ANALYZE = {"type": "analyze", "text": TEXT, "options": QUICK, "client_request_id": "c1"}

Open = Callable[[], Block[Socket]]


@pytest.fixture
async def line(workspace: Workspace) -> AsyncIterator[Open]:
    """Open sockets to one server."""
    app = build_api(workspace)
    yield lambda: connected(app, "/ws")


async def asked(socket: Socket, message: dict[str, Any], *types: str) -> dict[str, Any]:
    """Send, and wait for one of these answers."""
    await socket.send(message)
    return await socket.until(*types)


async def test_a_socket_is_greeted_with_the_model_the_groups_and_the_queue(line: Open) -> None:
    async with line() as socket:
        hello, groups, queue, state = [await socket.next() for _ in range(4)]
    assert hello["type"] == "connection_established" and hello["model_id"] == "starter"
    assert hello["model_name"] == groups["groups"][0]["models"][0]["name"]
    assert groups["type"] == "model_groups_list" and groups["current_model"] == "starter"
    model = groups["groups"][0]["models"][0]
    assert {"id", "name", "description", "layer", "is_loaded", "is_current", "checkpoint_filename"} <= set(model)
    assert queue == {
        "type": "queue_update",
        "queue_size": 0,
        "queued_requests": 0,
        "processing_requests": 0,
        "total_active": 0,
        "queued_ids": [],
    }
    assert state["type"] == "system_state" and state["data"]["devices"][0]["loaded_models"] == []


async def test_analyze_is_queued_processed_told_of_and_completed(line: Open) -> None:
    async with line() as socket:
        queued = await asked(socket, ANALYZE, "queued")
        assert queued["queue_position"] == 1 and queued["client_request_id"] == "c1"
        seen = []
        while (message := await socket.next())["type"] != "completed":
            seen.append(message)
    mine = [m for m in seen if m.get("request_id") == queued["request_id"]]
    assert mine[0]["type"] == "processing" and mine[0]["context"] == "analysis" and mine[0]["device"]
    assert {m["type"] for m in mine[1:]} <= {"progress"}
    assert all(m["current"] <= m["total"] and 0 <= m["progress"] <= 100 for m in mine[1:])
    assert message["client_request_id"] == "c1" and message["request_id"] == queued["request_id"]
    assert [row["position"] for row in message["result"]["data"]] == list(range(len(message["result"]["data"])))
    assert message["result"]["metadata"]["model_id"] == "starter"
    assert any(m["type"] == "queue_update" and m["total_active"] == 1 for m in seen)


async def test_a_chat_may_be_sent_as_a_list_or_as_json(line: Open) -> None:
    async with line() as socket:
        for text in ([{"role": "user", "content": "Hi"}], '[{"role": "user", "content": "Hi"}]'):
            done = await asked(socket, ANALYZE | {"text": text}, "completed", "error")
            assert done["type"] == "completed" and len(done["result"]["data"]) > 1


async def test_generate_gives_continuations(line: Open) -> None:
    options = {"num_tokens": 3, "num_completions": 2}
    async with line() as socket:
        await socket.send({"type": "generate", "text": TEXT, "options": options})
        queued, done = await socket.until("queued"), await socket.until("generation_complete", "generation_error")
    assert queued["context"] == "generation" and done["request_id"] == queued["request_id"]
    assert len(done["result"]["completions"]) == 2 and done["result"]["metadata"]["num_tokens"] == 3


async def test_send_message_gives_one_answer_or_says_why_not(line: Open) -> None:
    turns = [{"role": "user", "content": "Tell me about the fox."}]
    asked_for = {"type": "send_message", "messages": turns, "options": {"max_tokens": 3}, "client_request_id": "c3"}
    async with line() as socket:
        queued = await asked(socket, asked_for, "queued", "send_message_error")
        done = await socket.until("send_message_complete", "send_message_error")
        systems = [{"role": "system", "content": "Be brief."}] * 2
        refused = await asked(socket, asked_for | {"messages": systems + turns}, "send_message_error", "queued")
    assert done["type"] == "send_message_complete" and done["request_id"] == queued["request_id"]
    assert isinstance(done["result"]["response"], str) and done["result"]["metadata"]["num_tokens"] == 3
    assert refused["type"] == "send_message_error" and "at most one system message" in refused["error"]
    assert refused["client_request_id"] == "c3"


async def test_generate_and_analyze_promises_both_and_keeps_the_promise(line: Open, workspace: Workspace) -> None:
    message = {
        "type": "generate_and_analyze",
        "generation": {"text": TEXT, "options": {"num_tokens": 3}},
        "analysis": {"options": QUICK},
        "client_request_id": "c2",
    }
    async with line() as socket:
        first, second = await asked(socket, message, "queued"), await socket.until("queued")
        assert first["request_id"] == second["request_id"] + "_gen"
        written = await socket.until("generation_complete", "generation_error")
        done = await socket.until("completed", "error")
        update = await asked(socket, {"type": "status", "request_id": second["request_id"]}, "status_update")
    assert written["request_id"] == first["request_id"] and len(written["result"]["completions"]) == 1
    assert done["type"] == "completed" and done["request_id"] == second["request_id"]
    assert update["status"] == "completed"
    shown = "".join(row["token"] for row in done["result"]["data"])
    assert shown.startswith("The") and len(done["result"]["data"]) > 5, "the continuation was analysed too"


async def test_models_are_listed_switched_loaded_described_and_let_go(line: Open) -> None:
    async with line() as one, line() as two:
        await two.until("system_state")
        assert (await asked(one, {"type": "list_model_groups"}, "model_groups_list"))["groups"]
        done = await asked(one, {"type": "switch_model_grouped", "model_id": "starter"}, "model_switch_complete")
        assert (done["model_id"], done["group_id"]) == ("starter", "starter")
        told = [await two.next() for _ in range(2)]
        assert [t["status"] for t in told if t["type"] == "group_switch_status"] == ["starting", "completed"]
        state = await two.until("system_state")
        assert state["data"]["devices"][0]["loaded_models"] == ["starter"]
        info = await asked(one, {"type": "get_model_info", "model_id": "starter"}, "model_info")
        assert info["loaded"] and info["layer"] == 3 and info["checkpoint"] == "starter/av"
        assert (await asked(one, {"type": "clear_device", "device_id": 0}, "device_cleared"))["unloaded"] == 1
        assert (await asked(one, {"type": "load_model", "id": "starter"}, "model_loaded"))["model_id"] == "starter"
        assert (await asked(one, {"type": "unload_group"}, "device_cleared"))["unloaded"] == 1
        for kind in ("load_group", "preload_group"):
            assert (await asked(one, {"type": kind, "group_id": "starter"}, "group_loaded"))["models"] == ["starter"]


async def test_a_request_is_cancelled_or_interrupted_with_one_answer(line: Open, workspace: Workspace) -> None:
    async with line() as socket:
        for kind, answer in (("cancel_request", "request_cancelled"), ("interrupt", "interrupted")):
            id = (await asked(socket, ANALYZE | {"text": LONG}, "queued"))["request_id"]
            stop = {"type": kind, "request_id": id, "context": "analysis"}
            assert (await asked(socket, stop, "request_cancelled", "interrupted"))["type"] == answer
            assert not workspace.analyses.is_busy(id)
            assert (await asked(socket, stop, "error"))["code"] == "not_found"
        await socket.send({"type": "list_model_groups"})
        left = []
        while (message := await socket.next())["type"] != "model_groups_list":
            left.append(message["type"])
    assert not {"request_cancelled", "interrupted", "completed"} & set(left)


async def test_a_dropped_socket_takes_its_requests_along_but_not_detached_ones(
    line: Open, workspace: Workspace
) -> None:
    async with line() as socket:
        lost = (await asked(socket, ANALYZE | {"text": LONG}, "queued"))["request_id"]
        kept = (await asked(socket, ANALYZE | {"detach": True}, "queued"))["request_id"]
    assert (await workspace.analyses.wait(lost)).state == "cancelled"
    assert (await workspace.analyses.wait(kept)).state == "done"


async def test_a_chain_ends_with_its_socket_and_a_detached_one_is_analysed(line: Open, workspace: Workspace) -> None:
    chain = {
        "type": "generate_and_analyze",
        "generation": {"text": TEXT, "options": {"num_tokens": 3}},
        "analysis": {"options": QUICK},
    }
    long = {"text": TEXT, "options": {"num_tokens": 100}}
    async with line() as socket:
        await asked(socket, chain | {"generation": long}, "queued")
    assert [live.state for live in workspace.generations.live] == ["cancelled"] and not workspace.analyses.live
    async with line() as socket:
        await asked(socket, chain | {"detach": True}, "queued")
        promised = (await socket.until("queued"))["request_id"]
    async with line() as socket:
        status = {"status": ""}
        while status["status"] != "completed":
            status = await asked(socket, {"type": "status", "request_id": promised}, "status_update")
            assert status["status"] in ("queued", "waiting_for_group_switch", "processing", "completed")


async def test_a_promised_analysis_can_be_given_up_before_it_begins(line: Open, workspace: Workspace) -> None:
    generation = {"text": TEXT, "options": {"num_tokens": 100}}
    async with line() as socket:
        await asked(socket, {"type": "generate_and_analyze", "generation": generation}, "queued")
        promised = (await socket.until("queued"))["request_id"]
        stop = {"type": "cancel_request", "request_id": promised}
        told = await asked(socket, stop, "request_cancelled")
        while told["request_id"] != promised:  # the generation it waits for may be told first
            told = await socket.until("request_cancelled")
        status = {"status": "queued"}
        while status["status"] == "queued":
            status = await asked(socket, {"type": "status", "request_id": promised}, "status_update")
    assert status["status"] == "cancelled" and not workspace.analyses.live


@pytest.mark.parametrize(
    ("message", "kind", "code"),
    [
        ("{not json", "error", "bad_input"),
        ("[1]", "error", "bad_input"),
        ({"type": 7}, "error", "bad_input"),
        ({"type": "dance"}, "error", "bad_input"),
        ({"type": "analyze"}, "error", "bad_input"),
        (ANALYZE | {"text": ""}, "error", "empty_text"),
        (ANALYZE | {"text": "a" * 30_000}, "error", "text_too_long"),
        (ANALYZE | {"options": {"temperature": 9}}, "error", "bad_input"),
        (ANALYZE | {"model_id": "../../etc"}, "error", "not_found"),
        ({"type": "generate", "text": TEXT, "options": {"num_tokens": 0}}, "generation_error", "bad_input"),
        ({"type": "switch_model", "model_id": "nobody"}, "model_switch_error", "not_found"),
        ({"type": "load_model"}, "model_load_error", "bad_input"),
        ({"type": "status", "request_id": "nobody"}, "error", "not_found"),
        ({"type": "cancel_request"}, "error", "bad_input"),
    ],
)
async def test_what_is_wrong_is_told_and_the_socket_stays_open(line: Open, message: Any, kind: str, code: str) -> None:
    async with line() as socket:
        told = await asked(socket, message, "error", "generation_error", "model_switch_error", "model_load_error")
        assert (told["type"], told["code"]) == (kind, code) and told["error"]
        assert (await asked(socket, {"type": "list_model_groups"}, "model_groups_list"))["groups"]


async def test_a_failure_of_the_work_is_told_with_the_request_it_belongs_to(line: Open) -> None:
    options = QUICK | {"last_n_messages": 1}
    async with line() as socket:
        message = ANALYZE | {"text": [{"role": "assistant", "content": "a"}, {"role": "user", "content": "\ud7ff"}]}
        id = (await asked(socket, message | {"options": options}, "queued"))["request_id"]
        ended = await socket.until("completed", "error")
        assert ended["request_id"] == id


async def test_messages_count_against_the_clients_rate_and_the_key_is_asked_for(
    workspace: Workspace, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(api_key="right", rate_burst=3, rate_per_minute=1)
    guarded = Guard(build_api(workspace), settings, Sessions("secret", None, 1))
    with pytest.raises(Refused, match="1008 sign_in_needed"):
        async with connected(guarded, "/ws"):
            pass
    async with connected(guarded, "/ws", Authorization="Bearer right") as socket:
        for _ in range(2):
            assert (await asked(socket, {"type": "get_model_info", "model_id": "starter"}, "model_info"))["model_id"]
        told = await asked(socket, {"type": "list_model_groups", "client_request_id": "c9"}, "error")
    assert (told["code"], told["retryable"], told["client_request_id"]) == ("rate_limited", True, "c9")
    assert told["retry_after"] > 0
