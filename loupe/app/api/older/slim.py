"""The slim API: four verbs for scripts, each accepted at once and read at `/api/slim/status/{id}`."""

from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.routing import APIRoute
from pydantic import BaseModel, ConfigDict, Field

from loupe.app.api.context import Here
from loupe.app.api.older.desk import Desk, TheDesk, Who
from loupe.app.api.older.models import OlderModel, groups_json, older_models, pair_of
from loupe.app.api.older.options import AnalyzeOptions, GenerateOptions, SearchOptions, SendOptions
from loupe.app.api.older.rest import Queued, accept, queued
from loupe.app.errors import NotFound
from loupe.app.services.options import Message

router = APIRouter(prefix="/api/slim", tags=["slim"])

EXAMPLE: dict[str, Any] = {"examples": [{"messages": [{"role": "user", "content": "Tell me about the fox."}]}]}


class Body(BaseModel):
    """A chat, and the model that gets it: by `model_id`, else the first of `model_group`, else the default."""

    model_config = ConfigDict(extra="ignore", protected_namespaces=(), json_schema_extra=EXAMPLE)

    messages: Annotated[list[Message], Field(min_length=1, max_length=1000)]
    model_group: str | None = Field(default=None, max_length=500)
    model_id: str | None = Field(default=None, max_length=500)

    def model(self, older: Desk) -> OlderModel:
        """The model asked for. Raises NotFound."""
        return older.model(self.model_id or self.model_group)


class GenerateBody(Body):
    """Continuations of a chat."""

    temperature: Annotated[float, Field(ge=0.1, le=2)] = 1.0
    n_continuations: Annotated[int, Field(ge=1, le=10)] = 1
    n_tokens: Annotated[int, Field(ge=1, le=512)] = 100


class AnalyzeBody(Body):
    """A chat to analyse: its last `last_n_messages`, or all of it."""

    calculate_token_salience: bool = True
    best_of_k: Annotated[int, Field(ge=1, le=32)] = 8
    last_n_messages: Annotated[int, Field(ge=1, le=1000)] | None = None


class SendBody(Body):
    """A chat to answer; a last message of the assistant is the beginning of the answer."""

    temperature: Annotated[float, Field(ge=0.1, le=2)] = 1.0
    max_tokens: Annotated[int, Field(ge=1, le=4096)] = 1024


@router.post("/generate")
async def generate(body: GenerateBody, older: TheDesk, who: Who) -> Queued:
    """Continue a chat, several times."""
    options = GenerateOptions(
        num_tokens=body.n_tokens, num_completions=body.n_continuations, temperature=body.temperature
    )
    talk = await older.talks.generate(options, body.messages, body.model(older), who)
    return _told(older, talk.id)


@router.post("/send_message")
async def send_message(body: SendBody, older: TheDesk, who: Who) -> Queued:
    """Answer a chat once."""
    options = SendOptions(temperature=body.temperature, max_tokens=body.max_tokens)
    talk = await older.talks.send(options, body.messages, body.model(older), who)
    return _told(older, talk.id)


@router.post("/analyze")
async def analyze(body: AnalyzeBody, here: Here, older: TheDesk, who: Who) -> Queued:
    """Analyse a chat, without KL and with seed 42."""
    options = AnalyzeOptions(
        no_kl=True,
        seed=42,
        calculate_token_salience=body.calculate_token_salience,
        last_n_messages=body.last_n_messages,
        optimize_explanations_config=SearchOptions(best_of_k=body.best_of_k),
    )
    live = await accept(older, who.owner, who.name, body.messages, options, body.model(older).id)
    return queued(here, live)


@router.get("/status/{id}")
async def status(id: str, older: TheDesk) -> dict[str, Any]:
    """Where a request is; its result or error once it has ended."""
    found = await older.status(id)
    wanted = ("request_id", "status", "result", "error", "processing_time")
    return {name: found[name] for name in wanted if name in found}


@router.get("/models")
async def models(here: Here, older: TheDesk) -> dict[str, Any]:
    """The groups, and the model that requests without one get."""
    rows = [
        {
            "id": group["group_id"],
            "name": group["group_name"],
            "description": group["description"],
            "is_loaded": any(model["is_loaded"] for model in group["models"]),
            "default_layer": next((model["layer"] for model in group["models"] if "layer" in model), None),
        }
        for group in groups_json(here, older.current)
    ]
    return {"groups": rows, "current_model_id": older.current or None}


@router.get("/models/{id:path}/layers")
async def layers(id: str, here: Here) -> dict[str, Any]:
    """The layers that a group's models, or one model, read."""
    found = [model for model in older_models(here) if id in (model.id, model.group_id)]
    if not found:
        raise NotFound(f"There is no model and no group {id!r}.")
    known = sorted({model.layer for model in found if model.layer is not None})
    loaded = any(pair_of(here, model) is not None for model in found)
    return {"layers": known, "is_loaded": loaded, "default_layer": known[0] if known else None}


@router.get("")
@router.get("/", include_in_schema=False)
@router.get("/debug", include_in_schema=False)
async def about() -> dict[str, Any]:
    """What can be asked here."""
    return {
        "name": "Loupe slim API",
        "endpoints": sorted(f"{' '.join(r.methods or ())} {r.path}" for r in router.routes if isinstance(r, APIRoute)),
        "documentation": "/api/v1/docs",
    }


def _told(older: Desk, id: str) -> Queued:
    return Queued(
        request_id=id,
        queue_position=older.talks.position(id),
        queue_size=older.talks.waiting,
        message="Request queued. Read /api/slim/status/{request_id}.",
    )
