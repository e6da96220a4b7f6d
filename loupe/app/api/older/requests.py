"""The messages that ask for work: `analyze`, `generate`, one after the other, and `send_message`."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from loupe.app.api.older.options import AnalyzeOptions, GenerateOptions, Older, SendOptions, Text
from loupe.app.api.older.rest import accept, queue_size
from loupe.app.api.older.talks import Talk
from loupe.app.api.older.watch import about_request, stop_quietly
from loupe.app.errors import describe
from loupe.app.services.live import LiveRun
from loupe.app.services.options import Message as Turn
from loupe.engine.errors import BadInput
from loupe.storage.paths import new_id
from loupe.storage.rows import WorkState

if TYPE_CHECKING:
    from loupe.app.api.older.socket import Line, Message


class AnalyzeMessage(Older):
    """`analyze`."""

    text: Text
    options: AnalyzeOptions = AnalyzeOptions()
    model_id: str | None = Field(default=None, max_length=500)
    detach: bool = False


class GenerateMessage(Older):
    """`generate`."""

    text: Text
    options: GenerateOptions = GenerateOptions()
    model_id: str | None = Field(default=None, max_length=500)
    detach: bool = False


class AnalysisPart(Older):
    """The second half of `generate_and_analyze`."""

    text: Text = ""
    options: AnalyzeOptions = AnalyzeOptions()
    model_id: str | None = Field(default=None, max_length=500)
    use_generated_completion: bool = True


class ChainMessage(Older):
    """`generate_and_analyze`."""

    generation: GenerateMessage
    analysis: AnalysisPart = AnalysisPart()
    detach: bool = False


class SendMessage(Older):
    """`send_message`."""

    messages: Annotated[list[Turn], Field(min_length=1, max_length=1000)]
    options: SendOptions = SendOptions()
    model_id: str | None = Field(default=None, max_length=500)
    model_group: str | None = Field(default=None, max_length=500)
    detach: bool = False


async def analyze(line: "Line", message: "Message") -> None:
    """queued, processing, progress, then completed or error."""
    asked = AnalyzeMessage.model_validate(message)
    model_id = asked.model_id or asked.options.model_id
    live = await accept(line.older, line.who.owner, line.who.name, asked.text, asked.options, model_id)
    about = about_request(line.older, live.id, "analysis", message)
    line.tell(_queued(line, about, line.here.analyses.ahead_of(live) + 1))
    line.watching.start(line.watching.run(live, about), None if asked.detach else _drop(line, live))


async def generate(line: "Line", message: "Message") -> None:
    """queued, processing, then generation_complete or generation_error."""
    asked = GenerateMessage.model_validate(message)
    _watch(line, await _talk(line, asked), message, asked.detach)


async def send_message(line: "Line", message: "Message") -> None:
    """queued, processing, then send_message_complete or send_message_error."""
    asked = SendMessage.model_validate(message)
    model = line.older.model(asked.model_id or asked.model_group)
    _watch(line, await line.older.talks.send(asked.options, asked.messages, model, line.who), message, asked.detach)


async def generate_and_analyze(line: "Line", message: "Message") -> None:
    """Both queued at once; one continuation, then the analysis of the text with it."""
    asked = ChainMessage.model_validate(message)
    one = asked.generation.model_copy(update={"options": asked.generation.options.model_copy(update=_ONE)})
    id = new_id()
    talk = await _talk(line, one, id=f"{id}_gen")
    first = about_request(line.older, talk.id, "generation", message)
    second = about_request(line.older, id, "analysis", message)
    line.tell(_queued(line, first, line.older.talks.position(talk.id)))
    line.tell(_queued(line, second, queue_size(line.here) + 1))
    chain = Chain(line, asked, talk, id)
    line.older.promise(id, line.who.owner, chain)
    line.older.spawn(chain.work())
    line.watching.start(chain.watch(first, second), None if asked.detach else chain.drop)


_ONE = {"num_completions": 1}


class Chain:
    """A generation, and the analysis that follows it under an id that was promised before."""

    def __init__(self, line: "Line", asked: ChainMessage, talk: Talk, id: str) -> None:
        self.line = line
        self.asked = asked
        self.talk = talk
        self.id = id
        self.live: LiveRun | None = None
        self.problem: Exception | None = None
        self.dropped = False
        self.done = asyncio.Event()

    def status(self) -> dict[str, Any]:
        """As the older routes tell it, while there is no run that could be asked."""
        known = {"request_id": self.id, "status": "queued"}
        if not self.done.is_set():
            return known
        return known | {"status": "cancelled" if self.dropped else "failed", "error": self._why()["message"]}

    async def watch(self, first: "Message", second: "Message") -> None:
        """Both halves, each told as if it had been asked for alone."""
        watching = self.line.watching
        await watching.talk(self.talk, first)
        await self.done.wait()
        if self.live is not None:
            await watching.run(self.live, second)
        else:
            told = self._why()
            self.line.tell({"type": "error", "error": told["message"], "code": told["code"]} | second)

    async def drop(self) -> None:
        """Stop both halves."""
        self.dropped = True
        await stop_quietly(self.line.older, self.talk)
        if self.live is not None:
            await stop_quietly(self.line.older, self.live)

    async def work(self) -> None:
        """Wait for the first half and begin the second. Never raises; a detached chain outlives its socket."""
        try:
            await self.line.older.talks.wait(self.talk)
            if self.talk.state is WorkState.DONE and not self.dropped:
                self.live = await self._analyse()
        except Exception as error:  # whatever it is, whoever waits for the request is told
            self.problem = error
        finally:
            self.done.set()
        if self.dropped and self.live is not None:
            await stop_quietly(self.line.older, self.live)

    def _why(self) -> dict[str, Any]:
        return describe(self.problem or BadInput("There is no continuation to analyse."))

    async def _analyse(self) -> LiveRun:
        older, who, part = self.line.older, self.line.who, self.asked.analysis
        text = part.text or self.asked.generation.text
        if part.use_generated_completion:
            text = continued(self.asked.generation.text, self.talk)
        model_id = part.model_id or part.options.model_id or self.asked.generation.model_id
        live = await accept(older, who.owner, who.name, text, part.options, model_id)
        older.became(self.id, live.id)
        return live


def continued(text: Text, talk: Talk) -> Text:
    """What was given, with what the model wrote after it."""
    said = talk.replies[0].text
    turns = talk.replies[0].options.messages
    if turns is None:
        return f"{text}{said}"
    whole = (talk.replies[0].options.prefill or "") + said
    return [*turns, Turn(role="assistant", content=whole)]


async def _talk(line: "Line", asked: GenerateMessage, id: str | None = None) -> Talk:
    model = line.older.model(asked.model_id or asked.options.model_id)
    return await line.older.talks.generate(asked.options, asked.text, model, line.who, id=id)


def _watch(line: "Line", talk: Talk, message: "Message", detach: bool) -> None:
    about = about_request(line.older, talk.id, "generation", message)
    line.tell(_queued(line, about, line.older.talks.position(talk.id)))
    line.watching.start(line.watching.talk(talk, about), None if detach else _drop(line, talk))


def _queued(line: "Line", about: "Message", position: int) -> "Message":
    size = queue_size(line.here) + line.older.talks.waiting
    return {"type": "queued", "queue_position": position, "queue_size": size} | about


def _drop(line: "Line", work: LiveRun | Talk) -> Any:
    return lambda: stop_quietly(line.older, work)
