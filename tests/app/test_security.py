"""The door: hosts, origins, keys, rates and bodies, tested against the bare ASGI layer."""

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from loupe.app.errors import PublicWithoutGuard, RateLimited
from loupe.app.security.guard import CONTENT_SECURITY_POLICY, Guard, path_of
from loupe.app.security.keys import COOKIE, Sessions, display_name, same
from loupe.app.security.rates import Buckets, Crowd
from loupe.app.security.signin import add_sign_in, local_path
from loupe.app.server import check_exposure
from loupe.app.settings import Settings


async def echo(request: Request) -> Response:
    body = await request.body()
    scope = request.scope
    return JSONResponse({"bytes": len(body), "operator": scope["loupe.operator"], "person": scope["loupe.person"]})


async def socket(websocket: WebSocket) -> None:
    await websocket.accept()
    await websocket.send_text("hello")
    await websocket.close()


def make(**settings: Any) -> tuple[Guard, Sessions]:
    made = Settings(**{"rate_burst": 1000} | settings)
    sessions = Sessions("server-secret", made.password, made.session_days)
    routes = [
        Route("/api/v1/echo", echo, methods=["GET", "POST"]),
        Route("/health/live", echo),
        Route("/page", echo),
        WebSocketRoute("/ws", socket),
    ]
    return Guard(Starlette(routes=routes), made, sessions, local_token="local-token"), sessions


def client(guard: Guard, host: str = "127.0.0.1:8000") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url=f"http://{host}")


async def test_every_answer_carries_a_request_id_and_security_headers() -> None:
    guard, _ = make()
    answer = await client(guard).get("/page", headers={"X-Request-ID": "my-id-7"})
    assert answer.headers["x-request-id"] == "my-id-7"
    assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    odd = await client(guard).get("/page", headers={"X-Request-ID": "bad id"})
    assert odd.headers["x-request-id"] not in ("", "bad id")


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", ""])
async def test_another_host_is_refused(host: str) -> None:
    guard, _ = make()
    answer = await client(guard).get("/api/v1/echo", headers={"Host": host})
    assert answer.status_code == 403 and answer.json()["error"]["code"] == "forbidden"


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "[::1]:8000", "lab.example"])
async def test_our_own_hosts_are_answered(host: str) -> None:
    guard, _ = make(allowed_hosts=("lab.example",))
    assert (await client(guard).get("/api/v1/echo", headers={"Host": host})).status_code == 200


async def test_a_page_of_another_origin_may_not_change_anything() -> None:
    guard, _ = make(allowed_origins=("https://friend.example",))
    here = client(guard)
    evil = await here.post("/api/v1/echo", headers={"Origin": "https://evil.example"})
    friend = await here.post("/api/v1/echo", headers={"Origin": "https://friend.example"})
    ours = await here.post("/api/v1/echo", headers={"Origin": "http://127.0.0.1:8000"})
    assert (evil.status_code, friend.status_code, ours.status_code) == (403, 200, 200)


def test_a_socket_from_another_origin_is_closed() -> None:
    guard, _ = make()
    here = TestClient(guard, base_url="http://127.0.0.1:8000")
    with here.websocket_connect("/ws", headers={"Origin": "http://127.0.0.1:8000", "Host": "127.0.0.1:8000"}) as ws:
        assert ws.receive_text() == "hello"
    with (
        pytest.raises(WebSocketDisconnect) as closed,
        here.websocket_connect("/ws", headers={"Origin": "https://evil.example", "Host": "127.0.0.1:8000"}),
    ):
        pass
    assert closed.value.code == 1008


async def test_without_a_key_a_guarded_server_answers_only_health() -> None:
    guard, _ = make(api_key="right")
    here = client(guard)
    assert (await here.get("/api/v1/echo")).status_code == 401
    assert (await here.get("/health/live")).status_code == 200
    assert (await here.get("/api/v1/echo", headers={"X-API-Key": "wrong"})).status_code == 401
    assert (await here.get("/api/v1/echo", headers={"X-API-Key": "right"})).status_code == 200
    assert (await here.get("/api/v1/echo", headers={"Authorization": "Bearer right"})).status_code == 200


def test_a_socket_without_a_session_is_closed_when_a_password_is_set() -> None:
    guard, sessions = make(password="open sesame")
    here = TestClient(guard, base_url="http://127.0.0.1:8000")
    with pytest.raises(WebSocketDisconnect), here.websocket_connect("/ws", headers={"Host": "127.0.0.1:8000"}):
        pass
    headers = {"Host": "127.0.0.1:8000", "Cookie": f"{COOKIE}={sessions.issue('Ada')}"}
    with here.websocket_connect("/ws", headers=headers) as ws:
        assert ws.receive_text() == "hello"


async def test_the_command_line_of_this_machine_is_known_by_its_token() -> None:
    guard, _ = make(api_key="right", rate_burst=1)
    here = client(guard)
    for _ in range(5):
        answer = await here.get("/api/v1/echo", headers={"Authorization": "Bearer local-token"})
        assert answer.json()["operator"] is True


async def test_a_page_without_a_session_leads_to_the_sign_in_page() -> None:
    guard, _ = make(password="open sesame")
    answer = await client(guard).get("/page?run=3")
    assert answer.status_code == 303 and answer.headers["location"] == "/sign-in?next=/page%3Frun%3D3"


BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.mark.parametrize("path", ["/page?of=run", "/api/v1/echo?as=csv", "/api/docs", "/api/v1/docs", "/nowhere"])
async def test_whoever_follows_a_link_signs_in_and_comes_back(path: str) -> None:
    guard, sessions = make(password="hunter2")
    answer = await client(guard).get(path, headers=BROWSER)
    assert answer.status_code == 303 and answer.headers["location"] == f"/sign-in?next={quote(path)}"
    let_in = await client(guard).get(path, headers=BROWSER | {"Cookie": f"{COOKIE}={sessions.issue('Ada')}"})
    assert let_in.status_code in (200, 404)


@pytest.mark.parametrize("accept", ["*/*", "application/json", ""])
async def test_a_program_is_told_that_it_must_sign_in_instead_of_being_led_to_a_page(accept: str) -> None:
    guard, _ = make(password="hunter2")
    answer = await client(guard).get("/api/v1/echo", headers={"Accept": accept})
    assert answer.status_code == 401 and answer.json()["error"]["code"] == "sign_in_needed"
    changed = await client(guard).post("/api/v1/echo", headers=BROWSER)
    assert changed.status_code == 401, "only what is read can be come back to"


async def test_without_a_password_nobody_is_led_to_a_form_that_lets_nobody_in() -> None:
    guard, _ = make(api_key="right")
    assert (await client(guard).get("/page", headers=BROWSER)).status_code == 401


async def test_below_a_prefix_everything_is_as_it_is_without_one() -> None:
    guard, sessions = make(password="hunter2", rate_burst=2)
    transport = httpx.ASGITransport(guard, root_path="/lab/loupe")
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000/lab/loupe") as http:
        assert (await http.get("/health/live")).status_code == 200
        page = await http.get("/page", headers=BROWSER)
        assert page.headers["location"] == "/lab/loupe/sign-in?next=/page"
        assert (await http.get("/api/v1/echo")).status_code == 401
        session = {"Cookie": f"{COOKIE}={sessions.issue('Ada')}"}
        answers = [await http.get("/api/v1/echo", headers=session) for _ in range(3)]
        assert [each.status_code for each in answers][-1] == 429, "the API has a rate there too"
    assert path_of({"path": "/lab/loupes", "root_path": "/lab/loupe"}) == "/lab/loupes"
    assert path_of({"path": "/lab/loupe", "root_path": "/lab/loupe"}) == "/"


async def test_a_client_that_asks_too_often_is_told_when_to_come_back() -> None:
    guard, _ = make(rate_burst=2, rate_per_minute=60)
    here = client(guard)
    answers = [await here.get("/api/v1/echo") for _ in range(3)]
    assert [a.status_code for a in answers] == [200, 200, 429]
    assert answers[0].headers["x-ratelimit-limit"] == "60" and answers[0].headers["x-ratelimit-remaining"] == "1"
    assert answers[2].headers["retry-after"] == "1" and answers[2].json()["error"]["retryable"] is True


async def test_a_body_is_counted_as_it_arrives_whatever_it_claims() -> None:
    guard, _ = make(max_body_mb=0.001)
    here = client(guard)

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 500

    assert (await here.post("/api/v1/echo", content=b"x" * 900)).status_code == 200
    assert (await here.post("/api/v1/echo", content=b"x" * 2000)).status_code == 413
    assert (await here.post("/api/v1/echo", content=chunks())).status_code == 413


async def test_a_file_of_runs_may_be_larger_than_other_bodies_up_to_a_limit_of_its_own() -> None:
    guard, _ = make(max_body_mb=0.001, max_import_mb=0.002)
    here = client(guard)

    assert (await here.post("/api/v1/runs/import", content=b"x" * 2000)).status_code != 413
    assert (await here.post("/api/v1/runs/import", content=b"x" * 2500)).status_code == 413
    assert (await here.post("/api/v1/runs/1/export", content=b"x" * 2000)).status_code == 413
    assert (await here.post("/_nicegui/client/1/upload/2", content=b"x" * 2500)).status_code == 413


def test_a_public_address_without_a_guard_is_refused() -> None:
    with pytest.raises(PublicWithoutGuard, match="LOUPE_PASSWORD"):
        check_exposure(Settings(host="0.0.0.0"))
    check_exposure(Settings(host="0.0.0.0", api_key="k"))  # type: ignore[arg-type]  # pydantic converts
    check_exposure(Settings(host="127.0.0.1"))


def test_an_unset_secret_matches_nothing() -> None:
    settings = Settings(api_key="")  # type: ignore[arg-type]  # pydantic converts
    assert not same("", None) and not same("", settings.api_key)


def test_a_session_ends_with_the_password_it_was_given_for() -> None:
    settings = Settings(password="one")  # type: ignore[arg-type]  # pydantic converts
    cookie = Sessions("s", settings.password, 30).issue("Ada; Löwe.")
    assert Sessions("s", settings.password, 30).person(cookie) == "Ada; Löwe."
    other = Settings(password="two").password  # type: ignore[arg-type]  # pydantic converts
    assert Sessions("s", other, 30).person(cookie) is None
    assert Sessions("t", settings.password, 30).person(cookie) is None
    assert Sessions("s", settings.password, 30).person(cookie[:-1]) is None


def test_buckets_refill_with_time_and_forget_old_clients() -> None:
    now = [0.0]
    buckets = Buckets(per_minute=60, burst=1, clock=lambda: now[0], clients=2)
    assert buckets.take("a").allowed and not buckets.take("a").allowed
    now[0] = 1.0
    assert buckets.take("a").allowed
    for client_id in "bcd":
        buckets.take(client_id)
    assert len(buckets._state) == 2


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:x", ""])
def test_signing_in_never_leads_elsewhere(target: str) -> None:
    assert local_path(target) == "/"


async def test_signing_in_takes_the_password_and_gives_a_session(monkeypatch: pytest.MonkeyPatch) -> None:
    from fastapi import FastAPI

    monkeypatch.setattr("loupe.app.security.signin.FAILURE_PAUSE_S", 0)
    settings = Settings(password="open sesame")  # type: ignore[arg-type]  # pydantic converts
    sessions = Sessions("server-secret", settings.password, 30)
    app = FastAPI()
    add_sign_in(app, settings, sessions)
    here = client(Guard(app, settings, sessions))
    form = await here.get("/sign-in?next=%22%3E%3Cscript%3E")
    assert form.status_code == 200 and "<script>" not in form.text
    wrong = await here.post("/sign-in", data={"name": '"><b>', "password": "no", "next": "/page"})
    assert wrong.status_code == 401 and COOKIE not in wrong.cookies and "<b>" not in wrong.text
    nameless = await here.post("/sign-in", data={"name": " \u200b ", "password": "open sesame"})
    assert nameless.status_code == 422 and COOKIE not in nameless.cookies
    asked = {"name": "  Ada  Lovelace ", "password": "open sesame", "next": "/page"}
    right = await here.post("/sign-in", data=asked)
    assert right.status_code == 303 and right.headers["location"] == "/page"
    assert (
        sessions.person(right.cookies[COOKIE]) == "Ada Lovelace" and "httponly" in right.headers["set-cookie"].lower()
    )


async def test_a_request_carries_the_name_of_its_session_or_key() -> None:
    guard, sessions = make(password="open sesame", api_keys={"night build": "key-of-the-build"})
    here = client(guard)
    by_key = await here.get("/api/v1/echo", headers={"X-API-Key": "key-of-the-build"})
    by_cookie = await here.get("/api/v1/echo", headers={"Cookie": f"{COOKIE}={sessions.issue('Ada')}"})
    operator = await here.get("/api/v1/echo", headers={"Authorization": "Bearer local-token"})
    assert [answer.json()["person"] for answer in (by_key, by_cookie, operator)] == ["night build", "Ada", "operator"]
    assert (await here.get("/api/v1/echo", headers={"X-API-Key": "key-of-the"})).status_code == 401


async def test_where_nobody_signs_in_everybody_is_the_same_person() -> None:
    guard, _ = make()
    for headers in ({}, {"Authorization": "Bearer local-token"}, {"X-API-Key": "any"}):
        assert (await client(guard).get("/api/v1/echo", headers=headers)).json()["person"] == ""


def test_one_client_has_so_many_requests_open_and_another_is_not_held_up() -> None:
    crowd = Crowd(2)
    with crowd.one("a"), crowd.one("a"), crowd.one("b"), pytest.raises(RateLimited), crowd.one("a"):
        pass
    with crowd.one("a"):
        assert sum(crowd._open.values()) == 1
    assert not crowd._open


@pytest.mark.parametrize(
    ("given", "shown"),
    [("Ada", "Ada"), ("  a \t b\n", "a b"), ("\u202eevil\u200b", "evil"), ("x" * 99, "x" * 40), ("\x00", "")],
)
def test_a_display_name_is_one_line_that_can_be_read(given: str, shown: str) -> None:
    assert display_name(given) == shown
