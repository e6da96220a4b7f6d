"""How a run goes, as markup: bar, queue, time left, the reply while it is written, and how it ended."""

import html

from loupe.app.pages.numbers import seconds
from loupe.app.services.live import LiveRun
from loupe.storage.rows import WorkState


def progress_html(live: LiveRun, ahead: int) -> str:
    """A bar that is filled as far as is known, and the same in words."""
    share = live.done / live.total * 100 if live.total else 0
    said = ["paused"] if live.job is not None and live.job.paused else []
    said += [f"{live.done} of {live.total}" if live.total else html.escape(live.stage)]
    if ahead:
        said.append(f"{ahead} ahead in the queue")
    if (left := live.seconds_left) is not None:
        said.append(f"about {seconds(left)} left")
    value = f'aria-valuenow="{share:.0f}"' if live.total else ""
    kind = "" if live.total else " unknown"
    return (
        f'<div class="progress{kind}" role="progressbar" aria-valuemin="0" aria-valuemax="100" {value} '
        f'aria-label="Analysis"><i style="width:{share:.1f}%"></i></div>'
        f'<div class="soft num small">{" · ".join(said)}</div>'
    )


def reply_html(text: str, *, writing: bool) -> str:
    """The reply so far, with a cursor while more is to come."""
    said = "The model replies" if writing else "The reply as far as it came"
    cursor = '<span class="cursor" aria-hidden="true"></span>' if writing else ""
    return f'<div class="reply"><div class="overline">{said}</div><p>{html.escape(text)}{cursor}</p></div>'


def ended_html(live: LiveRun) -> str:
    """How it ended, and how long it took."""
    took = seconds((live.ended_at or live.created_at) - live.created_at)
    is_done = live.state is WorkState.DONE
    text = f"Done in {took}. Saved; the link stays valid." if is_done else f"{live.state.capitalize()}."
    return f'<span class="soft">{text}</span>'
