"""What a training reads: the model, or activations that were kept on disk."""

from collections.abc import Callable, Sequence
from typing import Any

from nicegui import ui

from loupe.app.plain import plain
from loupe.app.services.activation_cache import Cache
from loupe.app.services.activations_request import LEFT_OUT

LIVE = ""


class CacheChoice:
    """A select that is there once there is a cache; `on_change()` is called when another source is chosen."""

    def __init__(self, caches: Sequence[Cache], chosen: str | None, on_change: Callable[[], Any]) -> None:
        self._facts = {cache.id: cache.facts for cache in caches if cache.facts is not None}
        named = {c.id: f"{plain(c.name, 50)} · {c.facts.rows:,} rows" for c in caches if c.facts is not None}
        self.select = ui.select({LIVE: "the model, live", **named}, value=chosen if chosen in named else LIVE)
        self.select.props('outlined dense options-dense label="Read from" data-testid=train-read-from')
        self.select.tooltip("A cache saves running the model; it decides token rows, and what is left out.")
        self.select.visible = bool(named)
        self.select.on_value_change(lambda _: on_change())

    @property
    def cache(self) -> str | None:
        """The chosen cache; None reads the model."""
        return self.select.value or None

    @property
    def source(self) -> dict[str, Any]:
        """What the chosen cache was made of; empty for the model."""
        facts = self._facts.get(self.select.value)
        return facts.source if facts else {}

    @property
    def left_out(self) -> dict[str, Any]:
        """What the chosen cache holds out and leaves out."""
        return {name: self.source[name] for name in LEFT_OUT} if self.source else {}
