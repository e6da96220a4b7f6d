"""Activations as an endless stream of shuffled rows, the same for however many SAEs read it.

    stream = ActivationStream(lm, rows, [HookPoint(3), HookPoint(5)], seed=0, buffer_rows=65_536)
    for _ in (steps := stream.next_batch(4096)): ...        # or: batch = yield from ..., inside a job
    batch[HookPoint(3)]                                      # [4096, d_model]

Choices:

- Row order of the text is a permutation per epoch, activations are shuffled again in blocks of `buffer_rows`; both are
  functions of (seed, epoch) and (seed, block). So the order is a function of (seed, step), and `state()` is a few
  numbers: where the filling of the current block began, and how many of its rows were read. Restoring fills that
  block again, from the same batches of text, hence with the same bits.
- One forward serves all hook points; a token is kept at all of them or at none, so that a crosscoder's or transcoder's
  rows belong together. It ends at the last block needed.
- A block ends with the epoch, so that an epoch has every token once. Text that fits into the buffer as a whole runs
  through the model once; later epochs shuffle what is there.
- Padding is never in: rows of similar length share a batch, and only real tokens leave it. Special tokens, first
  positions (attention sinks), overlap and outlier norms are dropped as `Drop` says, and counted.
- An outlier's norm is more than `norm_factor` times the median of its batch of text, at any of the hook points: no
  state, so resuming changes nothing (the rule of dictionary_learning and SAEDashboard, with a median).
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from loupe.engine.data.rows import TokenFlag, TokenRows
from loupe.engine.errors import BadInput, BadOption
from loupe.engine.models.hooks import HookPoint
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.pieces import Activations, PiecewiseForward
from loupe.engine.randomness import seed_of
from loupe.engine.sae.buffer import Rows, ShuffleBuffer

Steps = Generator[None, None, Rows]
BLOCK_PRODUCTS = 1 << 30  # multiplications of a block on a CPU, tens of milliseconds; fp16 takes four times as long
_SORTED_TOGETHER = 64  # batches of text whose rows are sorted by length before they are cut into batches


@runtime_checkable
class RowStream(Protocol):
    """What a trainer reads: rows of activations at `points`, all of width `d_in`, without an end."""

    points: tuple[HookPoint, ...]
    d_in: int

    @property
    def filling(self) -> tuple[int, int]:
        """Rows that the present block holds by now, and how many it can hold."""
        ...

    def next_batch(self, rows: int) -> Generator[None, None, Rows]:
        """Exactly `rows` rows for every hook point; yields where a slice of the device may end."""
        ...

    def state(self) -> dict[str, Any]:
        """Where the stream stands, as plain JSON."""
        ...

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state: the next batch is the one that would have come."""
        ...


@dataclass(frozen=True, slots=True)
class Drop:
    """Which tokens are left out: special ones, the first `first` of each row, repeated context, template, outliers."""

    special: bool = True
    first: int = 1
    overlap: bool = True
    template: bool = False
    norm_factor: float | None = 10.0

    @property
    def flags(self) -> int:
        """The token flags that lead to being dropped."""
        wanted = (
            (self.special, TokenFlag.SPECIAL),
            (self.overlap, TokenFlag.OVERLAP),
            (self.template, TokenFlag.TEMPLATE),
        )
        return int(sum(flag for on, flag in wanted if on))


@dataclass(slots=True)
class Counts:
    """Tokens that went through the model, by what became of them; a token is counted under the first reason."""

    seen: int = 0
    kept: int = 0
    first: int = 0
    flagged: int = 0
    outlier: int = 0


class Blocks:
    """Serving batches from a buffer that somebody fills block by block.

    `block` counts blocks: it is the one being read, or the one to be filled next, and `_skip` how much of that one was
    read before a restart.
    """

    def __init__(self, points: Sequence[HookPoint], d_in: int, seed: int) -> None:
        self.points = tuple(dict.fromkeys(points))
        self.d_in = d_in
        self.seed = seed
        self.block = 0
        self._skip = 0
        self._buffer: ShuffleBuffer

    @property
    def filling(self) -> tuple[int, int]:
        """Rows that the present block holds by now, and how many it can hold."""
        return self._buffer.filled, self._buffer.capacity

    def next_batch(self, rows: int) -> Steps:
        """Exactly `rows` rows for every hook point; yields where a slice of the device may end."""
        if rows < 1:
            raise BadOption(f"A batch has at least one row; {rows} were asked for.")
        parts: list[Rows] = []
        missing = rows
        while missing:
            part = yield from self.next_part(missing)
            missing -= len(part[self.points[0]])
            parts.append(part)
        return parts[0] if len(parts) == 1 else {point: torch.cat([p[point] for p in parts]) for point in self.points}

    def next_part(self, most: int) -> Steps:
        """One to `most` rows, all of one block."""
        if self._buffer.left == 0:
            yield from self._next_block()
        return self._buffer.take(most)

    def _next_block(self) -> Generator[None, None, None]:
        self.block += self._buffer.filled > 0
        self._buffer.clear()
        yield from self._fill()
        self._buffer.shuffle(self.seed, self.block)
        self._buffer.offset, self._skip = self._skip, 0

    def _fill(self) -> Generator[None, None, None]:
        raise NotImplementedError

    def _position(self) -> dict[str, int]:
        """The block that the next row comes from, and how many of its rows came already."""
        if self._buffer.filled and not self._buffer.left:
            return {"block": self.block + 1, "offset": 0}
        return {"block": self.block, "offset": self._buffer.offset if self._buffer.filled else self._skip}

    def _go_to(self, state: Mapping[str, Any]) -> None:
        self._buffer.clear()
        self.block, self._skip = state["block"], state["offset"]

    @property
    def nbytes(self) -> int:
        """Bytes of the buffer."""
        return self._buffer.nbytes

    @property
    def device(self) -> torch.device:
        """Where the rows are served."""
        return self._buffer.device


class MemoryRows(Blocks):
    """Rows that are in memory already: each epoch is one block, read in its own order.

    `rows` is one tensor, or one per hook point with equal lengths. Raises BadInput (no rows, unequal lengths).
    """

    def __init__(
        self, rows: Float[Tensor, "n d_in"] | Mapping[HookPoint, Tensor], seed: int = 0, point: HookPoint | None = None
    ) -> None:
        given = {point or HookPoint(0): rows} if isinstance(rows, Tensor) else dict(rows)
        sizes = {tuple(each.shape) for each in given.values()}
        if len(sizes) != 1 or 0 in next(iter(sizes)):
            raise BadInput(f"Rows must be there and alike at every hook point; got shapes {sorted(sizes)}.")
        count, d_in = next(iter(sizes))
        super().__init__(list(given), d_in, seed)
        first = next(iter(given.values()))
        self._buffer = ShuffleBuffer(self.points, count, d_in, first.dtype, first.device, held=given)

    def _fill(self) -> Generator[None, None, None]:
        self._buffer.filled = self._buffer.capacity
        return
        yield

    def state(self) -> dict[str, Any]:
        """Epoch and offset."""
        return {"kind": "memory", "seed": self.seed, **self._position()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state. Raises BadOption for one of another stream."""
        check_state(state, {"kind": "memory", "seed": self.seed})
        self._go_to(state)


class ActivationStream(Blocks):
    """Activations of a model at hook points, for every token of `rows` that `drop` keeps, epoch after epoch.

    `buffer_rows` is how many tokens are shuffled together; `forward_tokens` how many run through the model at once
    (default: on a CPU 2048, fewer where a block would take longer than a slice; 16384 elsewhere). Raises BadOption (no
    hook point, buffer too small), LayerOutOfRange, BadInput (no token is left after dropping; activations that are not
    finite).
    """

    def __init__(
        self,
        lm: LanguageModel,
        rows: TokenRows,
        points: Sequence[HookPoint],
        *,
        seed: int = 0,
        buffer_rows: int = 65_536,
        forward_tokens: int | None = None,
        drop: Drop | None = None,
        dtype: torch.dtype | None = None,
        piece_s: float = 0.05,
    ) -> None:
        super().__init__(points, lm.d_model, seed)
        self.lm, self.rows, self.drop = lm, rows, drop or Drop()
        self.forward = PiecewiseForward(lm, self.points, piece_s=piece_s)
        longest = int(rows.lengths.max())
        self.forward_tokens = max(longest, forward_tokens or _tokens_at_once(lm))
        if buffer_rows < self.forward_tokens:
            raise BadOption(
                f"The buffer of {buffer_rows} rows cannot hold one batch of {self.forward_tokens} tokens. "
                "Give it more rows, or shorten the rows of text."
            )
        _check_fits(lm, rows, longest)
        self._buffer = ShuffleBuffer(self.points, buffer_rows, lm.d_model, dtype or lm.torch_dtype, lm.device)
        self._fits = rows.n_tokens + self.forward_tokens <= buffer_rows
        self._place = (0, 0)  # epoch and batch of text that come next
        self._plan: Iterator[tuple[tuple[int, int], list[int]]] = self._batches(self._place)
        self._counts = Counts()
        self._block_start = (self._place, asdict(self._counts))

    @property
    def counts(self) -> Counts:
        """What became of the tokens so far."""
        return self._counts

    @property
    def epoch(self) -> int:
        """How many times the text ran through the model to its end."""
        return self._place[0]

    @property
    def at_epoch_end(self) -> bool:
        """Whether the next row begins another epoch."""
        return self._buffer.left == 0 and self._buffer.filled > 0 and self._place[1] == 0

    def state(self) -> dict[str, Any]:
        """Where the current block began, and how much of it was read."""
        position = self._position()
        inside = position["block"] == self.block
        place, counts = self._block_start if inside else (self._place, asdict(self._counts))
        return {
            **self._identity(),
            **position,
            "forward_tokens": self.forward_tokens,
            "place": list(place),
            "counts": counts,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state: the block it was in is computed again. Raises BadOption for one of another stream."""
        check_state(state, self._identity())
        self.forward_tokens = state["forward_tokens"]
        self._go_to(state)
        self._place = (state["place"][0], state["place"][1])
        self._counts = Counts(**state["counts"])
        self._block_start = (self._place, asdict(self._counts))
        self._plan = self._batches(self._place)

    def _identity(self) -> dict[str, Any]:
        return {
            "kind": "activations",
            "seed": self.seed,
            "rows": self.rows.fingerprint,
            "points": [str(point) for point in self.points],
            "buffer_rows": self._buffer.capacity,
            "drop": asdict(self.drop),
        }

    def _next_block(self) -> Generator[None, None, None]:
        if self._fits and self._buffer.filled:
            self.block += 1
            self._buffer.shuffle(self.seed, self.block)
            return
        yield from super()._next_block()

    def _fill(self) -> Generator[None, None, None]:
        self._block_start = (self._place, asdict(self._counts))
        epoch = self.epoch
        while self._buffer.room >= self.forward_tokens and self.epoch == epoch:
            place, batch = next(self._plan)
            kept = yield from self._batch(batch)
            self._buffer.add(kept)
            self._place = place
            yield
        if not self._buffer.filled:
            raise BadInput(
                f"None of the {self.rows.n_tokens} tokens is left: {self._counts.first} were first in their row, "
                f"{self._counts.flagged} special or repeated, {self._counts.outlier} outliers. "
                "Use longer rows, or drop less."
            )

    def _batch(self, batch: list[int]) -> Generator[None, None, Rows]:
        ids, real = _padded([self.rows.ids(row) for row in batch])
        found = yield from self.forward.steps(ids)
        keep = self._kept(batch, real, found)
        index = keep.flatten().nonzero().squeeze(1).to(self.lm.device)
        return {point: found[point].flatten(0, 1).index_select(0, index) for point in self.points}

    def _kept(self, batch: list[int], real: Tensor, found: Activations) -> Bool[Tensor, "batch seq"]:
        counts, before = self._counts, int(real.sum())
        later = real.clone()
        later[:, : self.drop.first] = False
        unflagged = later & (_padded([self.rows.flags_of(row) for row in batch])[0] & self.drop.flags == 0)
        keep = unflagged
        if self.drop.norm_factor is not None:
            for point in self.points:
                keep = keep & _usual(found[point], unflagged, self.drop.norm_factor)
        after_first, after_flags, kept = int(later.sum()), int(unflagged.sum()), int(keep.sum())
        counts.seen += before
        counts.first += before - after_first
        counts.flagged += after_first - after_flags
        counts.outlier += after_flags - kept
        counts.kept += kept
        return keep

    def _batches(self, place: tuple[int, int]) -> Iterator[tuple[tuple[int, int], list[int]]]:
        """Batches of row numbers from `place` on, each with the place after it."""
        epoch, skip = place
        while True:
            batches = enumerate(self._epoch(0 if self._fits else epoch), start=1)
            current = next((each for each in batches if each[0] > skip), None)
            while current is not None:
                following = next(batches, None)
                yield (epoch, current[0]) if following else (epoch + 1, 0), current[1]
                current = following
            epoch, skip = epoch + 1, 0

    def _epoch(self, epoch: int) -> Iterator[list[int]]:
        order = np.random.default_rng(seed_of(self.seed, "epoch", epoch)).permutation(len(self.rows))
        lengths = self.rows.lengths
        together = max(1, _SORTED_TOGETHER * self.forward_tokens // max(1, int(lengths.mean())))
        for start in range(0, len(order), together):
            chunk = order[start : start + together]
            yield from _cut(chunk[np.argsort(lengths[chunk], kind="stable")], lengths, self.forward_tokens)


def _tokens_at_once(lm: LanguageModel) -> int:
    """A forward is cut between blocks (`PiecewiseForward`), so that one block is the least it takes at once."""
    if lm.device.type != "cpu":
        return 16_384
    per_block = sum(weight.numel() for weight in lm.model.parameters()) // lm.n_layers
    products = BLOCK_PRODUCTS if lm.torch_dtype is not torch.float16 else BLOCK_PRODUCTS // 4
    return max(64, min(2048, products // max(1, per_block)))


def _cut(rows: np.ndarray, lengths: np.ndarray, tokens: int) -> Iterator[list[int]]:
    """Rows of ascending length in batches of at most `tokens` tokens, padding included."""
    batch: list[int] = []
    for row in rows.tolist():
        if batch and (len(batch) + 1) * int(lengths[row]) > tokens:
            yield batch
            batch = []
        if lengths[row]:
            batch.append(row)
    if batch:
        yield batch


def _padded(rows: Sequence[np.ndarray]) -> tuple[Tensor, Bool[Tensor, "batch seq"]]:
    """Rows side by side, zeros to the right; causal attention never looks at those."""
    table = np.zeros((len(rows), max(len(row) for row in rows)), dtype=np.int64)
    real = np.zeros(table.shape, dtype=bool)
    for index, row in enumerate(rows):
        table[index, : len(row)] = row
        real[index, : len(row)] = True
    return torch.from_numpy(table), torch.from_numpy(real)


def _usual(
    found: Float[Tensor, "batch seq d"], among: Bool[Tensor, "batch seq"], factor: float
) -> Bool[Tensor, "batch seq"]:
    norms = torch.linalg.vector_norm(found, dim=-1, dtype=torch.float32).cpu()
    if not among.any():
        return among
    limit = factor * norms[among].median()
    return ~(norms > limit)  # a norm that is not a number is no outlier: the buffer refuses it with its reason


def _check_fits(lm: LanguageModel, rows: TokenRows, longest: int) -> None:
    if lm.max_tokens is not None and longest > lm.max_tokens:
        raise BadInput(f"A row has {longest} tokens and this model reads at most {lm.max_tokens}: tokenise shorter.")
    if rows.n_tokens and int(rows.tokens.max()) >= lm.vocab_size:
        raise BadInput(
            f"The rows hold token {int(rows.tokens.max())}, and this model's vocabulary ends at {lm.vocab_size - 1}: "
            "they were made with another tokenizer."
        )


def check_state(state: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Raises BadOption when a state belongs to another stream."""
    for name, value in identity.items():
        if state.get(name) != value:
            raise BadOption(
                f"This state is of another stream: its {name} is {state.get(name)!r}, here it is {value!r}."
            )
