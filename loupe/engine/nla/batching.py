"""Continuous batching: rollouts of any request join between decode steps and leave when they are done.

A `VerbalizerBatch` lives on the device thread, one per loaded verbalizer, and is shared by every job that verbalizes.
A job submits vectors and gets a `Ticket`; whoever is resumed calls `advance`, which does one step *for everybody*: a
prefill of waiting vectors, or one decode step of all rows. Between two steps nothing is patched or open.

Keys and values live in buffers [rows, kv_heads, length, head_dim] per layer that are allocated ahead and written in
place. Rows stay dense: the last row moves into the place of one that leaves, so a step reads no dead row. Vectors are
admitted from the ticket with the fewest running rows (then tokens), which is fair to a small request that comes late.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.errors import BadOption, OutOfDeviceMemory
from loupe.engine.memory import ADVICE, as_size
from loupe.engine.nla.pace import RowLimit
from loupe.engine.nla.row_cache import RowCache
from loupe.engine.nla.sampling import draw
from loupe.engine.nla.verbalizer import EXPLANATION_CLOSE, Sampling, Verbalizer
from loupe.engine.randomness import uniform

_CLOSING_WINDOW = 24  # tokens that surely hold the closing tag, whatever the tokenizer


@dataclass(frozen=True, slots=True)
class RolloutText:
    """One finished rollout: its ids (an end token included, if it ended by one), its text, why it ended, and the steps
    at which rounding could have chosen another token."""

    ids: tuple[int, ...]
    text: str
    ended: str
    ties: tuple[int, ...]


@dataclass(slots=True, eq=False)
class _Row:
    """A rollout in progress. `length` counts its cached tokens."""

    ticket: Ticket
    vector: int
    rollout: int
    position_key: int
    length: int
    ids: list[int] = field(default_factory=list)
    ties: list[int] = field(default_factory=list)


class Ticket:
    """One request in the batch: which of its vectors are finished, and their rollouts. `close` withdraws it."""

    def __init__(self, batch: VerbalizerBatch, vectors: Tensor, sampling: Sampling, keys: Sequence[int]) -> None:
        self.sampling = sampling
        self.vectors = vectors
        self.keys = tuple(keys)
        self.waiting = deque(range(len(vectors)))
        self.running = 0
        self.tokens = 0
        self._batch = batch
        self._rollouts: dict[int, dict[int, RolloutText]] = {index: {} for index in range(len(vectors))}
        self._finished: deque[int] = deque()
        self._open = len(vectors)
        self._failure: Exception | None = None

    @property
    def done(self) -> bool:
        """Whether every vector has all its rollouts."""
        return self._open == 0

    def take_finished(self) -> list[int]:
        """Vectors that got their last rollout since the previous call."""
        finished = list(self._finished)
        self._finished.clear()
        return finished

    def rollouts(self, vector: int) -> list[RolloutText]:
        """The finished rollouts of a vector, in order of their numbers."""
        return [rollout for _, rollout in sorted(self._rollouts[vector].items())]

    def raise_if_failed(self) -> None:
        """Raise what went wrong while this ticket's vectors were prefilled; others in the batch never see it."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Leave the batch: nothing more is computed for this ticket. Harmless when repeated."""
        self.waiting.clear()
        self._batch.withdraw(self)

    def fail(self, error: Exception) -> None:
        """Leave the batch because of an error, which its owner gets at the next `raise_if_failed`."""
        self._failure = error
        self.close()

    def _add(self, vector: int, number: int, rollout: RolloutText) -> None:
        self._rollouts[vector][number] = rollout
        if len(self._rollouts[vector]) == self.sampling.rollouts:
            self._finished.append(vector)
            self._open -= 1


class VerbalizerBatch:
    """All rollouts in progress on one verbalizer. One thread only.

    `max_rows` bounds the rows that decode together, and with them the memory (default: 128 on the CPU, where more rows
    are no faster, else 512). With `step_budget_s` (settable at any time) a step is kept within
    that many seconds: the number of rows grows while steps are short and shrinks, by not admitting, when they are long.
    With `available_bytes` (likewise) new rows take at most half of what it returns. A vector whose rollouts do not fit
    into all of it, even alone, fails its ticket with OutOfDeviceMemory and the numbers.
    """

    def __init__(
        self,
        verbalizer: Verbalizer,
        *,
        max_rows: int | None = None,
        step_budget_s: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if max_rows is None:
            max_rows = 128 if verbalizer.lm.device.type == "cpu" else 512
        if max_rows < 1:
            raise BadOption(f"max_rows must be at least 1, got {max_rows}.")
        self.verbalizer = verbalizer
        self.step_budget_s = step_budget_s
        self.available_bytes: Callable[[], int] | None = None
        self.decode_steps = 0
        self._clock = clock
        self._tickets: list[Ticket] = []
        self._rows: list[_Row] = []
        self._cache = RowCache()
        self._row_limit = RowLimit(max_rows)
        self._prefill_rate = 0.0
        self._closing_ids = _ids_that_can_close(verbalizer)

    @property
    def rows(self) -> int:
        """Rollouts that are decoding now."""
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """Memory of the keys and values that are kept for rows."""
        return self._cache.nbytes

    @property
    def max_rows(self) -> int:
        """The most rows that decode together; may be set between steps."""
        return self._row_limit.most

    @max_rows.setter
    def max_rows(self, most: int) -> None:
        if most < 1:
            raise BadOption(f"max_rows must be at least 1, got {most}.")
        self._row_limit = RowLimit(most)

    def submit(
        self,
        vectors: Float[Tensor, "vectors d_model"],
        sampling: Sampling,
        position_keys: Sequence[int] | None = None,
    ) -> Ticket:
        """Queue raw vectors. `position_keys` name the noise of each vector (default 0, 1, ...).

        Raises WidthMismatch, BadInput (NaN or infinity), BadOption.
        """
        self.verbalizer.check_vectors(vectors)
        keys = range(len(vectors)) if position_keys is None else position_keys
        if len(keys) != len(vectors):
            raise BadOption(f"{len(keys)} position keys were given for {len(vectors)} vectors.")
        ticket = Ticket(self, vectors, sampling, keys)
        self._tickets.append(ticket)
        return ticket

    def withdraw(self, ticket: Ticket) -> None:
        """Drop everything of a ticket, waiting or running."""
        self._tickets = [other for other in self._tickets if other is not ticket]
        self._drop([index for index, row in enumerate(self._rows) if row.ticket is ticket])

    @torch.no_grad()
    def advance(self) -> bool:
        """One prefill or one decode step for everybody; False when there was nothing to do."""
        admitted = self._choose()
        if admitted:
            self._admit(*admitted)
        elif self._rows:
            start, count = self._clock(), len(self._rows)
            self._decode()
            self._row_limit.observe(count, self._clock() - start, self.step_budget_s)
        else:
            return False
        self._tickets = [ticket for ticket in self._tickets if not ticket.done]
        return True

    def _choose(self) -> tuple[Ticket, list[int]] | None:
        """Waiting vectors of one ticket that may start now."""
        waiting = [ticket for ticket in self._tickets if ticket.waiting]
        if not waiting:
            return None
        ticket = min(waiting, key=lambda ticket: (ticket.running, ticket.tokens))
        rollouts = ticket.sampling.rollouts
        fitting = self._rows_that_fit(ticket)
        room = min(self._row_limit.rows(self.step_budget_s) - len(self._rows), fitting) // rollouts
        if room < 1 and self._rows:
            return None
        if not self._rows and (refusal := self._refusal(ticket)):
            ticket.fail(refusal)
            return self._choose()
        count = min(max(room, 1), len(ticket.waiting), self._prefill_size())
        return ticket, [ticket.waiting.popleft() for _ in range(count)]

    def _rows_that_fit(self, ticket: Ticket) -> int:
        """Rows of this ticket whose keys and values fit into half the available memory."""
        if self.available_bytes is None:
            return self._row_limit.most
        return int(self.available_bytes() / 2 / self._row_bytes(ticket))

    def _row_bytes(self, ticket: Ticket) -> int:
        return self.verbalizer.bytes_per_token * (self.verbalizer.suffix_length + ticket.sampling.max_new_tokens)

    def _refusal(self, ticket: Ticket) -> OutOfDeviceMemory | None:
        """Why not even one vector of this ticket fits; None when one does."""
        sampling = ticket.sampling
        needed = self._row_bytes(ticket) * sampling.rollouts
        if self.available_bytes is None or needed <= (available := self.available_bytes()):
            return None
        return OutOfDeviceMemory(
            f"The keys and values of {sampling.rollouts} rollouts of {sampling.max_new_tokens} tokens need "
            f"{as_size(needed)}, but only {as_size(available)} may be taken on {self.verbalizer.lm.device}.",
            advice=ADVICE,
            needed=needed,
            available=available,
        )

    def _prefill_size(self) -> int:
        """Vectors whose suffixes make one forward that fits the step budget, at the rate seen so far."""
        tokens = 512
        if self.step_budget_s is not None:
            tokens = self._prefill_rate * self.step_budget_s if self._prefill_rate else 64
        return max(1, int(tokens) // self.verbalizer.suffix_length)

    def _admit(self, ticket: Ticket, chosen: list[int]) -> None:
        start = self._clock()
        try:
            prefilled = self.verbalizer.prefill(ticket.vectors[chosen])
            rollouts = ticket.sampling.rollouts
            self._cache.admit(prefilled, rollouts, ticket.sampling.max_new_tokens)
        except Exception as error:
            self._cache.count = len(self._rows)
            ticket.fail(error)
            return
        first = len(self._rows)
        for vector in chosen:
            key = ticket.keys[vector]
            self._rows += [_Row(ticket, vector, n, key, prefilled.length) for n in range(rollouts)]
        ticket.running += len(self._rows) - first
        self._choose_tokens(prefilled.logits.repeat_interleave(rollouts, dim=0), first)
        seconds = self._clock() - start
        self._prefill_rate = len(chosen) * self.verbalizer.suffix_length / max(seconds, 1e-9)

    def _decode(self) -> None:
        lm, rows = self.verbalizer.lm, self._rows
        device = lm.device
        own = torch.tensor([row.length for row in rows], device=device)
        beginning = self.verbalizer.beginning()
        shared = len(beginning) if self.verbalizer.shares_beginning else 0
        last = torch.tensor([[row.ids[-1]] for row in rows], device=device)
        longest = int(own.max()) + 1
        reach = torch.arange(shared + longest, device=device).expand(len(rows), -1)
        visible = reach <= (own + shared)[:, None]
        self._cache.begin(own, longest)
        hidden = self.verbalizer.run(
            lm.embed(last), (own + shared)[:, None], visible[:, None], reach, self._cache, beginning
        )
        for row in rows:
            row.length += 1
        self.decode_steps += 1
        self._choose_tokens(lm.head_logits(hidden[:, -1]).float(), 0)

    def _choose_tokens(self, logits: Float[Tensor, "rows vocab"], first: int) -> None:
        """Draw the next token of every row from `first` on; rows that end leave."""
        rows = self._rows[first:]
        noise = uniform(*(np.array(column) for column in zip(*map(_address, rows), strict=True)))
        options = torch.tensor([(r.ticket.sampling.temperature, r.ticket.sampling.top_p) for r in rows])
        options = options.to(logits.device)
        drawn = draw(logits, torch.from_numpy(noise).to(logits.device), options[:, 0], options[:, 1])
        left = []
        for index, (row, token, tie) in enumerate(zip(rows, drawn.tokens.tolist(), drawn.ties.tolist(), strict=True)):
            if tie:
                row.ties.append(len(row.ids))
            row.ids.append(token)
            row.ticket.tokens += 1
            if ended := self._ended(row, token):
                self._finish(row, ended)
                left.append(first + index)
        self._drop(left)

    def _ended(self, row: _Row, token: int) -> str | None:
        if token in self.verbalizer.end_ids:
            return "end"
        if token in self._closing_ids and EXPLANATION_CLOSE in self._decode_text(row.ids[-_CLOSING_WINDOW:]):
            return "closed"
        return "length" if len(row.ids) >= row.ticket.sampling.max_new_tokens else None

    def _finish(self, row: _Row, ended: str) -> None:
        text = self._decode_text(row.ids[:-1] if ended == "end" else row.ids)
        row.ticket._add(row.vector, row.rollout, RolloutText(tuple(row.ids), text, ended, tuple(row.ties)))

    def _decode_text(self, ids: list[int]) -> str:
        tokenizer = self.verbalizer.tokenizer
        return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _drop(self, leaving: Sequence[int]) -> None:
        """Remove rows; rows from the end move into their places."""
        for index in sorted(leaving, reverse=True):
            self._rows[index].ticket.running -= 1
            last = self._rows.pop()
            if index < len(self._rows):
                self._rows[index] = last
                self._cache.move(len(self._rows), index, last.length)
        self._cache.count = len(self._rows)
        if not self._rows:
            self._cache.release()


def _address(row: _Row) -> tuple[int, int, int, int]:
    """What a row's next noise belongs to."""
    return row.ticket.sampling.seed, row.position_key, row.rollout, len(row.ids)


def _ids_that_can_close(verbalizer: Verbalizer) -> frozenset[int]:
    """Tokens whose text holds the last character of the closing tag."""
    tokenizer = verbalizer.tokenizer
    ids = list(range(min(len(tokenizer), verbalizer.lm.vocab_size)))
    pieces = zip(ids, tokenizer.convert_ids_to_tokens(ids), strict=True)
    return frozenset(token for token, piece in pieces if piece and EXPLANATION_CLOSE[-1] in piece)
