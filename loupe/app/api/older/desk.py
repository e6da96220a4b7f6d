"""What the older surface remembers beside the services: whose request is whose, the default model, open sockets."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, Protocol

from fastapi import Depends
from starlette.requests import HTTPConnection

from loupe.app.api.context import Here
from loupe.app.api.older.models import OlderModel, find_model, older_models
from loupe.app.api.older.options import AnalyzeOptions
from loupe.app.api.older.states import run_status
from loupe.app.api.older.talks import Talk, Talks
from loupe.app.errors import Forbidden, NotFound, NotReady
from loupe.app.security.guard import OPERATOR, PERSON
from loupe.app.services.live import LiveRun
from loupe.app.workspace import Workspace


class Promise(Protocol):
    """Work under an id that was told before the work could begin."""

    def status(self) -> dict[str, Any]:
        """As the older routes tell it."""
        ...

    async def drop(self) -> None:
        """Give it up."""
        ...


REMEMBERED = 10_000  # owners of requests; older ones may still be read, but no longer cancelled here

Tell = Callable[[dict[str, Any]], None]


class Desk:
    """One per open workspace."""

    def __init__(self, here: Workspace) -> None:
        self.here = here
        self.talks = Talks(here)
        self.sockets: set[Tell] = set()
        self._owners: OrderedDict[str, tuple[str, AnalyzeOptions | None]] = OrderedDict()
        self._promises: OrderedDict[str, Promise] = OrderedDict()
        self._background: set[asyncio.Task] = set()
        self._runs: OrderedDict[str, str] = OrderedDict()  # id that was promised -> id of the run it became

    @property
    def current(self) -> str:
        """The id of the model that requests without one get; empty when there is none."""
        return self.here.groups.default if older_models(self.here) else ""

    def model(self, id: str | None) -> OlderModel:
        """The model asked for, or the default. Raises NotFound, NotReady when there is none at all."""
        if not id and not self.current:
            raise NotReady("There is no model yet. Build the starter or download one.")
        return find_model(self.here, id or self.current)

    async def switch(self, id: str, author: str = "") -> OlderModel:
        """Make a model the default, loaded; nobody's running request is touched. Raises NotFound, ModelError."""
        model = find_model(self.here, id)
        await self.here.models.preload(model.options())
        await self.here.groups.set_default(model.id, author=author)
        return model

    def own(self, id: str, owner: str, asked: AnalyzeOptions | None = None) -> None:
        """Remember who asked, and how."""
        self._owners[id] = owner, asked
        if len(self._owners) > REMEMBERED:
            self._owners.popitem(last=False)

    def asked(self, id: str) -> AnalyzeOptions | None:
        """The older options that a run was asked with, while they are remembered."""
        return self._owners.get(id, (None, None))[1]

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something that the socket which asked for it need not outlive. `work` never raises."""
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def promise(self, id: str, owner: str, promise: Promise) -> None:
        """Answer for an id whose run does not exist yet."""
        self.own(id, owner)
        self._promises[id] = promise
        if len(self._promises) > REMEMBERED:
            self._promises.popitem(last=False)

    def became(self, promised: str, run: str) -> None:
        """Remember which run a promised id stands for."""
        self._promises.pop(promised, None)
        self._runs[promised] = run
        if len(self._runs) > REMEMBERED:
            self._runs.popitem(last=False)

    def run_id(self, id: str) -> str:
        """The run that an id stands for."""
        return self._runs.get(id, id)

    async def status(self, id: str) -> dict[str, Any]:
        """A request's status as the older routes tell it. Raises NotFound."""
        if talk := self.talks.get(id):
            return talk.status()
        if promise := self._promises.get(id):
            return promise.status()
        run = self.run_id(id)
        return await run_status(self.here, run, asked=self.asked(run)) | {"request_id": id}

    def work(self, id: str) -> "LiveRun | Talk":
        """What an id names, while it is in memory. Raises NotFound."""
        return self.talks.get(id) or self.here.analyses.get(self.run_id(id))

    async def cancel(self, id: str, who: "Caller") -> None:
        """Stop one request. Raises NotFound, Conflict (ended), Forbidden (another's)."""
        if not who.operator and self._owner_of(id) not in (None, who.owner):
            raise Forbidden("This request is somebody else's. Its owner, or this machine's command line, may stop it.")
        if promise := self._promises.get(id):
            await promise.drop()
        else:
            await self._stop(self.work(id))

    async def reset(self, who: "Caller") -> int:
        """Stop the caller's own work, or everyone's when the caller is the operator. Returns how many were stopped."""
        ids = [live.id for live in self.here.analyses.live if live.busy]
        ids += [talk.id for talk in self.talks.busy]
        mine = [id for id in ids if who.operator or self._owner_of(id) == who.owner]
        for id in mine:
            await self._stop(self.work(id))
        return len(mine)

    def broadcast(self, message: dict[str, Any]) -> None:
        """Send to every open socket."""
        for tell in tuple(self.sockets):
            tell(message)

    def _owner_of(self, id: str) -> str | None:
        return self._owners.get(id, (None, None))[0]

    async def _stop(self, work: "LiveRun | Talk") -> None:
        if isinstance(work, Talk):
            await self.talks.cancel(work)
        elif work.busy:
            await self.here.analyses.cancel(work.id)
        else:
            raise NotFound(f"Request {work.id} has ended: {work.state}.")


class Caller:
    """Who asks: the name they signed in under, else the address they ask from."""

    def __init__(self, connection: HTTPConnection) -> None:
        scope = connection.scope
        self.name = str(scope.get(PERSON, ""))
        self.owner = self.name or (connection.client.host if connection.client else "local")
        self.operator = bool(scope.get(OPERATOR) or connection.app.state.paths_allowed)


def desk(connection: HTTPConnection, here: Here) -> Desk:
    """The desk of the open workspace."""
    state = connection.app.state
    if getattr(state, "older", None) is None or state.older.here is not here:
        state.older = Desk(here)
    return state.older


TheDesk = Annotated[Desk, Depends(desk)]
Who = Annotated[Caller, Depends(Caller)]
