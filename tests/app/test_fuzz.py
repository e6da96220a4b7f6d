"""The whole API, fuzzed by its own schema against the real app in-process: no failure, no hang, one shape of errors.

`pytest tests/app/test_fuzz.py --hypothesis-profile=thorough` does two hundred times as much.
"""

import asyncio
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import schemathesis
import schemathesis.generation.dictionaries  # or it is imported in a test, where CPython 3.11 may refuse to parse it
from anyio.from_thread import start_blocking_portal
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis import GenerationMode

from loupe.app.api.application import build_api
from loupe.app.security.guard import API_PATHS, Guard
from loupe.app.security.keys import Sessions
from loupe.app.settings import Settings
from loupe.app.workspace import open_workspace
from tests.app.conftest import TEXT

# schemathesis draws broken values with `random`, which costs the reproduction of a failure, not the test.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the `random` module inside strategies")

EACH = max(4, hypothesis_settings.default.max_examples // 16)  # cases per operation
SLOWEST_S = 60  # on a busy machine; an answer that takes longer is a hang
ENDLESS = {"events_follow"}  # a stream that does not end; test_event_stream.py reads it
NAMES = ["../../etc/passwd", "..", ".", "%2e%2e%2f", "/etc/passwd", "C:\\x", "a\x00b", "\u202egpj", "<script>", "'; --"]

OPERATIONS = {
    found.definition.raw["operationId"]: found
    for found in (result.ok() for result in schemathesis.openapi.from_dict(build_api().openapi()).get_all_operations())
}

Ask = Callable[..., httpx.Response]


@cache
def cases(id: str) -> st.SearchStrategy[schemathesis.Case]:
    """Well-formed requests to an operation and, where its schema can be broken, broken ones."""
    operation = OPERATIONS[id]
    strategy = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
    if operation.body or len(operation.query):
        return strategy | operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
    return strategy


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, starter: Path) -> Settings:
    """Settings of a server that may not look outside, and takes no more work than a test has time for."""
    return Settings(
        home=tmp_path_factory.mktemp("fuzzed") / "home",
        starter_dir=starter,
        threads=1,
        offline=True,
        queue_limit=3,
        max_positions=8,
        max_new_tokens=4,
        rate_burst=1_000_000,
    )


@pytest.fixture(scope="module")
def ask(home: Settings) -> Iterator[Ask]:
    """Ask the real app, as a stranger does, and get its answer, or fail when it takes too long."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(open_workspace(home)) as workspace:
        guarded = Guard(build_api(workspace), home, Sessions("secret", None, 1))
        transport = httpx.ASGITransport(guarded, raise_app_exceptions=True)
        client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")

        async def send(method: str, url: str, **kwargs: Any) -> httpx.Response:
            async with asyncio.timeout(SLOWEST_S):
                return await client.request(method, url, **kwargs)

        yield lambda *a, **k: portal.call(lambda: send(*a, **k))
        portal.call(client.aclose)


@pytest.fixture(scope="module")
def known(ask: Ask) -> list[str]:
    """Ids that are there, so that more than 404 is tested."""
    made = ask("POST", "/api/v1/analyses", json={"text": TEXT, "positions": "0-1", "max_new_tokens": 2})
    run = made.json()["data"]["id"]
    reply = ask("POST", "/api/v1/generations", json={"text": TEXT, "max_new_tokens": 2}).json()["data"]["id"]
    return [run, reply, "starter", "starter/av"]


def check(answer: httpx.Response) -> None:
    """What every answer must be."""
    told = f"{answer.request.method} {answer.request.url}: {answer.status_code} {answer.text[:300]}"
    assert answer.headers["x-request-id"], told
    if answer.request.url.path.startswith(API_PATHS):
        assert answer.headers["x-ratelimit-limit"], told
    if answer.status_code < 400:
        return
    assert answer.status_code < 500 or answer.status_code == 503, told
    if answer.status_code == 503 and "/health" in answer.request.url.path:
        return
    error = answer.json()["error"]
    assert set(error) == {"code", "message", "details", "retryable", "timestamp"}, told
    assert error["code"] and error["message"], told
    if answer.status_code in (429, 503):
        assert int(answer.headers["retry-after"]) >= 1, told


@pytest.mark.parametrize("id", sorted(OPERATIONS.keys() - ENDLESS))
def test_nothing_the_schema_allows_or_forbids_makes_the_server_fail(ask: Ask, known: list[str], id: str) -> None:
    @hypothesis_settings(max_examples=EACH, database=None)
    @given(data=st.data())
    def fuzz(data: st.DataObject) -> None:
        case = data.draw(cases(id))
        if case.path_parameters and data.draw(st.booleans()):
            name = data.draw(st.sampled_from(known + NAMES))
            case.path_parameters = dict.fromkeys(case.path_parameters, name)
        sent = case.as_transport_kwargs(base_url="http://127.0.0.1")
        headers = {k: v for k, v in sent.pop("headers").items() if k.lower() in ("content-type", "accept")}
        if "data" in sent:
            sent["content"] = sent.pop("data")
        try:
            request = httpx.Request(sent["method"], sent["url"])
        except httpx.InvalidURL:
            return
        check(ask(sent.pop("method"), str(request.url), **prepared(sent), headers=headers))

    fuzz()


def prepared(sent: dict[str, Any]) -> dict[str, Any]:
    """What `requests` would be given, as httpx wants it."""
    kept = {k: v for k, v in sent.items() if k in ("params", "json", "content") and v not in (None, {})}
    if isinstance(kept.get("content"), str):
        kept["content"] = kept["content"].encode("utf-8", "surrogatepass")
    if not isinstance(kept.get("content", b""), bytes):
        kept["json"] = kept.pop("content")
    return kept


BODIES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@hypothesis_settings(max_examples=EACH * 10)
@given(
    method=st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "QUERY"]),
    path=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/?#"), max_size=8), max_size=4),
    body=st.binary(max_size=200) | BODIES,
)
def test_what_is_no_route_is_refused_in_the_same_shape(ask: Ask, method: str, path: list[str], body: object) -> None:
    url = "/api/v1/" + "/".join(quote(part, safe="") for part in path)
    sent = {"content": body} if isinstance(body, bytes) else {"content": repr(body).encode("utf-8", "replace")}
    answer = ask(method, url, **sent)
    if method != "HEAD":
        check(answer)
