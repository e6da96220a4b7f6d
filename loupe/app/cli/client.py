"""How commands reach Loupe: one API, three ways to it.

When a server holds the data directory the requests go there, with the address and key it left beside the lock.
Otherwise this process opens the data directory itself and the same API answers in-process; nothing else differs. With
LOUPE_SERVER set the requests go to that server, wherever it is, under the key in LOUPE_API_KEY.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import httpx
from anyio.from_thread import start_blocking_portal

from loupe.app.errors import ServerUnreachable
from loupe.app.settings import Settings
from loupe.storage.errors import DataDirHeld
from loupe.storage.lock import Holder, read_holder
from loupe.storage.paths import DataDir

Send = Callable[..., httpx.Response]
Stream = Callable[..., AbstractContextManager[httpx.Response]]


class Refused(Exception):
    """The API answered with an error."""

    def __init__(self, status: int, problem: dict[str, Any], wait_s: float = 0) -> None:
        super().__init__(problem.get("message", f"status {status}"))
        self.status = status
        self.problem = problem
        self.wait_s = wait_s  # what Retry-After asks for


class Client:
    """Requests that return the answer's JSON, or raise `Refused`. `far`: the server does not see our files."""

    def __init__(self, send: Send, *, remote: bool, far: bool = False, stream: Stream | None = None) -> None:
        self._send = send
        self._stream = stream
        self.remote = remote
        self.far = far

    def get(self, path: str, **params: Any) -> dict[str, Any]:
        """GET under /api/v1."""
        return self._ask("GET", path, params={k: v for k, v in params.items() if v is not None})

    def every(self, path: str, **params: Any) -> list[dict[str, Any]]:
        """Every row of a paged list under /api/v1."""
        rows, page = [], 1
        while True:
            answer = self.get(path, page=page, limit=200, **params)
            rows += answer["data"]
            if not answer.get("pagination", {}).get("has_next"):
                return rows
            page += 1

    def events(self, topics: str = "", after: int | None = None) -> Iterator[dict[str, Any]]:
        """Events of the server as they come; after a break the stream is resumed where it was."""
        assert self._stream is not None, "only a server has an event stream"
        while True:
            params = {"topics": topics} | ({} if after is None else {"after": after})
            try:
                with self._stream("GET", "/api/v1/events", params=params, timeout=90) as answer:
                    if answer.status_code >= 400:
                        answer.read()
                        raise _refused(answer)
                    for event in _events(answer.iter_lines()):
                        after = event["number"]
                        yield event
            except httpx.ConnectError as error:
                raise ServerUnreachable(f"The server does not answer: {error}.") from error
            except httpx.TransportError:
                continue

    def get_raw(self, path: str) -> dict[str, Any]:
        """GET under /api/v1 of something that comes without an envelope."""
        return self._ask("GET", path)

    def post(self, path: str, body: object = None) -> dict[str, Any]:
        """POST JSON under /api/v1."""
        return self._ask("POST", path, json=body)

    def put(self, path: str, body: object = None) -> dict[str, Any]:
        """PUT JSON under /api/v1."""
        return self._ask("PUT", path, json=body)

    def delete(self, path: str, **params: Any) -> dict[str, Any]:
        """DELETE under /api/v1."""
        return self._ask("DELETE", path, params=params)

    def patch(self, path: str, body: object) -> dict[str, Any]:
        """PATCH JSON under /api/v1."""
        return self._ask("PATCH", path, json=body)

    def get_file(self, path: str, **params: Any) -> tuple[str, bytes]:
        """GET under /api/v1 of a file: the name it should have, and its bytes."""
        answer = self._answer("GET", path, params=params)
        return answer.headers.get("content-disposition", "").partition('filename="')[2].rstrip('"'), answer.content

    def post_file(self, path: str, content: bytes, **params: Any) -> dict[str, Any]:
        """POST a file under /api/v1."""
        return self._ask("POST", path, content=content, params=params)

    def put_bytes(self, path: str, content: bytes, **params: Any) -> dict[str, Any]:
        """PUT bytes under /api/v1."""
        return self._ask("PUT", path, content=content, params=params)

    def _ask(self, method: str, path: str, **kwargs: Any) -> dict[str, Any]:
        return self._answer(method, path, **kwargs).json()

    def _answer(self, method: str, path: str, **kwargs: Any) -> httpx.Response:
        try:
            answer = self._send(method, f"/api/v1{path}", **kwargs)
        except httpx.TransportError as error:
            where = "" if self.far else " that holds the data directory"
            raise ServerUnreachable(f"The server{where} does not answer: {error}.") from error
        if answer.status_code >= 400:
            raise _refused(answer)
        return answer


def _refused(answer: httpx.Response) -> Exception:
    """The API's own refusal; what a proxy on the way says in its place means that the server was not reached."""
    try:
        problem = dict(answer.json()["error"])
    except (ValueError, KeyError, TypeError):
        return ServerUnreachable(f"Something on the way to the server answers with status {answer.status_code}.")
    wait = answer.headers.get("retry-after", "")
    return Refused(answer.status_code, problem, float(wait) if wait.isdigit() else 0)


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    number = 0
    for line in lines:
        if line.startswith("id: "):
            number = int(line[4:])
        elif line.startswith("data: "):
            yield {"number": number} | json.loads(line[6:])


@contextmanager
def open_client(settings: Settings) -> Iterator[Client]:
    """A client to the server that LOUPE_SERVER names, to the one that holds the data directory, or to this process.

    Raises DataDirHeld when another process works there without serving.
    """
    if settings.server:
        opened = _far_away(settings, settings.server)
    else:
        holder = read_holder(DataDir.create(settings.home))
        opened = _in_process(settings) if holder is None else _over_http(holder)
    with opened as client:
        yield client


@contextmanager
def _far_away(settings: Settings, address: str) -> Iterator[Client]:
    headers = {"Authorization": f"Bearer {settings.api_key.get_secret_value()}"} if settings.api_key else {}
    with httpx.Client(base_url=address.rstrip("/"), headers=headers, timeout=120) as http:
        yield Client(http.request, remote=True, far=True, stream=http.stream)


@contextmanager
def _over_http(holder: Holder) -> Iterator[Client]:
    if not holder.url:
        raise DataDirHeld(
            f"Process {holder.pid} works in the data directory and does not serve. Wait for it or stop it.",
            pid=holder.pid,
        )
    headers = {"Authorization": f"Bearer {holder.token}"} if holder.token else {}
    with httpx.Client(base_url=holder.url, headers=headers, timeout=120, trust_env=False) as http:
        yield Client(http.request, remote=True, stream=http.stream)


@contextmanager
def _in_process(settings: Settings) -> Iterator[Client]:
    from loupe.app.api.application import build_api
    from loupe.app.workspace import open_workspace

    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(open_workspace(settings)) as workspace,
    ):
        transport = httpx.ASGITransport(build_api(workspace, paths_allowed=True), raise_app_exceptions=False)
        http = httpx.AsyncClient(transport=transport, base_url="http://loupe", timeout=None)  # noqa: S113 - in-process
        try:
            yield Client(lambda *a, **k: portal.call(lambda: http.request(*a, **k)), remote=False)
        finally:
            portal.call(http.aclose)
