"""The shapes every REST answer has: `{data, meta}`, with `pagination` for lists, or `{error}`."""

from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

import orjson
from pydantic import BaseModel, Field
from starlette.responses import Response

from loupe.app.errors import answer_for, describe
from loupe.app.logging import request_id

T = TypeVar("T")


def now() -> str:
    """The time as ISO 8601 in UTC, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Meta(BaseModel):
    """Which request this answers, and when."""

    request_id: str = Field(default_factory=lambda: request_id.get() or "")
    timestamp: str = Field(default_factory=now)


class Pagination(BaseModel):
    """Where a page lies in its list."""

    page: int
    limit: int
    total: int
    has_next: bool


class Reply(BaseModel, Generic[T]):
    """One thing."""

    data: T
    meta: Meta = Field(default_factory=Meta)


class Page(BaseModel, Generic[T]):
    """A page of things."""

    data: list[T]
    pagination: Pagination
    meta: Meta = Field(default_factory=Meta)


class Problem(BaseModel):
    """What went wrong: a code to branch on, a message to read, particulars, and whether trying again can help."""

    code: str
    message: str
    details: dict[str, Any] = {}
    retryable: bool = False
    timestamp: str = Field(default_factory=now)


class ErrorReply(BaseModel):
    """An error."""

    error: Problem


def page_of(rows: list[T], *, page: int, limit: int, total: int) -> Page[T]:
    """Wrap one page of `total` rows; pages count from 1."""
    return Page(data=rows, pagination=Pagination(page=page, limit=limit, total=total, has_next=page * limit < total))


def error_response(error: BaseException, *, status: int | None = None, extra: dict[str, Any] | None = None) -> Response:
    """Any exception as a JSON answer with its status and, where a retry makes sense, Retry-After.

    `extra` are members beside `error`, for the surfaces whose clients look for them.
    """
    known = answer_for(error)
    code = status or int(getattr(error, "status_code", known.status))
    headers = dict(getattr(error, "headers", None) or {})
    wait = getattr(error, "retry_after_s", None) or known.retry_after_s
    if wait:
        headers["Retry-After"] = str(max(1, round(wait)))
    body = ErrorReply(error=Problem(**describe(error))).model_dump() | (extra or {})
    return Response(orjson.dumps(body, default=str), code, headers, "application/json")
