"""The k-sparse products as functions with gradients, against the dense autoencoder that autograd differentiates."""

import pytest
import torch
from torch import Tensor

from loupe.engine.sae import topk
from loupe.engine.sae.kernels import SparseAutoencode, batch_topk_encode, topk_encode

K = 5


def tensors() -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((50, 12), (12, 40), (40,), (40, 9))
    return tuple(torch.randn(s, generator=generator, dtype=torch.float64).requires_grad_() for s in shapes)


def dense_code(x: Tensor, W_enc: Tensor, b_enc: Tensor, batchwise: bool) -> Tensor:
    pre = (x @ W_enc + b_enc).relu()
    least = pre.flatten().topk(len(x) * K).values.min() if batchwise else pre.topk(K).values.min(1, keepdim=True).values
    return pre * (pre >= least)


@pytest.mark.parametrize("chunk", [40, 1 << 22], ids=["row by row", "at once"])
@pytest.mark.parametrize("batchwise", [False, True], ids=["topk", "batchtopk"])
def test_a_sparse_autoencoder_decodes_and_differentiates_like_a_dense_one(batchwise, chunk, monkeypatch):
    monkeypatch.setattr(topk, "CHUNK_ELEMENTS", chunk)
    x, W_enc, b_enc, W_dec = weights = tensors()
    decoded, values, indices = SparseAutoencode.apply(x, W_enc, b_enc, W_dec, K, batchwise)
    code = dense_code(x, W_enc, b_enc, batchwise)
    torch.testing.assert_close(topk.SparseActs(values, indices).dense(40), code)
    torch.testing.assert_close(decoded, code @ W_dec)
    sparse = torch.autograd.grad(decoded.square().sum() + values.pow(3).sum(), weights)
    dense = torch.autograd.grad((code @ W_dec).square().sum() + code.pow(3).sum(), weights)
    for fast, slow in zip(sparse, dense, strict=True):
        torch.testing.assert_close(fast, slow)


def test_a_row_of_a_batch_may_hold_more_than_four_shares():
    x, W_enc, b_enc, _ = (each.detach() for each in tensors())
    x[7] *= 100
    found = batch_topk_encode(x, W_enc, b_enc, 2).dense(40)
    pre = (x @ W_enc + b_enc).relu()
    assert int((found[7] > 0).sum()) > 8
    torch.testing.assert_close(found, pre * (pre >= pre.flatten().topk(100).values.min()))


@pytest.mark.parametrize("encode", [topk_encode, batch_topk_encode])
def test_no_rows_have_no_code(encode):
    _, W_enc, b_enc, _ = (each.detach() for each in tensors())
    assert encode(torch.zeros(0, 12, dtype=torch.float64), W_enc, b_enc, K).values.shape[0] == 0


@pytest.mark.parametrize("k", [0, 41])
def test_a_k_that_no_code_can_have_is_named(k):
    x, W_enc, b_enc, _ = (each.detach() for each in tensors())
    with pytest.raises(ValueError, match=f"k is {k}; a code over 40 latents"):
        topk_encode(x, W_enc, b_enc, k)
