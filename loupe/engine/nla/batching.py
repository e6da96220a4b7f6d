"""Continuous batching: rollouts of any request join between decode steps and leave when they are done.

A `VerbalizerBatch` lives on the device thread, one per loaded verbalizer, and is shared by every job that verbalizes.
A job submits vectors and gets a `Ticket`; whoever is resumed calls `advance`, which does one step *for everybody*: a
prefill of waiting vectors, or one decode step of all rows. Between two steps nothing is patched or open.

Keys and values live in buffers [rows, kv_heads, length, head_dim] per layer that are allocated ahead and written in
place. Rows stay dense: the last row moves into the place of one that leaves, so a step reads no dead row.

A step belongs to everybody, so running out of memory in one does not end whoever asked for it: the rows of the largest
tickets wait again until half are left, and only a vector that is alone and still too large fails its ticket. Nothing is
written down before a step is complete, and noise belongs to (seed, vector, rollout, step), so what is done again says
the same.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from loupe.engine.errors import BadOption
from loupe.engine.failures import is_out_of_memory, settle_failure
from loupe.engine.nla.admission import Admission
from loupe.engine.nla.row_cache import RowCache
from loupe.engine.nla.sampling import Draw, draw
from loupe.engine.nla.ticket import RolloutText, Row, Ticket
from loupe.engine.nla.verbalizer import EXPLANATION_CLOSE, Sampling, Verbalizer
from loupe.engine.randomness import uniform

_CLOSING_WINDOW = 24  # tokens that surely hold the closing tag, whatever the tokenizer


class VerbalizerBatch:
    """All rollouts in progress on one verbalizer. One thread only.

    `max_rows` bounds the rows that decode together, and with them the memory (default: 128 on the CPU, where more rows
    are no faster, else 512). With `step_budget_s` a step is kept within that many seconds: the number of rows grows
    while steps are short and shrinks, by not admitting, when they are long. With `admission.available_bytes` new rows
    take at most half of what it returns. A vector whose rollouts do not fit into all of it, even alone, fails its
    ticket with OutOfDeviceMemory and the numbers.
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
        self.verbalizer = verbalizer
        self.admission = Admission(verbalizer, max_rows, step_budget_s)
        self.decode_steps = 0
        self._clock = clock
        self._tickets: list[Ticket] = []
        self._rows: list[Row] = []
        self._cache = RowCache()
        self._closing_ids = _ids_that_can_close(verbalizer)

    @property
    def rows(self) -> int:
        """Rollouts that are decoding now."""
        return len(self._rows)

    @property
    def nbytes(self) -> int:
        """Memory of the keys and values that are kept for rows."""
        return self._cache.nbytes

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
        if not self._tickets:
            self.admission.nobody_is_here()
        ticket = Ticket(vectors, sampling, keys, self._withdraw)
        self._tickets.append(ticket)
        return ticket

    @torch.no_grad()
    def advance(self) -> bool:
        """One prefill or one decode step for everybody; False when there was nothing to do."""
        admitted = self.admission.choose(self._tickets, len(self._rows))
        if admitted:
            self._admit(*admitted)
        elif self._rows:
            self._step()
        else:
            return False
        self._tickets = [ticket for ticket in self._tickets if not ticket.done]
        return True

    def _admit(self, ticket: Ticket, chosen: list[int]) -> None:
        start = self._clock()
        try:
            rows, drawn = self._prefill(ticket, chosen)
        except Exception as error:
            self._cache.count = len(self._rows)
            if not self._rows:
                self._cache.release()
            self._not_admitted(ticket, chosen, error)
            return
        first = len(self._rows)
        self._rows += rows
        ticket.running += len(rows)
        self._take(drawn, first)
        self.admission.observe_prefill(len(chosen), self._clock() - start)

    def _prefill(self, ticket: Ticket, chosen: list[int]) -> tuple[list[Row], Draw]:
        prefilled = self.verbalizer.prefill(ticket.vectors[chosen])
        rollouts = ticket.sampling.rollouts
        self._cache.admit(prefilled, rollouts, ticket.sampling.max_new_tokens)
        rows = [Row(ticket, vector, number, prefilled.length) for vector in chosen for number in range(rollouts)]
        return rows, _draw(prefilled.logits.repeat_interleave(rollouts, dim=0), rows)

    def _not_admitted(self, ticket: Ticket, chosen: list[int], error: Exception) -> None:
        """Vectors for which there was no memory try again in a smaller group, or when others have left."""
        rollouts, is_alone = ticket.sampling.rollouts, len(chosen) == 1 and not self._rows
        scarce = is_out_of_memory(error)
        settled = settle_failure(error, _said(ticket), self.verbalizer.lm.device)
        if is_alone or not scarce:
            ticket.fail(settled)
            return
        ticket.wait_again(chosen)
        self.admission.lower(len(self._rows) + len(chosen) // 2 * rollouts)

    def _step(self) -> None:
        start, count = self._clock(), len(self._rows)
        try:
            drawn = self._decode()
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._give_way(error)
            return
        for row in self._rows:
            row.length += 1
        self.decode_steps += 1
        self._take(drawn, 0)
        self.admission.observe_step(count, self._clock() - start)

    def _decode(self) -> Draw:
        """The next token of every row; only the cache is written, at places that a repetition writes again."""
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
        return _draw(lm.head_logits(hidden[:, -1]).float(), rows)

    def _give_way(self, error: Exception) -> None:
        """Memory ended in a decode step: half of the rows wait again, those of the largest tickets first."""
        largest = self._largest()
        settled = settle_failure(error, _said(largest), self.verbalizer.lm.device)
        half = len(self._rows) // 2
        if not self._has_company():
            largest.fail(settled)
            return
        while len(self._rows) > half and self._has_company():
            self._give_back(self._largest())
        self.admission.lower(half)
        self._cache.trim()

    def _largest(self) -> Ticket:
        return max((row.ticket for row in self._rows), key=lambda ticket: ticket.running)

    def _has_company(self) -> bool:
        first = self._rows[0]
        return any(row.ticket is not first.ticket or row.vector != first.vector for row in self._rows)

    def _give_back(self, ticket: Ticket) -> None:
        """The vector of a ticket that has least to lose waits again."""
        made: Counter[int] = Counter()
        for row in self._rows:
            if row.ticket is ticket:
                made[row.vector] += len(row.ids)
        vector = min(made, key=made.__getitem__)
        self._drop([i for i, row in enumerate(self._rows) if row.ticket is ticket and row.vector == vector])
        ticket.wait_again([vector])

    def _take(self, drawn: Draw, first: int) -> None:
        """Give every row from `first` on its next token; rows that end leave."""
        left = []
        tokens = zip(self._rows[first:], drawn.tokens.tolist(), drawn.ties.tolist(), strict=True)
        for index, (row, token, tie) in enumerate(tokens):
            if tie:
                row.ties.append(len(row.ids))
            row.ids.append(token)
            row.ticket.tokens += 1
            if ended := self._ended(row, token):
                self._finish(row, ended)
                left.append(first + index)
        self._drop(left)

    def _ended(self, row: Row, token: int) -> str | None:
        if token in self.verbalizer.end_ids:
            return "end"
        if token in self._closing_ids and EXPLANATION_CLOSE in self._decode_text(row.ids[-_CLOSING_WINDOW:]):
            return "closed"
        return "length" if len(row.ids) >= row.ticket.sampling.max_new_tokens else None

    def _finish(self, row: Row, ended: str) -> None:
        text = self._decode_text(row.ids[:-1] if ended == "end" else row.ids)
        row.ticket.add(row.vector, row.rollout, RolloutText(tuple(row.ids), text, ended, tuple(row.ties)))

    def _decode_text(self, ids: list[int]) -> str:
        tokenizer = self.verbalizer.tokenizer
        return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))

    def _withdraw(self, ticket: Ticket) -> None:
        """Drop everything of a ticket, waiting or running."""
        self._tickets = [other for other in self._tickets if other is not ticket]
        self._drop([index for index, row in enumerate(self._rows) if row.ticket is ticket])

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


def _draw(logits: Float[Tensor, "rows vocab"], rows: Sequence[Row]) -> Draw:
    """The next token of each row, by its own sampling and its own noise."""
    noise = uniform(*(np.array(column) for column in zip(*(row.address for row in rows), strict=True)))
    options = torch.tensor([(row.ticket.sampling.temperature, row.ticket.sampling.top_p) for row in rows])
    options = options.to(logits.device)
    return draw(logits, torch.from_numpy(noise).to(logits.device), options[:, 0], options[:, 1])


def _said(ticket: Ticket) -> str:
    return f"{ticket.sampling.rollouts} rollouts of {ticket.sampling.max_new_tokens} tokens"


def _ids_that_can_close(verbalizer: Verbalizer) -> frozenset[int]:
    """Tokens whose text holds the last character of the closing tag."""
    tokenizer = verbalizer.tokenizer
    ids = list(range(min(len(tokenizer), verbalizer.lm.vocab_size)))
    pieces = zip(ids, tokenizer.convert_ids_to_tokens(ids), strict=True)
    return frozenset(token for token, piece in pieces if piece and EXPLANATION_CLOSE[-1] in piece)
