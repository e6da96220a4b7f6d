"""Who may join a batch of rollouts, and how many: fairness, the time of a step, and memory.

The ticket with the fewest running rows (then tokens) is served first, which is fair to a small request that comes late.
How much fits is foreseen from `available_bytes`; where memory ended all the same, fewer rows run together from then on,
until the batch is idle again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from loupe.engine.errors import BadOption, OutOfDeviceMemory
from loupe.engine.memory import ADVICE, as_size
from loupe.engine.nla.pace import RowLimit
from loupe.engine.nla.ticket import Ticket
from loupe.engine.nla.verbalizer import Verbalizer


class Admission:
    """The limits of one batch. `step_budget_s`, `available_bytes` and `max_rows` may be set between two steps."""

    def __init__(self, verbalizer: Verbalizer, max_rows: int, step_budget_s: float | None) -> None:
        self.step_budget_s = step_budget_s
        self.available_bytes: Callable[[], int] | None = None
        self.max_rows = max_rows
        self._verbalizer = verbalizer
        self._seen_to_fit: int | None = None
        self._prefill_rate = 0.0

    @property
    def max_rows(self) -> int:
        """The most rows that decode together."""
        return self._row_limit.most

    @max_rows.setter
    def max_rows(self, most: int) -> None:
        if most < 1:
            raise BadOption(f"max_rows must be at least 1, got {most}.")
        self._row_limit = RowLimit(most)

    def choose(self, tickets: Sequence[Ticket], rows: int) -> tuple[Ticket, list[int]] | None:
        """Waiting vectors of one ticket that may start beside `rows` running ones."""
        waiting = [ticket for ticket in tickets if ticket.waiting]
        if not waiting:
            return None
        ticket = min(waiting, key=lambda ticket: (ticket.running, ticket.tokens))
        room = (min(self._most_rows(), rows + self._rows_that_fit(ticket)) - rows) // ticket.sampling.rollouts
        if room < 1 and rows:
            return None
        if not rows and (refusal := self._refusal(ticket)):
            ticket.fail(refusal)
            return self.choose(tickets, rows)
        count = min(max(room, 1), len(ticket.waiting), self._prefill_size())
        return ticket, [ticket.waiting.popleft() for _ in range(count)]

    def observe_step(self, rows: int, seconds: float) -> None:
        """A decode step of so many rows took so long."""
        self._row_limit.observe(rows, seconds, self.step_budget_s)

    def observe_prefill(self, vectors: int, seconds: float) -> None:
        """So did a prefill."""
        self._prefill_rate = vectors * self._verbalizer.suffix_length / max(seconds, 1e-9)

    def lower(self, rows: int) -> None:
        """Memory ended: no more than so many rows beside each other, until the batch is idle."""
        self._seen_to_fit = max(1, rows)

    def nobody_is_here(self) -> None:
        """What fitted beside those who left says nothing about who comes next."""
        self._seen_to_fit = None

    def _most_rows(self) -> int:
        rows = self._row_limit.rows(self.step_budget_s)
        return rows if self._seen_to_fit is None else min(rows, self._seen_to_fit)

    def _rows_that_fit(self, ticket: Ticket) -> int:
        """Further rows of this ticket whose keys and values fit into half the available memory."""
        if self.available_bytes is None:
            return self._row_limit.most
        return int(self.available_bytes() / 2 / self._row_bytes(ticket))

    def _row_bytes(self, ticket: Ticket) -> int:
        verbalizer = self._verbalizer
        return verbalizer.bytes_per_token * (verbalizer.suffix_length + ticket.sampling.max_new_tokens)

    def _refusal(self, ticket: Ticket) -> OutOfDeviceMemory | None:
        """Why not even one vector of this ticket fits; None when one does."""
        sampling = ticket.sampling
        needed = self._row_bytes(ticket) * sampling.rollouts
        if self.available_bytes is None or needed <= (available := self.available_bytes()):
            return None
        return OutOfDeviceMemory(
            f"The keys and values of {sampling.rollouts} rollouts of {sampling.max_new_tokens} tokens need "
            f"{as_size(needed)}, but only {as_size(available)} may be taken on {self._verbalizer.lm.device}.",
            advice=ADVICE,
            needed=needed,
            available=available,
        )

    def _prefill_size(self) -> int:
        """Vectors whose suffixes make one forward that fits the step budget, at the rate seen so far."""
        tokens = 512
        if self.step_budget_s is not None:
            tokens = self._prefill_rate * self.step_budget_s if self._prefill_rate else 64
        return max(1, int(tokens) // self._verbalizer.suffix_length)
