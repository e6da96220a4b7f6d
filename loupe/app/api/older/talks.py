"""Several continuations, or one answer, under one id: what the older surface calls a request to generate."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from loupe.app.api.older.models import OlderModel, device_of
from loupe.app.api.older.options import GenerateOptions, SendOptions, Text
from loupe.app.api.older.states import older_state, times
from loupe.app.errors import NotFound
from loupe.app.services.generation import LiveReply
from loupe.app.services.options import GenerationOptions, Message
from loupe.app.workspace import Workspace
from loupe.storage.paths import new_id
from loupe.storage.rows import WorkState

if TYPE_CHECKING:
    from loupe.app.api.older.desk import Caller


@dataclass(slots=True, eq=False)
class Talk:
    """One request. `replies` are its continuations, in order; `message` when the request was `send_message`."""

    id: str
    owner: str
    model: OlderModel
    options: GenerateOptions | SendOptions
    replies: list[LiveReply]
    device: str
    created_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @property
    def busy(self) -> bool:
        """Whether something is still to come."""
        return any(reply.busy for reply in self.replies)

    @property
    def state(self) -> WorkState:
        """The state of the whole: failed or cancelled as soon as a part is, done when every part is."""
        states = {reply.state for reply in self.replies}
        for state in (WorkState.FAILED, WorkState.CANCELLED, WorkState.RUNNING):
            if state in states:
                return state
        return WorkState.DONE if states == {WorkState.DONE} else WorkState.QUEUED

    @property
    def error(self) -> str:
        """Why it failed."""
        found = next((reply.error for reply in self.replies if reply.error), None)
        return found["message"] if found else f"The request was {self.state}."

    def result(self) -> dict[str, Any]:
        """`{completions, metadata}`, or `{response, metadata}` of an answer."""
        texts = [reply.text for reply in self.replies]
        said = {"response": texts[0]} if isinstance(self.options, SendOptions) else {"completions": texts}
        asked = self.replies[0].options
        about = {
            "model_id": self.model.id,
            "temperature": asked.temperature,
            "top_p": asked.top_p,
            "num_tokens": asked.max_new_tokens,
            "finish_reasons": [reply.finish for reply in self.replies],
            "device": self.device,
        }
        return said | {"metadata": about}

    def status(self) -> dict[str, Any]:
        """As the older routes tell it."""
        ends = [reply.ended_at for reply in self.replies if reply.ended_at is not None]
        known: dict[str, Any] = {"request_id": self.id, "status": older_state(self.state)}
        known |= times(self.created_at, None, None)
        if not self.busy and ends:
            known["processing_time"] = round(max(ends) - min(r.created_at for r in self.replies), 3)
        if known["status"] == "completed":
            known["result"] = self.result()
        if known["status"] == "failed":
            known["error"] = self.error
        return known


class Talks:
    """The requests to generate of this process."""

    def __init__(self, here: Workspace) -> None:
        self.here = here
        self._talks: OrderedDict[str, Talk] = OrderedDict()

    def __iter__(self) -> Iterator[Talk]:
        return iter(tuple(self._talks.values()))

    def get(self, id: str) -> Talk | None:
        """The request of this id, while it is in memory."""
        return self._talks.get(id)

    @property
    def busy(self) -> list[Talk]:
        """Those with something still to come."""
        return [talk for talk in self if talk.busy]

    @property
    def waiting(self) -> int:
        """How many have not begun."""
        return sum(talk.state is WorkState.QUEUED for talk in self)

    def position(self, id: str) -> int:
        """Place among the unfinished ones; 1 is next."""
        return 1 + [talk.id for talk in self.busy].index(id) if id in self._talks and self._talks[id].busy else 0

    async def generate(
        self, options: GenerateOptions, text: Text, model: OlderModel, who: "Caller", id: str | None = None
    ) -> Talk:
        """Continue a text several times. Raises as `Generations.start`."""
        return await self._start(id or new_id(), options, options.to_generations(text, model.asked), model, who)

    async def send(self, options: SendOptions, messages: Sequence[Message], model: OlderModel, who: "Caller") -> Talk:
        """Answer a chat once. Raises as `Generations.start`, and BadOption for two system messages."""
        return await self._start(new_id(), options, [options.to_generation(messages, model.asked)], model, who)

    async def cancel(self, talk: Talk) -> None:
        """Stop every part. Raises NotFound when it has ended."""
        if not talk.busy:
            raise NotFound(f"Request {talk.id} has ended: {talk.state}.")
        await asyncio.gather(*(self.here.generations.cancel(r.id) for r in talk.replies if r.busy))

    async def wait(self, talk: Talk, on_change: Callable[[], None] | None = None) -> None:
        """Until every part has ended, however it did; `on_change` is called now and then before that."""
        changed = asyncio.Event()
        stop = [self.here.bridge.subscribe(("reply", r.id), lambda _: changed.set()) for r in talk.replies]
        try:
            while talk.busy:
                if on_change:
                    on_change()
                await changed.wait()
                changed.clear()
        finally:
            for each in stop:
                each()

    async def _start(
        self,
        id: str,
        options: GenerateOptions | SendOptions,
        wanted: Sequence[GenerationOptions],
        model: OlderModel,
        who: "Caller",
    ) -> Talk:
        replies: list[LiveReply] = []
        try:
            for each in wanted:
                replies.append(await self.here.generations.start(each, author=who.name))
        except BaseException:  # all or none, cancelling included: a queue that is full takes no half of a request
            for reply in replies:
                await self.here.generations.cancel(reply.id)
            raise
        talk = Talk(id, who.owner, model, options, replies, device_of(self.here))
        self._talks[talk.id] = talk
        self._forget_old()
        return talk

    def _forget_old(self) -> None:
        ended = [talk.id for talk in self if not talk.busy]
        for id in ended[: max(0, len(ended) - self.here.settings.live_runs_kept)]:
            del self._talks[id]
