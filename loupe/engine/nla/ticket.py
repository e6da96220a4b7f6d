"""A request in a batch of rollouts: its vectors, those of them that wait, run or are finished, and how it failed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from loupe.engine.nla.verbalizer import Sampling


@dataclass(frozen=True, slots=True)
class RolloutText:
    """One finished rollout: its ids (an end token included, if it ended by one), its text, why it ended, and the steps
    at which rounding could have chosen another token."""

    ids: tuple[int, ...]
    text: str
    ended: str
    ties: tuple[int, ...]


@dataclass(slots=True, eq=False)
class Row:
    """A rollout in progress. `length` counts its cached tokens."""

    ticket: Ticket
    vector: int
    rollout: int
    length: int
    ids: list[int] = field(default_factory=list)
    ties: list[int] = field(default_factory=list)

    @property
    def address(self) -> tuple[int, int, int, int]:
        """What its next noise belongs to."""
        return self.ticket.sampling.seed, self.ticket.keys[self.vector], self.rollout, len(self.ids)


class Ticket:
    """One request in the batch: which of its vectors are finished, and their rollouts. `close` withdraws it."""

    def __init__(
        self, vectors: Tensor, sampling: Sampling, keys: Sequence[int], withdraw: Callable[[Ticket], None]
    ) -> None:
        self.sampling = sampling
        self.vectors = vectors
        self.keys = tuple(keys)
        self.waiting = deque(range(len(vectors)))
        self.running = 0
        self.tokens = 0
        self._withdraw = withdraw
        self._rollouts: dict[int, dict[int, RolloutText]] = {index: {} for index in range(len(vectors))}
        self._finished: deque[int] = deque()
        self._open = len(vectors)
        self._failure: BaseException | None = None

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
        """Raise what went wrong while this ticket's vectors were run; others in the batch never see it."""
        if self._failure is not None:
            raise self._failure

    def close(self) -> None:
        """Leave the batch: nothing more is computed for this ticket. Harmless when repeated."""
        self.waiting.clear()
        self._withdraw(self)

    def fail(self, error: BaseException) -> None:
        """Leave the batch because of an error, which its owner gets at the next `raise_if_failed`."""
        self._failure = error
        self.close()

    def add(self, vector: int, number: int, rollout: RolloutText) -> None:
        """A rollout is finished."""
        self._rollouts[vector][number] = rollout
        if len(self._rollouts[vector]) == self.sampling.rollouts:
            self._finished.append(vector)
            self._open -= 1

    def wait_again(self, vectors: Sequence[int]) -> None:
        """Vectors that were begun wait again, before the others; their noise, and so their words, stay the same."""
        for vector in vectors:
            self._rollouts[vector].clear()
        self.waiting.extendleft(reversed(vectors))
