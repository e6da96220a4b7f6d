"""Work of one kind that goes on now, whoever began it and on whatever page: how far it is, and a way to end it."""

import html
from collections.abc import Callable
from typing import Any

from nicegui import ui

from loupe.app.errors import Conflict
from loupe.app.pages.controls import confirmed
from loupe.app.pages.numbers import seconds
from loupe.app.pages.run_actions import visitor
from loupe.app.plain import plain
from loupe.app.services.live_job import LiveJob
from loupe.app.workspace import Workspace
from loupe.storage.errors import NotFound

FOLLOW_S = 0.5
END = """(e) => {
  const t = e.target.closest('button[data-id]');
  if (t) emit(t.dataset.id);
}"""


class Ongoing:
    """`on_end()` is called when some of it is no longer there; `mine(request)` says which of the kind are shown."""

    def __init__(
        self,
        workspace: Workspace,
        kind: str,
        on_end: Callable[[], Any],
        mine: Callable[[dict[str, Any]], bool] = lambda _: True,
    ) -> None:
        self.workspace = workspace
        self.kind = kind
        self._on_end = on_end
        self._mine = mine
        self._shown = ""
        self._ids: set[str] = set()

    def build(self) -> None:
        """Place it; it takes no room while nothing goes on."""
        self.place = ui.html("", sanitize=False).props(f"role=status data-testid=ongoing-{self.kind}")
        self.place.on("click", self._end, js_handler=END)
        ui.timer(FOLLOW_S, self.show)

    async def show(self) -> None:
        """Draw what has changed since."""
        lives = [live for live in self.workspace.jobs.live if live.record.kind == self.kind]
        lives = [live for live in lives if self._mine(live.record.request)]
        markup = "".join(line_html(live) for live in lives)
        if markup != self._shown:
            self._shown = markup
            self.place.set_content(markup)
        gone, self._ids = self._ids - {live.id for live in lives}, {live.id for live in lives}
        if gone:
            await self._on_end()

    async def _end(self, event: Any) -> None:
        id, by = str(event.args), visitor()
        try:
            record = await self.workspace.store.jobs.get(id)
            is_others = record.author not in ("", by)
            if is_others and not await confirmed(f"This is {record.author}'s work.", "End it", "Let it go on"):
                return
            await self.workspace.jobs.cancel(id, by=by, confirm=is_others)
        except (Conflict, NotFound):
            pass  # it ended by itself in the meantime
        await self.show()


def line_html(live: LiveJob) -> str:
    """One job: its name, how far it is, time left, and its end."""
    name = html.escape(plain(live.record.name, 80), quote=True)
    known = f'max="{live.total}" value="{live.done}"' if live.total else ""
    said = [html.escape(plain(live.message or str(live.state), 120))]
    if (left := live.seconds_left) is not None:
        said.append(f"about {seconds(left)} left")
    return (
        f'<div class="job-line" data-testid="ongoing"><b><bdi>{name}</bdi></b><progress {known} aria-label="Progress">'
        f'</progress><span class="soft num">{" · ".join(said)}</span>'
        f'<button type="button" class="plain" data-id="{live.id}" data-testid="ongoing-end" '
        f'aria-label="End: {name}">End it</button></div>'
    )
