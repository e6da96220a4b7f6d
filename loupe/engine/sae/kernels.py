"""The k-sparse autoencoder as pure functions: encode, decode and both backwards touch k of d_sae latents.

A dense step costs 12 d F operations per token, this one 2 d F + 8 k d: only the encoder's product is dense, and its
result exists for one chunk of rows at a time. Layout is what the rest hangs on:

- the decoder is [d_sae, d_out] and row-major, so the direction of a latent is contiguous;
- the encoder is the field's [d_in, d_sae], best held as the transpose of a row-major [d_sae, d_in] (`latent_rows`), so
  that a latent's encoder direction is contiguous as well. Any other layout works, and costs one copy per call.

x is what the encoder sees: subtract b_dec before, if the architecture does. All functions take tensors on any device.
Reference: Gao et al., "Scaling and evaluating sparse autoencoders", arXiv 2406.04093, appendix D.
"""

from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from loupe.engine.sae import sparse
from loupe.engine.sae.topk import SparseActs, row_chunks, topk_of_batch, topk_of_rows


def latent_rows(W_enc: Float[Tensor, "d_in d_sae"]) -> Float[Tensor, "d_sae d_in"]:
    """The encoder by latent, contiguous; no copy if it is stored that way."""
    return W_enc.t().contiguous()


def can_be_compiled(*by_latent: Tensor) -> bool:
    """Whether the compiled kernels can work on these weights in place: fp32, on the CPU, contiguous."""
    return all(each.device.type == "cpu" and each.dtype == torch.float32 and each.is_contiguous() for each in by_latent)


def topk_encode(
    x: Float[Tensor, "batch d_in"], W_enc: Float[Tensor, "d_in d_sae"], b_enc: Float[Tensor, " d_sae"], k: int
) -> SparseActs:
    """The k largest positive pre-activations of every row."""
    _check_k(k, W_enc.shape[1])
    parts = [topk_of_rows(torch.addmm(b_enc, x[rows], W_enc), k) for rows in row_chunks(len(x), W_enc.shape[1])]
    return _joined(parts, x, k)


def batch_topk_encode(
    x: Float[Tensor, "batch d_in"], W_enc: Float[Tensor, "d_in d_sae"], b_enc: Float[Tensor, " d_sae"], k: int
) -> SparseActs:
    """The batch x k largest positive pre-activations of the whole batch; as wide as the row with most of them."""
    d_sae = W_enc.shape[1]
    _check_k(k, d_sae)
    parts, width = [], min(4 * k, d_sae)
    for rows in row_chunks(len(x), d_sae):
        parts.append(topk_of_rows(torch.addmm(b_enc, x[rows], W_enc), width))
    kept = topk_of_batch(_joined(parts, x, width), len(x) * k)
    fullest = bool((kept.values != 0).all(1).any()) and kept.values.shape[1] == width < d_sae
    return _batch_topk_dense(x, W_enc, b_enc, k) if fullest else kept


def _batch_topk_dense(x: Tensor, W_enc: Tensor, b_enc: Tensor, k: int) -> SparseActs:
    """For batches where one row holds more than four shares: every latent is a candidate."""
    pre = torch.addmm(b_enc, x, W_enc).relu_()
    indices = torch.arange(pre.shape[1], device=pre.device).expand(pre.shape)
    return topk_of_batch(SparseActs(pre, indices), len(x) * k)


def sparse_decode(
    values: Float[Tensor, "batch width"], indices: Int64[Tensor, "batch width"], W_dec: Float[Tensor, "d_sae d_out"]
) -> Float[Tensor, "batch d_out"]:
    """The sum of the active decoder directions, without b_dec."""
    return sparse.decode(values, indices, W_dec)


def sparse_decode_backward(
    grad_out: Float[Tensor, "batch d_out"],
    values: Float[Tensor, "batch width"],
    indices: Int64[Tensor, "batch width"],
    W_dec: Float[Tensor, "d_sae d_out"],
) -> tuple[Float[Tensor, "batch width"], Float[Tensor, "d_sae d_out"]]:
    """The gradients of `values` and of `W_dec`."""
    turned = sparse.by_latent(indices, len(W_dec))
    grad_W_dec = sparse.weighted_sum(grad_out, turned.rows, values.flatten()[turned.slots], turned.starts)
    return sparse.row_dots(grad_out, indices, W_dec), grad_W_dec


def sparse_encode_backward(
    grad_values: Float[Tensor, "batch width"],
    indices: Int64[Tensor, "batch width"],
    x: Float[Tensor, "batch d_in"],
    d_sae: int,
) -> tuple[Float[Tensor, "d_in d_sae"], Float[Tensor, " d_sae"]]:
    """The gradients of `W_enc` (the transpose of a row-major [d_sae, d_in]) and of `b_enc`."""
    turned = sparse.by_latent(indices, d_sae)
    weights = grad_values.flatten()[turned.slots]
    grad_b_enc = torch.zeros(d_sae, dtype=x.dtype, device=x.device)
    grad_b_enc.index_add_(0, indices.flatten(), grad_values.flatten())
    return sparse.weighted_sum(x, turned.rows, weights, turned.starts).t(), grad_b_enc


class SparseAutoencode(torch.autograd.Function):
    """`decoded, values, indices = SparseAutoencode.apply(x, W_enc, b_enc, W_dec, k, batchwise)`, with sparse gradients.

    decoded [batch d_out] is without b_dec; values and indices are the code, and a loss may use the values as well.
    Gradients reach x, W_enc, b_enc and W_dec; that of x costs one more sparse decode, and only if x asks for it.
    """

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: Tensor, W_enc: Tensor, b_enc: Tensor, W_dec: Tensor, k: int, batchwise: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        values, indices = (batch_topk_encode if batchwise else topk_encode)(x, W_enc, b_enc, k)
        ctx.save_for_backward(x, W_enc, W_dec, values, indices)
        ctx.mark_non_differentiable(indices)
        return sparse_decode(values, indices, W_dec), values, indices

    @staticmethod
    def backward(ctx: Any, grad_decoded: Tensor, grad_values: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        x, W_enc, W_dec, values, indices = ctx.saved_tensors
        through_decoder, grad_W_dec = sparse_decode_backward(grad_decoded, values, indices, W_dec)
        grad_pre = (through_decoder + grad_values) * (values > 0)
        grad_W_enc, grad_b_enc = sparse_encode_backward(grad_pre, indices, x, W_enc.shape[1])
        grad_x = sparse_decode(grad_pre, indices, latent_rows(W_enc)) if ctx.needs_input_grad[0] else None
        return grad_x, grad_W_enc, grad_b_enc, grad_W_dec, None, None


def _check_k(k: int, d_sae: int) -> None:
    if not 1 <= k <= d_sae:
        raise ValueError(f"k is {k}; a code over {d_sae} latents holds from 1 to {d_sae} of them.")


def _joined(parts: list[SparseActs], x: Tensor, width: int) -> SparseActs:
    if not parts:
        return SparseActs(x.new_zeros(0, width), torch.zeros(0, width, dtype=torch.int64, device=x.device))
    return SparseActs(torch.cat([part.values for part in parts]), torch.cat([part.indices for part in parts]))
