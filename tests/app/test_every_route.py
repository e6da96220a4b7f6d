"""What holds for every route, whoever wrote it: walked over the app's own schema, so that no new one is forgotten."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from loupe.app.api.application import PREFIX, build_api
from loupe.app.api.openapi import EXAMPLES, HEADERS
from loupe.app.security.guard import API_PATHS, Guard
from loupe.app.security.keys import Sessions
from loupe.app.settings import Settings

SCHEMA = build_api().openapi()
OPERATIONS = {
    about["operationId"]: (method.upper(), path, about)
    for path, methods in SCHEMA["paths"].items()
    for method, about in methods.items()
}
V1 = {id: each for id, each in OPERATIONS.items() if each[1].startswith(PREFIX)}
# Where the answer is not one thing in an envelope but a file or a stream.
UNWRAPPED = re.compile(r"/events$|/result$|/export|/diagnostics$|\.(json|html|csv)$")
# Lists that only grow at their end, or have a bound of their own: read with `after` or `last` instead of pages.
UNPAGED = {"jobs_logs", "system_history", "datasets_tokenisations", "trainings_checkpoints", "datasets_preview_tokens"}
ERROR = {"$ref": "#/components/schemas/ErrorReply"}


def resolved(schema: dict[str, Any]) -> dict[str, Any]:
    """What a reference points at."""
    while "$ref" in schema:
        schema = SCHEMA["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def success(about: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Status and content of the good answer."""
    return next((status, r.get("content", {})) for status, r in about["responses"].items() if status[0] == "2")


def names(about: dict[str, Any]) -> set[str]:
    """Names of an operation's query parameters."""
    return {p["name"] for p in about.get("parameters", []) if p["in"] == "query"}


def test_there_is_much_to_walk_over() -> None:
    assert len(V1) > 20 and len(OPERATIONS) > 45


@pytest.mark.parametrize("id", sorted(OPERATIONS))
def test_an_operation_has_a_short_name_a_description_and_a_room(id: str) -> None:
    _, path, about = OPERATIONS[id]
    assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)+", id), id
    assert about["description"] and about["tags"], path
    for parameter in about.get("parameters", []):
        assert parameter["in"] == "path" or "description" in parameter or "description" in parameter["schema"], (
            parameter
        )


@pytest.mark.parametrize("id", sorted(OPERATIONS))
def test_every_error_it_may_end_in_is_described_with_shape_example_and_headers(id: str) -> None:
    about = OPERATIONS[id][2]
    assert {str(status) for status in EXAMPLES} <= set(about["responses"])
    for status in map(str, EXAMPLES):
        response = about["responses"][status]
        content = response["content"]["application/json"]
        assert content["schema"] == ERROR and content["example"]["error"]["code"] and response["description"]
    for response in about["responses"].values():
        assert set(HEADERS) <= set(response["headers"])


@pytest.mark.parametrize("id", sorted(V1))
def test_a_good_answer_is_data_and_meta(id: str) -> None:
    _, path, about = V1[id]
    _, content = success(about)
    if UNWRAPPED.search(path) or "text/event-stream" in content:
        return
    body = resolved(content["application/json"]["schema"])
    assert {"data", "meta"} <= set(body["properties"]), f"{path} answers {body.get('title')}"


@pytest.mark.parametrize("id", [i for i, (how, _, _) in sorted(V1.items()) if how == "GET" and i not in UNPAGED])
def test_a_list_is_paged_and_takes_the_five_parameters(id: str) -> None:
    _, path, about = V1[id]
    content = success(about)[1].get("application/json", {}).get("schema", {})
    properties = resolved(content).get("properties", {})
    if resolved(properties.get("data", {})).get("type") != "array":
        return
    assert "pagination" in properties, f"{path} is a list without pagination"
    assert {"page", "limit", "search", "sortBy", "order"} <= names(about), path


@pytest.mark.parametrize("id", [i for i, (_, _, about) in sorted(V1.items()) if "202" in about["responses"]])
def test_accepted_work_says_under_which_id_and_for_about_how_long(id: str) -> None:
    _, content = success(V1[id][2])
    data = resolved(resolved(content["application/json"]["schema"])["properties"]["data"])
    if data.get("additionalProperties") is True:
        return  # its fields are not fixed; what they are is tested where the work is
    assert "id" in data["properties"], id


@pytest.mark.parametrize("id", [i for i, (_, _, about) in sorted(OPERATIONS.items()) if "requestBody" in about])
def test_a_body_of_json_comes_with_examples_that_fit_its_schema(id: str) -> None:
    content = OPERATIONS[id][2]["requestBody"]["content"]
    if "application/json" not in content:
        return
    body = content["application/json"]
    shown = [each["value"] for each in body.get("examples", {}).values()] or [body.get("example")]
    examples = resolved(body["schema"]).get("examples") or shown
    assert examples != [None], f"{id} has no example"
    for example in examples:
        jsonschema_rs.validate({**body["schema"], "components": SCHEMA["components"]}, example)


def addresses() -> Iterator[tuple[str, str]]:
    """Method and filled-in path of every operation."""
    for method, path, _ in OPERATIONS.values():
        yield method, re.sub(r"\{[^}]+\}", "nobody", path)


async def test_nobody_gets_in_without_a_key_and_health_is_for_everyone() -> None:
    settings = Settings(api_key="right", rate_burst=10_000)  # type: ignore[arg-type]  # pydantic converts
    guarded = Guard(build_api(), settings, Sessions("secret", None, 1))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://127.0.0.1") as client:
        for method, path in addresses():
            answer = await client.request(method, path, json={}, headers={"Accept": "application/json"})
            told = f"{method} {path}: {answer.status_code}"
            if "/health" in path:
                assert answer.status_code in (200, 503), told
                continue
            assert answer.status_code == 401, told
            assert answer.json()["error"]["code"] == "sign_in_needed", told
            assert path == "/" or {h.lower() for h in HEADERS} <= set(answer.headers), told


async def test_every_answer_carries_the_headers_also_where_nothing_is() -> None:
    guarded = Guard(build_api(), Settings(rate_burst=10_000), Sessions("secret", None, 1))
    transport = httpx.ASGITransport(guarded, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        more = [("GET", f"{PREFIX}/nothing"), ("PUT", f"{PREFIX}/runs"), ("GET", "/api"), ("GET", f"{PREFIX}/docs")]
        for method, path in [*addresses(), *more]:
            answer = await client.request(method, path)
            assert answer.headers["x-request-id"], path
            if path != "/":
                assert {h.lower() for h in HEADERS} <= set(answer.headers), path


def test_the_guard_knows_every_address_of_programs() -> None:
    for _, path in addresses():
        assert path == "/" or path.startswith(API_PATHS), path
