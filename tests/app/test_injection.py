"""What people send comes back as it was sent, as data and never as markup, a formula or a path."""

from urllib.parse import quote

import httpx

from loupe.app.api import events as events_api
from loupe.app.api.application import build_api
from loupe.app.security.guard import Guard
from loupe.app.security.keys import Sessions
from loupe.app.settings import Settings
from loupe.app.workspace import Workspace
from loupe.storage.repos.runs import NewRun
from tests.app.sockets import connected

CORPUS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><svg/onload=alert(1)>",
    "{{7*7}} ${7*7} #{7*7}",
    '=HYPERLINK("http://evil.example","x")',
    "+cmd|' /C calc'!A0",
    "\u202egpj.exe\u202c \u2066x\u2069",
    "zero\u200bwidth\ufeff",
    "line\u2028separator",
    "'; DROP TABLE run; --",
    "%s%n %(x)s {0}",
    "emoji \U0001f9ea and \u0000 is refused".replace("\u0000", ""),
    "javascript:alert(1)",
    "\x1b[31mred\x1b[0m",
]
TRICKS = [
    *("..", "../..", "../../../etc/passwd", "/etc/passwd", "....//....//etc/passwd", "%2e%2e%2f%2e%2e%2fetc%2fpasswd"),
    *("C:\\Windows\\win.ini", "file:///etc/passwd", "~root", "a\x00b", "con", ".partial", "loupe.db", "*", "a" * 5000),
]


async def test_a_string_comes_back_equal_in_json_wherever_it_was_put(
    api: httpx.AsyncClient, workspace: Workspace
) -> None:
    for text in CORPUS:
        await put_and_read(api, workspace, text)


async def put_and_read(api: httpx.AsyncClient, workspace: Workspace, text: str) -> None:
    record = await workspace.runs.create(NewRun(name=text[:200], text=text, request={"text": text}, author=text))
    read = await api.get(f"/api/v1/runs/{record.id}")
    assert read.headers["content-type"] == "application/json"
    assert [read.json()["data"][name] for name in ("name", "text", "author")] == [text, text, text]
    renamed = await api.patch(f"/api/v1/runs/{record.id}", json={"name": f"again {text}"})
    name = " ".join(f"again {text}".split())  # a name is one line
    assert renamed.status_code == 200 and renamed.json()["data"]["name"] == name
    listed = (await api.get("/api/v1/runs", params={"search": "again"})).json()["data"]
    assert name in [row["name"] for row in listed]
    assert (await api.get("/api/v1/runs", params={"search": text})).status_code == 200
    for path in ("/api/v1/models", "/api/v1/jobs", "/api/v1/nla-pairs", "/api/v1/model-groups"):
        found = await api.get(path, params={"search": text, "sortBy": text[:40]})
        assert found.status_code == 400 and found.headers["content-type"] == "application/json"


async def test_a_string_in_an_event_is_one_line_of_data(workspace: Workspace) -> None:
    start = workspace.events.last_number
    for text in CORPUS:
        lines = events_api._line(workspace.events.emit("job", "done", {"name": text})).decode().split("\n")
        assert [line.partition(":")[0] for line in lines] == ["id", "event", "data", "", ""]
    async with connected(build_api(workspace), f"/api/v1/events?after={start}") as socket:
        await socket.until("hello")
        assert [(await socket.next())["data"]["name"] for _ in CORPUS] == CORPUS


def every_place_of_an_id() -> list[tuple[str, str]]:
    paths = build_api().openapi()["paths"]
    return [(m.upper(), path) for path, methods in paths.items() if "{" in path for m in methods]


async def test_a_path_in_place_of_an_id_is_refused_everywhere(workspace: Workspace) -> None:
    guarded = Guard(build_api(workspace), Settings(rate_burst=10**6), Sessions("secret", None, 1))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://127.0.0.1") as client:
        for method, path in every_place_of_an_id():
            head, _, rest = path.partition("{")
            for trick in TRICKS:
                written = quote(trick, safe="%").replace("..", "%2E%2E")  # or the client itself resolves the dots
                url = head + written + rest.partition("}")[2].replace("{number}", "1")
                answer = await client.request(method, url, json={"name": "a", "priority": "batch", "dtype": "auto"})
                told = f"{method} {url[:80]}: {answer.status_code}"
                assert 400 <= answer.status_code < 500 and "root:" not in answer.text, told
                assert {"code", "message"} <= set(answer.json()["error"]), told
