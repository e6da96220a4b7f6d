"""The compiled step against the torch one, which is tested against the definitions: code, loss and every gradient."""

import pytest
import torch

from loupe.engine.sae import adam, compiled_step, workers
from loupe.engine.sae.adam import AdamNumbers, CompiledAdam
from loupe.engine.sae.architectures import Batch, ksparse
from loupe.engine.sae.compiled_step import compiled_ksparse_step
from loupe.engine.sae.kernels import can_be_compiled
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.warming import kernels_ready
from tests.engine.sae.samples import CASES, configs, random_sae, run

K_SPARSE = [case for case in CASES if configs(case)[0].is_k_sparse]
SHAPES = {"W_enc": (20, 8), "b_enc": (20,), "W_dec": (20, 8), "b_dec": (8,)}
DEAD = torch.tensor([1, 4, 5, 11, 12, 19])


def fp32(case: str) -> tuple[SAE, object, Batch]:
    config, training = configs(case)
    sae = random_sae(config, dtype=torch.float32)
    x = torch.randn(33, config.d_in, generator=torch.Generator().manual_seed(1))
    y = torch.randn(33, config.d_out, generator=torch.Generator().manual_seed(2)) if config.is_transcoder else x
    return sae, training, Batch(x, y, 8)


@pytest.fixture(params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"], autouse=True)
def coarse(request, monkeypatch):
    run(kernels_ready())
    monkeypatch.setattr(compiled_step, "coarse_dtype", lambda: request.param)


@pytest.mark.parametrize("dead", [DEAD, DEAD[:2], DEAD[:0]], ids=["dead", "few dead", "none dead"])
@pytest.mark.parametrize("case", K_SPARSE)
def test_compiled_kernels_equal_the_torch_step(case, dead):
    sae, training, batch = fp32(case)
    assert can_be_compiled(sae.W_enc.t(), sae.b_enc, sae.W_dec, sae.b_dec)
    fast, _ = run(compiled_ksparse_step(sae, training, batch, dead))
    slow, _ = run(ksparse.ksparse_step(sae, training, batch, dead))
    for name in ("reconstruction", "aux", "errors", "smallest"):
        torch.testing.assert_close(getattr(fast, name), getattr(slow, name), rtol=1e-4, atol=1e-5)
    assert fast.fired.tolist() == slow.fired.tolist()
    assert fast.grads.keys() == slow.grads.keys()
    for name, grad in slow.grads.items():
        torch.testing.assert_close(fast.grads[name], grad, rtol=1e-4, atol=1e-5)


def plain_step(weights, grads, optimizer, clip: float) -> torch.Tensor:
    along = (grads["W_dec"] * weights["W_dec"]).sum(1, keepdim=True)
    grads["W_dec"] -= along * weights["W_dec"]
    for name, weight in weights.items():
        weight.grad = grads[name]
    norm = torch.nn.utils.clip_grad_norm_(list(weights.values()), clip)
    optimizer.step()
    weights["W_dec"] /= weights["W_dec"].norm(dim=1, keepdim=True)
    return norm


@pytest.mark.parametrize("clip", [0.5, 100.0])
def test_compiled_adam_is_project_clip_adam_and_renormalise(clip, monkeypatch):
    monkeypatch.setattr(adam, "BLOCK_ELEMENTS", 32)
    generator = torch.Generator().manual_seed(0)
    plain = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
    plain["W_dec"] /= plain["W_dec"].norm(dim=1, keepdim=True)
    fast = {name: weight.clone() for name, weight in plain.items()}
    moments = {name: {"exp_avg": torch.zeros(s), "exp_avg_sq": torch.zeros(s)} for name, s in SHAPES.items()}
    optimizer = torch.optim.Adam(list(plain.values()), lr=1e-2, betas=(0.9, 0.999))
    for step in range(1, 5):
        grads = {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}
        ours = CompiledAdam(fast, {name: grad.clone() for name, grad in grads.items()}, moments, "W_dec")
        norm, _ = run(ours.norm())
        run(ours.move(norm, AdamNumbers(step, 1e-2, 0.9, 0.999, clip=clip)))
        torch.testing.assert_close(norm, plain_step(plain, grads, optimizer, clip))
        for name, weight in plain.items():
            torch.testing.assert_close(fast[name], weight, rtol=1e-5, atol=1e-6)


def test_a_step_that_is_closed_half_way_still_moves_everything(monkeypatch):
    monkeypatch.setattr(adam, "BLOCK_ELEMENTS", 8)
    monkeypatch.setattr(workers, "ROUND_S", 0.0)
    weight = {"W": torch.zeros(40, 8)}
    moments = {"W": {"exp_avg": torch.zeros(40, 8), "exp_avg_sq": torch.zeros(40, 8)}}
    moving = CompiledAdam(weight, {"W": torch.ones(40, 8)}, moments).move(
        torch.tensor(1.0), AdamNumbers(1, 1e-2, 0.9, 0.999)
    )
    next(moving)
    assert not (weight["W"] < 0).all()
    moving.close()
    assert (weight["W"] < 0).all()


@pytest.mark.parametrize("case", ["topk", "batchtopk", "matryoshka"])
def test_threads_and_cuts_change_no_bit(case, monkeypatch):
    sae, training, batch = fp32(case)
    monkeypatch.setattr(compiled_step, "CHUNK_ROWS", 7)
    monkeypatch.setattr(compiled_step, "BLOCK_LATENTS", 3)
    alone, _ = run(compiled_ksparse_step(sae, training, batch, DEAD))
    alone = copied(alone)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(workers, "ROUND_S", 0.0)
    together, cuts = run(compiled_ksparse_step(sae, training, batch, DEAD))
    assert cuts > 10
    for name, grad in alone.grads.items():
        assert torch.equal(together.grads[name], grad), name
    assert torch.equal(together.errors, alone.errors)


def copied(result):
    return result._replace(grads={name: g.clone() for name, g in result.grads.items()}, errors=result.errors.clone())


@pytest.mark.parametrize("guess", [1e-3, 0.5, 2.0, 50.0])
def test_what_batchtopk_keeps_does_not_depend_on_the_guess(guess):
    sae, training, batch = fp32("batchtopk")
    expected, _ = run(ksparse.ksparse_step(sae, training, batch, DEAD[:0]))
    compiled_step._kept.setdefault(sae, compiled_step._Kept()).threshold_guess = guess
    found, _ = run(compiled_ksparse_step(sae, training, batch, DEAD[:0]))
    assert found.fired.tolist() == expected.fired.tolist()
    torch.testing.assert_close(found.errors, expected.errors, rtol=1e-4, atol=1e-5)


def test_a_row_may_take_most_of_the_batch():
    sae, training, batch = fp32("batchtopk")
    batch.x[3] *= 100
    expected, _ = run(ksparse.ksparse_step(sae, training, batch, DEAD[:0]))
    found, _ = run(compiled_ksparse_step(sae, training, batch, DEAD[:0]))
    assert found.fired.tolist() == expected.fired.tolist()


@pytest.mark.parametrize("case", ["topk", "batchtopk", "transcoder"])
@pytest.mark.parametrize("broken", [float("nan"), float("inf"), -float("nan")])
def test_a_row_that_is_not_finite_makes_the_loss_not_finite(case, broken):
    sae, training, batch = fp32(case)
    batch.x[3, 2] = broken
    found, _ = run(compiled_ksparse_step(sae, training, batch, DEAD[:0]))
    assert not torch.isfinite(found.reconstruction)


def test_equal_values_are_counted_once_each():
    sae, training, batch = fp32("topk")
    with torch.no_grad():
        sae.W_enc.t()[:] = sae.W_enc.t()[:1].clone()
        sae.b_enc.zero_()
    found, _ = run(compiled_ksparse_step(sae, training, batch, DEAD[:0]))
    positive = int((sae.centred(batch.x) @ sae.W_enc[:, 0] > 0).sum())
    assert int(found.fired.sum()) == 3 * positive


def test_rounding_to_bf16_chooses_the_same_latents_as_fp32():
    generator = torch.Generator().manual_seed(0)
    x, W_rows = torch.randn(64, 64, generator=generator), torch.randn(1024, 64, generator=generator) / 8
    config, _ = configs("topk", d_in=64, d_sae=1024)
    sae = random_sae(config, dtype=torch.float32)
    with torch.no_grad():
        sae.W_enc.t().copy_(W_rows)
    _, training = configs("topk", d_in=64, d_sae=1024)
    found, _ = run(compiled_ksparse_step(sae, training, Batch(x, x, 64), DEAD[:0]))
    expected, _ = run(ksparse.ksparse_step(sae, training, Batch(x, x, 64), DEAD[:0]))
    assert found.fired.tolist() == expected.fired.tolist()
