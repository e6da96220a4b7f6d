"""The reconstructor: from an explanation's words back to an activation.

Choices:

- The model is a trunk: K + 1 blocks, no final norm, no vocabulary head, and a bias-free d x d value head read at the
  last token. Nothing above block K exists, so nothing above it runs.
- Texts are tokenised with special tokens (a lost BOS ruins everything) and run as one trie (`tree.py`): the template,
  equal texts and the common beginnings of a text and its variants are computed once, and nothing is padded.
- The keys and values of the template's beginning are kept between calls, and dropped when a weight changes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import torch
from jaxtyping import Float
from safetensors.torch import load_file
from torch import Tensor

from loupe.engine.errors import CorruptFile, DepthDrift, SidecarUnreadable, TokenizerDrift, UnknownFormat, WidthMismatch
from loupe.engine.jobs import Steps, finished
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import Place, Where, load_trunk_steps
from loupe.engine.models.weights import check_safetensors, refuse_pickle
from loupe.engine.nla.metrics import Denominator, Scores, score
from loupe.engine.nla.paths import Context, causal, run_path, weights_version
from loupe.engine.nla.sidecar import Role, Sidecar, fill_template, load_sidecar, require_mse_scale
from loupe.engine.nla.tree import Piece, ancestry, cut_into_pieces, positions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

HEAD_NAME = "value_head.safetensors"
PIECE_TOKENS = 256


class Reconstructor:
    """A trunk with its value head, ready to read explanations. Made by `load_reconstructor`, or from parts in memory.

    `trunk` must have exactly layer + 1 blocks and an identity as final norm; `value_head` is [d_model, d_model].
    Nothing is copied: weights may go on being trained between calls.
    """

    def __init__(
        self,
        trunk: LanguageModel,
        value_head: Float[Tensor, "rows columns"],
        *,
        template: str,
        mse_scale: float,
        layer: int,
    ) -> None:
        self.trunk = trunk
        self.value_head = value_head
        self.template = template
        self.mse_scale = mse_scale
        self.layer = layer
        self.tokenizer = _require_tokenizer(trunk)
        check_depth(trunk, layer)
        check_bos(self.tokenizer)
        if tuple(value_head.shape) != (trunk.d_model, trunk.d_model):
            raise WidthMismatch(
                f"The value head is {list(value_head.shape)}, the reconstructor's d_model is {trunk.d_model}."
            )
        self._beginning = _common_beginning([self.token_ids(probe) for probe in ("A", "the", "7", "…", "\u4e00")])
        self._kept: tuple[tuple[int, ...], Context] | None = None

    def token_ids(self, explanation: str) -> list[int]:
        """The template around a stripped explanation, with special tokens."""
        text = fill_template(self.template, "{explanation}", explanation.strip())
        return list(self.tokenizer(text, add_special_tokens=True)["input_ids"])

    def reconstruct(self, texts: Sequence[str]) -> Float[Tensor, "texts d_model"]:
        """Raw reconstructed activations, fp32, on the model's device."""
        steps = self.reconstruct_steps(texts)
        while True:
            try:
                next(steps)
            except StopIteration as finished:
                return finished.value

    def reconstruct_steps(
        self, texts: Sequence[str], piece_tokens: Callable[[], int] = lambda: PIECE_TOKENS
    ) -> Generator[int, None, Float[Tensor, "texts d_model"]]:
        """The same, one packed forward at a time: yields the tokens of each, asks `piece_tokens` for the next size."""
        out = torch.empty(len(texts), self.trunk.d_model, device=self.trunk.device)
        if not texts:
            return out
        sequences = [self.token_ids(text) for text in texts]
        start = self._shared_start(sequences)
        carried: Context | None = None
        for piece in cut_into_pieces([ids[start:] for ids in sequences], piece_tokens):
            carried = self._run_piece(piece, start, carried, out)
            yield len(piece.tokens)
        return out

    def score(
        self,
        texts: Sequence[str],
        gold: Float[Tensor, "texts d_model"],
        denominator: Denominator | None = None,
    ) -> list[Scores]:
        """Reconstruct and compare with raw activations."""
        rebuilt = self.reconstruct(texts)
        return score(rebuilt, gold.to(rebuilt.device), mse_scale=self.mse_scale, denominator=denominator)

    @torch.no_grad()
    def _run_piece(self, piece: Piece, start: int, carried: Context | None, out: Tensor) -> Context:
        """Run one piece, write its leaves into `out`, return the context that the next piece can take from."""
        device = self.trunk.device
        path = carried.select(torch.arange(piece.kept, device=device)) if carried and piece.kept else None
        shared = self._beginning_context() if start else None
        context = shared.joined(path) if shared and path else shared or path
        before = torch.ones(len(piece.tokens), start, dtype=torch.bool)
        visible = torch.cat([before, ancestry(piece)], dim=1).to(device)
        embeds = self.trunk.embed(torch.tensor([piece.tokens]))[0]
        hidden, added = run_path(self.trunk.backbone, embeds, positions(piece, start).to(device), visible, context)
        numbers, leaves = list(piece.leaves.keys()), list(piece.leaves.values())
        out[numbers] = (hidden[leaves] @ self.value_head.T).float()
        everything = path.joined(added) if path else added
        return everything.select(piece.carried().to(device))

    def _shared_start(self, sequences: Sequence[Sequence[int]]) -> int:
        """How many leading tokens come from the kept beginning: all of it, or nothing."""
        count = len(self._beginning)
        agree = all(len(ids) > count and tuple(ids[:count]) == self._beginning for ids in sequences)
        return count if agree else 0

    def _beginning_context(self) -> Context:
        version = weights_version([self.trunk.model])
        if self._kept is None or self._kept[0] != version:
            count, device = len(self._beginning), self.trunk.device
            embeds = self.trunk.embed(torch.tensor([self._beginning]))[0]
            where = torch.arange(count, device=device)
            _, context = run_path(self.trunk.backbone, embeds, where, causal(count, device=device))
            self._kept = version, context
        return self._kept[1]


def load_reconstructor(
    folder: Path | str,
    *,
    fallback: Sidecar | None = None,
    layer: int | None = None,
    dtype: str = "auto",
    device: Place = "cpu",
) -> tuple[Reconstructor, Sidecar]:
    """Load an AR checkpoint and check everything its sidecar says.

    `fallback` is the verbalizer's sidecar, which may hold the template or the layer when the AR's own does not; `layer`
    is used where neither says. Raises SidecarError and its leaves, WidthMismatch, CorruptFile, UnsafeFile.
    """
    return finished(load_reconstructor_steps(folder, fallback=fallback, layer=layer, dtype=dtype, device=device))


def load_reconstructor_steps(
    folder: Path | str, *, fallback: Sidecar | None = None, layer: int | None = None, **where: Unpack[Where]
) -> Steps[tuple[Reconstructor, Sidecar]]:
    """The same, step by step, as `load_trunk_steps`."""
    folder = Path(folder)
    sidecar = load_sidecar(folder, Role.RECONSTRUCTOR)
    template = sidecar.reconstructor_template or (fallback.reconstructor_template if fallback else None)
    if template is None:
        raise SidecarUnreadable(f"Neither sidecar of the pair holds prompt_templates.ar (looked in {folder} too).")
    mse_scale = require_mse_scale(sidecar)
    trunk = yield from load_trunk_steps(folder, **where)
    check_width(trunk, sidecar)
    known = (sidecar.layer, fallback.layer if fallback else None, layer, trunk.n_layers - 1)
    reconstructor = Reconstructor(
        trunk,
        load_value_head(folder, trunk),
        template=template,
        mse_scale=mse_scale,
        layer=next(value for value in known if value is not None),
    )
    check_suffix(reconstructor, sidecar.suffix_ids)
    return reconstructor, sidecar


def load_value_head(folder: Path, trunk: LanguageModel) -> Float[Tensor, "rows columns"]:
    """The matrix beside a reconstructor's weights, in the trunk's dtype.

    Raises UnknownFormat (missing), UnsafeFile, CorruptFile.
    """
    file = folder / HEAD_NAME
    if not file.is_file():
        for other in folder.glob("value_head.*"):
            refuse_pickle(other)
        raise UnknownFormat(
            f"{folder} has no {HEAD_NAME}. The trained d x d head of a reconstructor ships in that file and cannot be "
            "derived from the other weights."
        )
    check_safetensors(file)
    tensors = load_file(str(file))
    if len(tensors) != 1:
        raise CorruptFile(f"{file} must hold one d x d matrix (no bias), found {sorted(tensors)}.")
    return next(iter(tensors.values())).to(trunk.device, trunk.torch_dtype)


def check_depth(trunk: LanguageModel, layer: int) -> None:
    """A reconstructor of layer K has K + 1 blocks. Raises DepthDrift."""
    if trunk.n_layers != layer + 1:
        raise DepthDrift(
            f"The reconstructor has {trunk.n_layers} blocks; layer {layer} needs exactly {layer + 1} "
            "(blocks 0 to K, where K is the layer index)."
        )


def check_width(lm: LanguageModel, sidecar: Sidecar) -> None:
    """The sidecar's d_model is that of the config and of the embedding table. Raises WidthMismatch."""
    width = lm.embedding_table.shape[-1]
    if not sidecar.d_model == lm.d_model == width:
        raise WidthMismatch(
            f"The sidecar says d_model {sidecar.d_model}, the model's hidden size is {lm.d_model} and its embedding "
            f"rows have {width} numbers: wrong checkpoint for this sidecar."
        )


def check_bos(tokenizer: PreTrainedTokenizerBase) -> None:
    """A tokenizer that has a BOS must put it first. Raises TokenizerDrift."""
    first, bos = tokenizer("x", add_special_tokens=True)["input_ids"][0], tokenizer.bos_token_id
    if bos is not None and first != bos:
        raise TokenizerDrift(
            f"The reconstructor's tokenizer has a BOS token ({bos}) but starts texts with {first}. It was trained with "
            "BOS in front and reads badly without: check add_bos_token and the post-processor of its tokenizer files."
        )


def check_suffix(reconstructor: Reconstructor, suffix: tuple[int, ...]) -> None:
    """Prompts end with the ids that the sidecar recorded for the template's tail. Raises TokenizerDrift."""
    tail = tuple(reconstructor.token_ids("A short text.")[-len(suffix) :]) if suffix else ()
    if tail != suffix:
        raise TokenizerDrift(f"A reconstructor prompt ends with the ids {tail}, the sidecar recorded {suffix}.")


def _common_beginning(sequences: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The ids that start every one of the sequences."""
    shared: list[int] = []
    for column in zip(*sequences, strict=False):
        if len(set(column)) > 1:
            break
        shared.append(column[0])
    return tuple(shared)


def _require_tokenizer(lm: LanguageModel) -> PreTrainedTokenizerBase:
    if lm.tokenizer is None:
        raise UnknownFormat(f"{lm.path} ships no tokenizer; an NLA checkpoint needs its own.")
    return lm.tokenizer
