"""The schema of the API: what FastAPI finds in the routes, with what holds for all of them put in once.

Every operation has a short id (`runs_list`), the headers every answer carries, the ways to be let in, and the errors it
may end in, each with an example.
"""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from loupe.app.api.envelope import ErrorReply
from loupe.app.api.examples import BODIES
from loupe.app.errors import TABLE, UNEXPECTED, Answer

JSON = "application/json"
EXAMPLES = {
    400: ("bad_positions", "Position 77 is outside the text, which has 6 tokens (0 to 5)."),
    401: ("sign_in_needed", "Give the API key as X-API-Key or Bearer token, or sign in at /sign-in."),
    403: ("forbidden", "Paths are taken only from this machine's own command line; name a model of the list."),
    404: ("not_found", "There is no run '7f3a'."),
    405: ("method_not_allowed", "PUT is not answered here. Use GET or POST."),
    409: ("conflict", "Analysis 7f3a is done already."),
    413: ("body_too_large", "The body is larger than the 8388608 bytes accepted."),
    422: ("corrupt_file", "A file is damaged."),
    429: ("queue_full", "100 analyses wait or run already; at most 100 are accepted."),
    500: ("internal_error", UNEXPECTED.sentence),
    503: ("not_ready", "The server is starting or stopping. Try again in a moment."),
    507: ("store_full", "The disk is full. Nothing that was saved before is lost."),
}
HEADERS = {
    "X-Request-ID": ("string", "The request's id: yours if you sent a sensible one; also in the log."),
    "X-RateLimit-Limit": ("integer", "Requests a minute."),
    "X-RateLimit-Remaining": ("integer", "Requests that may follow at once."),
    "X-RateLimit-Reset": ("integer", "When the whole allowance is back, in seconds since 1970."),
}
SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "The API key."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The API key."},
    "session": {"type": "apiKey", "in": "cookie", "name": "loupe_session", "description": "A sign-in in the browser."},
}
OPEN = "/health"  # needs no key


def operation_id(route: APIRoute) -> str:
    """`analyses_start`: the room, then what its function is called."""
    room = str(route.tags[0]) if route.tags else "root"
    return f"{room}_{route.name}".replace(" ", "_").replace("-", "_")


def error_responses() -> dict[int | str, dict[str, Any]]:
    """The errors that any operation may end in, with their shape and an example each."""
    return {status: {"model": ErrorReply, "description": _sentence(status)} for status in EXAMPLES}


def schema_of(app: FastAPI) -> dict[str, Any]:
    """The whole schema, made once."""
    if app.openapi_schema is None:
        found = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
        )
        components = found.setdefault("components", {})
        components["securitySchemes"] = SECURITY_SCHEMES
        components["headers"] = {n: {"description": d, "schema": {"type": t}} for n, (t, d) in HEADERS.items()}
        for path, operations in found["paths"].items():
            for operation in operations.values():
                _complete(path, operation)
        app.openapi_schema = found
    return app.openapi_schema


def _complete(path: str, operation: dict[str, Any]) -> None:
    body = operation.get("requestBody", {}).get("content", {}).get(JSON)
    if body and operation["operationId"] in BODIES:
        body.setdefault("example", BODIES[operation["operationId"]])
    operation["security"] = [{}] if OPEN in path else [{}, *({name: []} for name in SECURITY_SCHEMES)]
    for status, response in operation["responses"].items():
        response.setdefault("headers", {}).update({n: {"$ref": f"#/components/headers/{n}"} for n in HEADERS})
        if status.isdigit() and int(status) in EXAMPLES and JSON in response.get("content", {}):
            response["content"][JSON].setdefault("example", _example(int(status)))
        if status in ("429", "503"):
            about = {"description": "Seconds until a retry makes sense.", "schema": {"type": "integer"}}
            response["headers"]["Retry-After"] = about


def _example(status: int) -> dict[str, Any]:
    code, message = EXAMPLES[status]
    told = {"code": code, "message": message, "details": {}, "retryable": status in (429, 503)}
    return {"error": told | {"timestamp": "2026-11-22T12:00:00.000+00:00"}}


def _sentence(status: int) -> str:
    if status == 405:
        return "This address is not answered for this method."
    rows: list[Answer] = [UNEXPECTED, *TABLE.values()]
    return " ".join(dict.fromkeys(row.sentence for row in rows if row.status == status))
