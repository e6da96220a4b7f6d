"""The sign-in page: one form, no script, slow to guess at."""

import asyncio
import html

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from loupe.app.errors import RateLimited
from loupe.app.security.keys import COOKIE, Sessions, display_name, same
from loupe.app.security.rates import Buckets
from loupe.app.settings import Settings

FAILURE_PAUSE_S = 0.5

PAGE = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Sign in · Loupe</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><style>
body{{margin:0;min-height:100vh;display:grid;place-items:center;background:#0f172a;color:#e2e8f0;
font:16px/1.5 system-ui,sans-serif}}form{{display:grid;gap:12px;width:min(20rem,90vw)}}
h1{{font-size:1.3rem;margin:0}}input,button{{font:inherit;padding:10px 12px;border-radius:8px}}
input{{background:#1e293b;color:#f8fafc;border:1px solid #64748b}}
button{{background:#34d399;color:#052e20;border:0;font-weight:600;cursor:pointer}}
:focus-visible{{outline:2px solid #34d399;outline-offset:2px}}p{{color:#fca5a5;margin:0}}
</style></head><body><main><form method="post" action="sign-in">
<h1>Loupe</h1>{problem}<label for="name">Your name, as others will see it on runs and jobs</label>
<input id="name" name="name" value="{name}" maxlength="40" autocomplete="nickname" required autofocus>
<label for="password">Password</label>
<input id="password" name="password" type="password" autocomplete="current-password" required>
<input type="hidden" name="next" value="{target}"><button>Sign in</button></form></main></body></html>"""


def add_sign_in(app: FastAPI, settings: Settings, sessions: Sessions) -> None:
    """Routes for signing in and out; harmless when no password is set."""
    attempts = Buckets(per_minute=10, burst=5)

    @app.get("/sign-in", include_in_schema=False)
    async def form(next: str = "/") -> Response:
        return _form(local_path(next))

    @app.post("/sign-in", include_in_schema=False)
    async def sign_in(request: Request) -> Response:
        allowance = attempts.take(request.client.host if request.client else "local")
        if not allowance.allowed:
            raise RateLimited("Too many attempts.", retry_after_s=allowance.retry_after_s)
        fields = await request.form()
        target, name = local_path(str(fields.get("next", "/"))), display_name(str(fields.get("name", "")))
        if not same(str(fields.get("password", "")), settings.password):
            await asyncio.sleep(FAILURE_PAUSE_S)
            return _form(target, name, "That is not the password.", 401)
        if not name:
            return _form(target, name, "Give a name that others can read.", 422)
        answer = RedirectResponse(settings.root_path + target, 303)
        answer.set_cookie(
            COOKIE,
            sessions.issue(name),
            max_age=sessions.max_age_s,
            httponly=True,
            samesite="lax",
            secure=settings.https,
        )
        return answer

    @app.post("/sign-out", include_in_schema=False)
    async def sign_out() -> Response:
        answer = RedirectResponse(f"{settings.root_path}/sign-in", 303)
        answer.delete_cookie(COOKIE)
        return answer


def _form(target: str, name: str = "", problem: str = "", status: int = 200) -> HTMLResponse:
    told = f'<p role="alert">{html.escape(problem)}</p>' if problem else ""
    filled = PAGE.format(problem=told, name=html.escape(name, quote=True), target=html.escape(target, quote=True))
    return HTMLResponse(filled, status)


def local_path(target: str) -> str:
    """The target when it is a path on this server, else the first page."""
    is_local = target.startswith("/") and not target.startswith(("//", "/\\")) and target.isprintable()
    return target if is_local else "/"
