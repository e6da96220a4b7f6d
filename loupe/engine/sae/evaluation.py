"""How good an SAE is on held-out text: one card, every number with its definition here and in the glossary.

- Explained variance: 1 - sum |y - y_hat|^2 / sum |y - y_mean|^2, y_mean per dimension over *all* evaluated tokens, sums
  in double precision. The mean predictor scores 0, a constant error costs what it costs, the scale does not matter.
- Tokens that training leaves out (special, repeated context, the first of a row) keep their own activation when the
  SAE is put into the model, and count nowhere but in the cross-entropies.
- CE recovered: (CE_zero - CE_sae) / (CE_zero - CE_clean), zero being 0 in place of the activation; KL recovered:
  (KL_zero - KL_sae) / KL_zero, KL(clean || changed) over the whole vocabulary. The three CEs are on the card, since a
  destroyed model makes every ratio look good.
- Shrinkage: E|y_hat|^2 / E<y, y_hat> (arXiv 2404.16014, eq. 10): 1 is unbiased, less is too short.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from loupe.engine.data.rows import TokenRows
from loupe.engine.errors import BadInput, WidthMismatch
from loupe.engine.models.hooks import Change, HookPoint, capture, intervene
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.nla.replacement import kl_divergence
from loupe.engine.sae.measures import density_histogram
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.stream import Drop

LOGIT_ELEMENTS = 1 << 26  # logits of one forward, in numbers
PRODUCTS = 1 << 30  # multiplications of one forward on a CPU: tens of milliseconds


@dataclass(frozen=True, slots=True)
class EvaluationCard:
    """What an SAE does on held-out text; a number that has no meaning here is None.

    `tokens` were reconstructed, `predictions` are behind the CEs and KLs (in nats per token). `mse` is the mean over
    tokens of the squared error summed over dimensions. `dead_share` counts latents that fired on none of the tokens;
    `density` is their number by log10 of how often they fire (never; then bins of 0.25 from -7 to 0).
    """

    tokens: int
    predictions: int
    explained_variance: float | None
    mse: float
    l0: float
    dead_share: float
    density: tuple[int, ...]
    above_1_percent: float
    above_10_percent: float
    shrinkage: float | None
    norm_ratio: float | None
    ce_clean: float
    ce_sae: float
    ce_zero: float
    ce_recovered: float | None
    kl_sae: float
    kl_zero: float
    kl_recovered: float | None

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as JSON keeps them."""
        return asdict(self)


def evaluate(
    lm: LanguageModel,
    sae: SAE,
    reads: HookPoint | Sequence[HookPoint],
    rows: TokenRows,
    *,
    writes: HookPoint | Sequence[HookPoint] = (),
    drop: Drop | None = None,
    forward_tokens: int | None = None,
) -> Generator[None, None, EvaluationCard]:
    """Judge an SAE on rows that it was not trained on; yields between forwards, with no hook open.

    `writes` is where a transcoder's output goes; by default what is read. Raises BadInput when no token is left,
    WidthMismatch, LayerOutOfRange.
    """
    reads = (reads,) if isinstance(reads, HookPoint) else tuple(reads)
    writes = ((writes,) if isinstance(writes, HookPoint) else tuple(writes)) or reads
    if (sae.d_in, sae.d_out) != (len(reads) * lm.d_model, len(writes) * lm.d_model):
        raise WidthMismatch(
            f"An SAE from {sae.d_in} to {sae.d_out} does not fit {len(reads)} hook point(s) of width {lm.d_model}."
        )
    sae = sae.to(lm.device)
    tally = _Tally(sae)
    budget = forward_tokens or _tokens_at_once(lm, sae)
    for ids, real, keep in _batches(rows, drop or Drop(), budget):
        clean, store = _clean(lm, ids, (*reads, *writes))
        yield
        x = torch.cat([store[point] for point in reads], dim=-1)
        y = x if reads == writes else torch.cat([store[point] for point in writes], dim=-1)
        rebuilt = _reconstruct(sae, x, y, keep, tally)
        yield
        for place, value in ((tally.replaced, rebuilt), (tally.zeroed, torch.zeros_like(rebuilt))):
            _compare(lm, ids, real, keep, clean, writes, value, place)
            yield
        tally.add_clean(clean, ids, real)
    return tally.card()


def explained_variance(y: Float[Tensor, "rows d"], rebuilt: Float[Tensor, "rows d"]) -> float | None:
    """The definition on whole tensors. None where the rows do not vary."""
    y, rebuilt = y.double(), rebuilt.double()
    spread = (y - y.mean(0)).square().sum()
    return None if float(spread) == 0 else float(1 - (y - rebuilt).square().sum() / spread)


def _tokens_at_once(lm: LanguageModel, sae: SAE) -> int:
    most = min(2048, LOGIT_ELEMENTS // lm.vocab_size)
    if lm.device.type == "cpu":
        weights = sum(weight.numel() for module in (lm.model, sae) for weight in module.parameters())
        most = min(most, PRODUCTS // weights)
    return max(1, most)


class _Tally:
    """Sums over all batches, in double precision."""

    def __init__(self, sae: SAE) -> None:
        self.sae = sae
        self.tokens = self.predictions = 0
        self.centre: Tensor | None = None
        self.sums = torch.zeros(6, dtype=torch.float64)  # |error|^2, |y-c|^2, |y_hat|^2, <y, y_hat>, norm ratio, L0
        self.shift = torch.zeros(sae.d_out, dtype=torch.float64)
        self.fired = torch.zeros(sae.d_sae, dtype=torch.int64)
        self.ce_clean = 0.0
        self.replaced = torch.zeros(2, dtype=torch.float64)  # CE, KL
        self.zeroed = torch.zeros(2, dtype=torch.float64)

    def add(self, y: Tensor, rebuilt: Tensor, acts: Tensor) -> None:
        if self.centre is None and len(y):
            self.centre = y.mean(0).double()
        y, rebuilt = y.double(), rebuilt.double()
        centre = self.centre if self.centre is not None else 0
        parts = (
            (y - rebuilt).square().sum(),
            (y - centre).square().sum(),
            rebuilt.square().sum(),
            (y * rebuilt).sum(),
            (rebuilt.norm(dim=1) / y.norm(dim=1).clamp(min=1e-12)).sum(),
            (acts != 0).sum().double(),
        )
        self.sums += torch.stack(parts).cpu()
        self.shift += (y - centre).sum(0).cpu()
        self.fired += (acts != 0).sum(0).cpu()
        self.tokens += len(y)

    @torch.no_grad()
    def add_clean(self, clean: Tensor, ids: Tensor, real: Tensor) -> None:
        nll, count = _nll(clean, ids, real)
        self.ce_clean += nll
        self.predictions += count

    def card(self) -> EvaluationCard:
        if self.tokens == 0:
            raise BadInput("No token is left to evaluate on: all are special, repeated, or first in their row.")
        error, spread, length, product, ratio, active = self.sums.tolist()
        spread -= float(self.shift.square().sum()) / self.tokens
        n, predictions = self.tokens, max(1, self.predictions)
        ce_clean, (ce_sae, kl_sae), (ce_zero, kl_zero) = (
            self.ce_clean / predictions,
            (self.replaced / predictions).tolist(),
            (self.zeroed / predictions).tolist(),
        )
        shares = self.fired.double() / n
        return EvaluationCard(
            tokens=n,
            predictions=self.predictions,
            explained_variance=1 - error / spread if spread > 0 else None,
            mse=error / n,
            l0=active / n,
            dead_share=float((self.fired == 0).double().mean()),
            density=density_histogram(self.fired, n),
            above_1_percent=float((shares > 0.01).double().mean()),
            above_10_percent=float((shares > 0.1).double().mean()),
            shrinkage=length / product if product > 0 else None,
            norm_ratio=ratio / n,
            ce_clean=ce_clean,
            ce_sae=ce_sae,
            ce_zero=ce_zero,
            ce_recovered=_share(ce_zero - ce_sae, ce_zero - ce_clean),
            kl_sae=kl_sae,
            kl_zero=kl_zero,
            kl_recovered=_share(kl_zero - kl_sae, kl_zero),
        )


def _share(part: float, whole: float) -> float | None:
    """A ratio that means something only where zeroing hurts."""
    return part / whole if whole > 1e-9 else None


@torch.no_grad()
def _clean(
    lm: LanguageModel, ids: Int[Tensor, "batch seq"], points: Sequence[HookPoint]
) -> tuple[Float[Tensor, "batch seq vocab"], dict[HookPoint, Tensor]]:
    with capture(lm, points) as store:
        logits = lm.logits(ids)
    return logits, store


@torch.no_grad()
def _reconstruct(sae: SAE, x: Tensor, y: Tensor, keep: Bool[Tensor, "batch seq"], tally: _Tally) -> Tensor:
    """What goes back into the model: the reconstruction where tokens count, the activation itself elsewhere."""
    keep = keep.to(x.device)
    rows = x[keep].float()
    acts = sae.encode(rows)
    rebuilt = sae.decode(acts) + (sae.skip(rows) if sae.config.has_skip else 0)
    tally.add(y[keep], rebuilt, acts)
    whole = y.clone()
    whole[keep] = rebuilt.to(y.dtype)
    return whole


@torch.no_grad()
def _compare(
    lm: LanguageModel,
    ids: Tensor,
    real: Tensor,
    keep: Tensor,
    clean: Tensor,
    writes: Sequence[HookPoint],
    value: Tensor,
    sums: Tensor,
) -> None:
    """Add CE and KL of the model with `value` in place of what the hook points hold, at the tokens that count."""
    changed = keep.to(value.device)[..., None]
    with ExitStack() as hooks:
        for point, part in zip(writes, value.split(lm.d_model, dim=-1), strict=True):
            hooks.enter_context(intervene(lm, point, _put(part, changed)))
        logits = lm.logits(ids)
    nll, _ = _nll(logits, ids, real)
    scored = real[:, 1:].to(logits.device)
    kl = kl_divergence(clean[:, :-1][scored], logits[:, :-1][scored])
    sums += torch.tensor([nll, float(kl.double().sum())], dtype=torch.float64)


def _put(value: Tensor, where: Tensor) -> Change:
    return lambda hidden: torch.where(where, value, hidden)


def _nll(logits: Tensor, ids: Tensor, real: Tensor) -> tuple[float, int]:
    """Summed negative log-likelihood of the next tokens, and how many there are."""
    scored = real[:, 1:].to(logits.device)
    targets = ids[:, 1:].to(logits.device)[scored]
    nll = F.cross_entropy(logits[:, :-1][scored].float(), targets, reduction="sum")
    return float(nll.double()), int(scored.sum())


def _batches(rows: TokenRows, drop: Drop, tokens: int) -> Generator[tuple[Tensor, Tensor, Tensor], None, None]:
    """Rows of similar length together: ids, which are real, and which count; padded on the right."""
    order = sorted(range(len(rows)), key=lambda row: (int(rows.lengths[row]), row))
    batch: list[int] = []
    for row in order:
        length = int(rows.lengths[row])
        if batch and (len(batch) + 1) * length > tokens:
            yield _padded(rows, batch, drop)
            batch = []
        if length:
            batch.append(row)
    if batch:
        yield _padded(rows, batch, drop)


def _padded(rows: TokenRows, batch: list[int], drop: Drop) -> tuple[Tensor, Tensor, Tensor]:
    width = max(int(rows.lengths[row]) for row in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.int64)
    real = torch.zeros(len(batch), width, dtype=torch.bool)
    keep = torch.zeros(len(batch), width, dtype=torch.bool)
    for index, row in enumerate(batch):
        length = int(rows.lengths[row])
        ids[index, :length] = torch.from_numpy(rows.ids(row))
        real[index, :length] = True
        keep[index, :length] = torch.from_numpy((rows.flags_of(row) & drop.flags) == 0)
    keep[:, : drop.first] = False
    return ids, real, keep
