"""The one table from error to HTTP status (and from that to exit code), sentence and retry-after.

    AppError
    ├── NotFound, Conflict, NotReady
    ├── ConfirmationNeeded              another person's work is changed only when that is meant (a Conflict)
    │   └── StillUsed                   something depends on it; `details` has what
    ├── QueueFull, RateLimited, BodyTooLarge, WaitedTooLong
    ├── FileTooLarge, UploadQuota       a BodyTooLarge each; UploadBusy, a Conflict
    ├── SignInNeeded, Forbidden
    ├── ConsentMissing                  a pickle is opened only with consent to that very file
    ├── BadSettingsFile                 the file of settings cannot be read, or names a setting that does not exist
    ├── PublicWithoutGuard              the server refuses to start
    ├── OfflineRefused, HubUnreachable, HubRefused, RevisionNotFound
    ├── ImportRefused                   a file with runs has a mistake in it; `details` has every line
    └── ServerUnreachable               the command line found a lock but no server

Errors of the engine and of storage are looked up by their nearest listed ancestor. The sentence is for everyone; the
exception's own message carries the particulars.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.exceptions import HTTPException

from loupe.engine import errors as engine
from loupe.storage import errors as storage


class AppError(Exception):
    """Something the app itself refuses, with what to do about it."""

    code: ClassVar[str] = "app_error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s
        self.details: dict[str, Any] = {}


class NotFound(AppError):
    """There is nothing under this identifier."""

    code = "not_found"


class Conflict(AppError):
    """The thing is in a state that does not allow this."""

    code = "conflict"


class ConfirmationNeeded(Conflict):
    """It is another person's work, and nobody said that this is meant."""

    code = "confirmation_needed"


class StillUsed(ConfirmationNeeded):
    """Something depends on it, and nobody said that it may go all the same; `details` has what."""

    code = "still_used"


class NotReady(AppError):
    """The engine or a model is still loading."""

    code = "not_ready"
    retryable = True


class QueueFull(AppError):
    """More work is waiting than the server accepts."""

    code = "queue_full"
    retryable = True


class WaitedTooLong(AppError):
    """The device did not get to the request within the allowed wait."""

    code = "waited_too_long"
    retryable = True


class RateLimited(AppError):
    """One client sent more requests than its share."""

    code = "rate_limited"
    retryable = True


class BodyTooLarge(AppError):
    """The request body is larger than the limit."""

    code = "body_too_large"


class FileTooLarge(BodyTooLarge):
    """An uploaded file, or a piece of one, is larger than the limit."""

    code = "file_too_large"


class UploadQuota(BodyTooLarge):
    """One person's uploads together would be larger than the limit."""

    code = "upload_quota"


class UploadBusy(Conflict):
    """Another piece of the same upload is being written."""

    code = "upload_busy"
    retryable = True


class SignInNeeded(AppError):
    """No valid password, key or session came with the request."""

    code = "sign_in_needed"


class Forbidden(AppError):
    """Not from there, or not by them: a foreign host or origin, a path by somebody far away, another one's upload."""

    code = "forbidden"


class ConsentMissing(AppError):
    """A pickle was to be opened without consent, or with consent to another file."""

    code = "consent_missing"


class BadSettingsFile(AppError):
    """The file of settings cannot be read, or sets what there is not."""

    code = "bad_settings_file"


class PublicWithoutGuard(AppError):
    """A public address was to be bound with neither password nor API key."""

    code = "public_without_guard"


class OfflineRefused(AppError):
    """Outgoing requests are switched off."""

    code = "offline"


class HubUnreachable(AppError):
    """The model hub did not answer."""

    code = "hub_unreachable"
    retryable = True


class HubRefused(AppError):
    """The hub answered, and it was no: unknown, gated, or nothing there that Loupe may load."""

    code = "hub_refused"


class RevisionNotFound(HubRefused):
    """The repository has no such revision."""

    code = "revision_not_found"


class ImportRefused(AppError):
    """An uploaded file is no run, or has a mistake in it; `lines` says where."""

    code = "import_refused"

    def __init__(self, message: str, lines: list[dict[str, Any]]) -> None:
        super().__init__(message)
        self.details = {"lines": lines}


class ServerUnreachable(AppError):
    """A server holds the data directory, but does not answer."""

    code = "server_unreachable"
    retryable = True


@dataclass(frozen=True, slots=True)
class Answer:
    """How an error is told: HTTP status, a sentence for everyone, seconds until a retry makes sense."""

    status: int
    sentence: str
    retry_after_s: float | None = None


TABLE: dict[type[Exception], Answer] = {
    engine.BadInput: Answer(400, "The request cannot be carried out as it stands."),
    engine.TextTooLong: Answer(400, "The text is too long."),
    engine.UnsafeFile: Answer(400, "This file format can run code when opened, so Loupe does not open it."),
    engine.CorruptFile: Answer(422, "A file is damaged."),
    engine.UnknownFormat: Answer(422, "The format is not one Loupe reads."),
    engine.SidecarError: Answer(422, "The NLA checkpoint and its sidecar do not fit together."),
    engine.ModelError: Answer(422, "The model cannot be used this way."),
    engine.OutOfDeviceMemory: Answer(503, "The work does not fit into the device's memory."),
    engine.Cancelled: Answer(409, "The work was cancelled."),
    engine.DeviceClosed: Answer(503, "The server is shutting down.", 5),
    engine.LoupeError: Answer(500, "The engine failed."),
    storage.NotFound: Answer(404, "Not found."),
    storage.NameRejected: Answer(400, "This name cannot be used for a file."),
    storage.DataDirHeld: Answer(503, "Another process works in the data directory.", 5),
    storage.StoreBusy: Answer(503, "The database is busy.", 2),
    storage.StoreFull: Answer(507, "The disk is full. Nothing that was saved before is lost."),
    storage.WrongOffset: Answer(409, "This piece does not go there."),
    storage.WrongChecksum: Answer(409, "This piece was damaged on its way."),
    storage.CorruptArtefact: Answer(422, "A stored file is damaged."),
    storage.BackupError: Answer(422, "The backup could not be made or restored."),
    storage.StorageError: Answer(500, "The data directory could not be used."),
    NotFound: Answer(404, "Not found."),
    Conflict: Answer(409, "That is not possible in the present state."),
    ConfirmationNeeded: Answer(409, "This is another person's work."),
    StillUsed: Answer(409, "Something depends on it."),
    NotReady: Answer(503, "Still loading.", 2),
    QueueFull: Answer(429, "The queue is full.", 5),
    WaitedTooLong: Answer(503, "The device was busy for too long.", 30),
    RateLimited: Answer(429, "Too many requests.", 1),
    BodyTooLarge: Answer(413, "The request is too large."),
    SignInNeeded: Answer(401, "Sign in first."),
    Forbidden: Answer(403, "This is not allowed from there."),
    ConsentMissing: Answer(403, "A pickle is opened only with consent that names the file."),
    BadSettingsFile: Answer(422, "The settings file has a mistake in it."),
    PublicWithoutGuard: Answer(403, "A public address needs a password or an API key."),
    OfflineRefused: Answer(409, "Loupe is set to stay offline."),
    HubUnreachable: Answer(503, "The model hub cannot be reached.", 30),
    HubRefused: Answer(422, "The model hub refused."),
    ImportRefused: Answer(422, "This file cannot be imported."),
    ServerUnreachable: Answer(503, "The server that holds the data directory does not answer.", 5),
    AppError: Answer(400, "That did not work."),
}
UNEXPECTED = Answer(500, "Something went wrong that should not. The log has the details.")


EXIT_CODES = {400: 2, 404: 2, 409: 2, 413: 2, 422: 3, 429: 4, 503: 4, 507: 5, 401: 6, 403: 6}


def exit_code(status: int) -> int:
    """What the command line exits with: 2 the request, 3 the files, 4 try later, 5 storage, 6 not allowed, else 1."""
    return EXIT_CODES.get(status, 1)


def answer_for(error: BaseException) -> Answer:
    """The row of the nearest listed ancestor, else that of an unexpected error."""
    return _row(type(error))


def _row(kind: type[BaseException]) -> Answer:
    return next((TABLE[each] for each in kind.__mro__ if issubclass(each, Exception) and each in TABLE), UNEXPECTED)


def status_of_code(code: str) -> int:
    """The status that an error's stable code stands for, wherever in the three trees it is; 500 for others."""
    pending: list[type[Exception]] = [AppError, engine.LoupeError, storage.StorageError]
    while pending:
        known = pending.pop()
        if vars(known).get("code") == code:
            return _row(known).status
        pending += known.__subclasses__()
    return UNEXPECTED.status


def describe(error: BaseException) -> dict[str, Any]:
    """`{code, message, details, retryable}` as programs see it; nothing of an unexpected error's text is told."""
    if isinstance(error, RequestValidationError | WebSocketRequestValidationError):
        return _invalid(error)
    if isinstance(error, HTTPException):
        return _http(error)
    known = answer_for(error)
    if known is UNEXPECTED:
        return {"code": "internal_error", "message": known.sentence, "details": {}, "retryable": False}
    return {
        "code": getattr(error, "code", "app_error"),
        "message": str(error) or known.sentence,
        "details": {"sentence": known.sentence, **getattr(error, "details", {})},
        "retryable": bool(getattr(error, "retryable", False)),
    }


def _invalid(error: RequestValidationError | WebSocketRequestValidationError) -> dict[str, Any]:
    fields = [{"where": ".".join(map(str, e["loc"])), "problem": e["msg"]} for e in error.errors()]
    told = "; ".join(f"{f['where']}: {f['problem']}" for f in fields[:3])
    return {"code": "invalid_request", "message": told, "details": {"fields": fields}, "retryable": False}


def _http(error: HTTPException) -> dict[str, Any]:
    names = {404: "not_found", 405: "method_not_allowed", 401: "sign_in_needed", 403: "forbidden"}
    code = names.get(error.status_code, "http_error")
    return {"code": code, "message": str(error.detail), "details": {}, "retryable": error.status_code in (429, 503)}
