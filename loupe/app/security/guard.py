"""The door: one ASGI layer around everything, pages, sockets and API alike.

In this order: is the host ours, is the origin ours, who is asking, has this client asked too often, and is the body
small enough (counted as it arrives, whatever it claims). Answers leave with security headers and a request id.
"""

import logging
import secrets
import time
from http.cookies import CookieError, SimpleCookie
from urllib.parse import quote, urlsplit

from pydantic import SecretStr
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from loupe.app.api.envelope import error_response
from loupe.app.errors import AppError, BodyTooLarge, Forbidden, RateLimited, SignInNeeded
from loupe.app.logging import request_id
from loupe.app.security.keys import COOKIE, ApiKeys, Sessions, same
from loupe.app.security.rates import Allowance, Buckets, Crowd
from loupe.app.settings import LOOPBACK, Settings

log = logging.getLogger(__name__)

OPEN_PATHS = ("/health", "/api/v1/health", "/sign-in")
API_PATHS = ("/api", "/health", "/metrics", "/analyze", "/status", "/reset", "/ws")
OPERATOR = "loupe.operator"  # in the ASGI scope: the request comes from this machine's own command line
PERSON = "loupe.person"  # in the ASGI scope: the name the caller signed in under
ALLOWANCE = "loupe.allowance"  # in the ASGI scope: takes one request of the client's share, for messages of a socket
OPERATOR_NAME = "operator"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

# NiceGUI's page bootstrap needs inline script and eval; everything else is shut, and nothing leaves this origin.
CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self'",
        "object-src 'none'",
        "base-uri 'self'",
        "form-action 'self'",
        "frame-ancestors 'self'",
    )
)
SECURITY_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
}


class Guard:
    """Wraps an ASGI app. `local_token` is the key that the command line finds in the lock file."""

    def __init__(self, app: ASGIApp, settings: Settings, sessions: Sessions, local_token: str | None = None) -> None:
        self.app = app
        self.settings = settings
        self.sessions = sessions
        self.local_token = SecretStr(local_token) if local_token else None
        self.keys = ApiKeys(settings.api_key, settings.api_keys)
        self.crowd = Crowd(settings.concurrent_per_client)
        self.buckets = Buckets(settings.rate_per_minute, settings.rate_burst)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let through, or answer in the app's place."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        token = request_id.set(_request_id(headers))
        try:
            await self._handle(scope, headers, receive, send)
        finally:
            request_id.reset(token)

    async def _handle(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        door = Door(send, api=_is_api(path_of(scope)))
        client = _client(scope, headers)
        scope[ALLOWANCE] = lambda: self.buckets.take(client)
        if door.api:
            door.allowance = self.buckets.look(client)
        try:
            self._check_place(scope, headers)
            scope[OPERATOR] = same(_key(headers), self.local_token)
            scope[PERSON] = self._person(scope, headers)
            limited = door.api and not scope[OPERATOR]
            if limited:
                door.allowance = self.buckets.take(client)
                _check_rate(door.allowance)
            with self.crowd.one(client if limited else None):
                await self.app(scope, _counted(receive, headers, _largest_mb(self.settings, scope), door), door.send)
        except Exception as raised:  # a refusal may come out as whatever the app below made of it; the rest is raised
            error = door.refusal or raised
            if door.started or not isinstance(error, AppError):
                raise
            door.refusal = None
            if scope["type"] == "websocket":
                await send({"type": "websocket.close", "code": 1008, "reason": error.code})
                return
            await self._refuse(error, scope)(scope, receive, door.send)
        else:
            if door.refusal and not door.started:
                error, door.refusal = door.refusal, None
                await self._refuse(error, scope)(scope, receive, door.send)

    def _refuse(self, error: AppError, scope: Scope) -> Response:
        if isinstance(error, SignInNeeded) and self.settings.password and _wants_page(scope):
            target = path_of(scope) + ("?" + scope["query_string"].decode("latin-1") if scope["query_string"] else "")
            return RedirectResponse(f"{scope.get('root_path', '')}/sign-in?next={quote(target)}", 303)
        return error_response(error)

    def _check_place(self, scope: Scope, headers: Headers) -> None:
        settings = self.settings
        host = _name(headers.get("host", ""))
        names = LOOPBACK | {settings.host} | set(settings.allowed_hosts)
        any_host = "*" in settings.allowed_hosts or (settings.is_public and not settings.allowed_hosts)
        if not any_host and host not in names:
            raise Forbidden(f"This server does not answer for the host {host!r}. See LOUPE_ALLOWED_HOSTS.")
        changes = scope["type"] == "websocket" or scope["method"] not in SAFE_METHODS
        origin = headers.get("origin")
        if (
            changes
            and origin
            and urlsplit(origin).netloc != headers.get("host")
            and origin not in settings.allowed_origins
        ):
            raise Forbidden("Pages of another origin may not call this server. See LOUPE_ALLOWED_ORIGINS.")

    def _person(self, scope: Scope, headers: Headers) -> str:
        """The name under which the request may pass; empty where nobody has to sign in. Raises SignInNeeded."""
        if not self.settings.is_guarded:
            return ""
        if scope[OPERATOR]:
            return OPERATOR_NAME
        key = _key(headers)
        known = self.keys.owner(key) if key else self.sessions.person(_cookie(headers))
        if known is None and not _is_open(path_of(scope)):
            raise SignInNeeded("Give the API key as X-API-Key or Bearer token, or sign in at /sign-in.")
        return known or ""


class Door:
    """Adds our headers to whatever answer leaves; once there is a refusal, the app's own answer is not let out."""

    def __init__(self, send: Send, *, api: bool) -> None:
        self._send = send
        self.api = api
        self.allowance: Allowance | None = None
        self.refusal: AppError | None = None
        self.started = False

    async def send(self, message: Message) -> None:
        """Pass a message on; the first of a response gets the headers."""
        if self.refusal and not self.started:
            return
        if message["type"] == "http.response.start":
            self.started = True
            headers = MutableHeaders(scope=message)
            headers["X-Request-ID"] = request_id.get() or ""
            for name, value in SECURITY_HEADERS.items():
                headers.setdefault(name, value)
            if self.allowance:
                headers["X-RateLimit-Limit"] = str(self.allowance.limit)
                headers["X-RateLimit-Remaining"] = str(self.allowance.remaining)
                headers["X-RateLimit-Reset"] = str(round(time.time()) + self.allowance.reset_s)
        elif message["type"].startswith("websocket."):
            self.started = True
        await self._send(message)


def _check_rate(allowance: Allowance) -> None:
    if not allowance.allowed:
        raise RateLimited(
            f"At most {allowance.limit} requests a minute. Try again in {allowance.retry_after_s:.1f} s.",
            retry_after_s=allowance.retry_after_s,
        )


def _counted(receive: Receive, headers: Headers, limit_mb: float, door: Door) -> Receive:
    limit = int(limit_mb * 2**20)
    told = headers.get("content-length", "")
    if told.isdigit() and int(told) > limit:
        raise BodyTooLarge(f"The body has {int(told)} bytes; at most {limit} are accepted.")
    count = 0

    async def counting() -> Message:
        nonlocal count
        message = await receive()
        if message["type"] == "http.request":
            count += len(message.get("body", b""))
            if count > limit:
                door.refusal = BodyTooLarge(f"The body is larger than the {limit} bytes accepted.")
                raise door.refusal
        return message

    return counting


def _largest_mb(settings: Settings, scope: Scope) -> float:
    """Files of runs and datasets may be larger than any other body."""
    path = path_of(scope)
    if "/api/v1/uploads/" in path:
        return max(settings.upload_piece_mb, settings.max_body_mb)
    takes_files = path.endswith(("/api/v1/runs/import", "/api/v1/datasets/upload")) or (
        "/_nicegui/client/" in path and "/upload/" in path
    )
    return max(settings.max_import_mb, settings.max_body_mb) if takes_files else settings.max_body_mb


def path_of(scope: Scope) -> str:
    """The path below the prefix that a proxy strips; the server puts that in front again."""
    path, prefix = scope["path"], scope.get("root_path", "").rstrip("/")
    return (path[len(prefix) :] or "/") if prefix and f"{path}/".startswith(f"{prefix}/") else path


def _wants_page(scope: Scope) -> bool:
    """Whether somebody follows a link: to a page, or in a browser to the reference, a file or any other answer."""
    is_read = scope["type"] == "http" and scope["method"] == "GET"
    return is_read and (not _is_api(path_of(scope)) or "text/html" in Headers(scope=scope).get("accept", ""))


def _is_api(path: str) -> bool:
    return any(path == p or path.startswith(p + "/") for p in API_PATHS)


def _is_open(path: str) -> bool:
    return any(path == p or path.startswith(p + "/") for p in OPEN_PATHS)


def _name(host: str) -> str:
    return host[1:].split("]")[0] if host.startswith("[") else host.split(":")[0].lower()


def _client(scope: Scope, headers: Headers) -> str:
    return (scope.get("client") or ("local", 0))[0]


def _key(headers: Headers) -> str:
    return headers.get("x-api-key") or headers.get("authorization", "").removeprefix("Bearer ")


def _cookie(headers: Headers) -> str:
    try:
        found = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


def _request_id(headers: Headers) -> str:
    given = headers.get("x-request-id", "")
    fits = 0 < len(given) <= 64 and given.isascii() and given.replace("-", "").replace("_", "").isalnum()
    return given if fits else secrets.token_hex(8)
