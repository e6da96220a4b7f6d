"""The fast step of every architecture against its definition: outputs, loss and gradients."""

from dataclasses import replace

import pytest
import torch

from loupe.engine.sae.architectures import Batch, ksparse, step_gradients
from loupe.engine.sae.config import Precision
from loupe.engine.sae.losses import naive_codes, naive_loss
from loupe.engine.sae.sae import SAE
from tests.engine.sae.samples import CASES, configs, random_rows, random_sae, run

DEAD = torch.tensor([1, 4, 5, 11, 12, 19])


def batch_of(config, rows: int = 13, micro_rows: int = 5) -> Batch:
    x = random_rows(rows, config.d_in)
    return Batch(x, random_rows(rows, config.d_out, seed=2) if config.is_transcoder else x, micro_rows)


def both(case: str, dead: torch.Tensor):
    config, training = configs(case)
    sae, batch = random_sae(config), batch_of(config)
    coefficient = torch.tensor(0.3, dtype=torch.float64)
    fast, pieces = run(step_gradients(sae, training, batch, coefficient, dead))
    mask = torch.zeros(config.d_sae, dtype=torch.bool).index_fill(0, dead, True)
    slow = naive_loss(sae, training, batch.x, batch.y, 0.3, mask if len(dead) else None)
    slow.loss.backward()
    return sae, fast, slow, pieces, batch


@pytest.mark.parametrize("dead", [DEAD, DEAD[:2], DEAD[:0]], ids=["dead", "few dead", "none dead"])
@pytest.mark.parametrize("case", CASES)
def test_the_fast_step_equals_its_definition(case, dead):
    sae, fast, slow, pieces, batch = both(case, dead)
    assert pieces >= 3  # it can be interrupted
    torch.testing.assert_close(fast.reconstruction, slow.reconstruction)
    torch.testing.assert_close(fast.sparsity, slow.sparsity)
    torch.testing.assert_close(fast.aux, slow.aux)
    torch.testing.assert_close(fast.errors, batch.y - slow.reconstructed)
    assert fast.fired.tolist() == (slow.codes > 0).sum(0).tolist()
    weights = dict(sae.named_parameters())
    assert fast.grads.keys() == weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(fast.grads[name], weight.grad, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("case", CASES)
def test_every_weight_gets_a_gradient(case):
    _, fast, _, _, _ = both(case, DEAD)
    silent = [name for name, grad in fast.grads.items() if not grad.abs().sum() > 0]
    assert silent == []


@pytest.mark.parametrize("case", CASES)
def test_tiles_change_nothing_but_rounding(case):
    config, training = configs(case)
    sae, coefficient = random_sae(config), torch.tensor(0.3, dtype=torch.float64)
    whole = batch_of(config, micro_rows=100)
    one, _ = run(step_gradients(sae, training, whole, coefficient, DEAD))
    many, _ = run(step_gradients(sae, training, whole._replace(micro_rows=1), coefficient, DEAD))
    for name, grad in one.grads.items():
        torch.testing.assert_close(many.grads[name], grad)


@pytest.mark.parametrize("case", ["topk", "matryoshka", "skip_transcoder"])
def test_weight_gradients_may_be_made_in_several_ranges_of_latents(case, monkeypatch):
    sae, fast, _, pieces, _ = both(case, DEAD)
    monkeypatch.setattr(ksparse, "GRADIENT_ELEMENTS", 16)
    _, ranged, _, more_pieces, _ = both(case, DEAD)
    assert more_pieces > pieces + 3
    for name in dict(sae.named_parameters()):
        torch.testing.assert_close(ranged.grads[name], fast.grads[name])


def test_batchtopk_is_exact_when_one_row_takes_everything():
    config, training = configs("batchtopk")
    sae, batch = random_sae(config), batch_of(config)
    batch.x[3] *= 100  # all its positive latents are among the batch's largest
    fast, _ = run(step_gradients(sae, training, batch, torch.tensor(0.0), DEAD[:0]))
    codes = naive_codes(sae, training, sae.pre_activations(batch.x))
    assert int((codes[3] > 0).sum()) > 4
    assert fast.fired.tolist() == (codes > 0).sum(0).tolist()


def test_a_tie_free_batch_keeps_exactly_k_per_row_on_average():
    config, training = configs("batchtopk")
    fast, _ = run(step_gradients(random_sae(config), training, batch_of(config), torch.tensor(0.0), DEAD[:0]))
    assert int(fast.fired.sum()) == 13 * 3


def test_aux_reaches_the_encoder_of_dead_latents():
    config, training = configs("topk")
    sae, batch = random_sae(config), batch_of(config)
    with torch.no_grad():
        sae.b_enc[DEAD] -= 0.5
        alone, _ = run(step_gradients(sae, training, batch, torch.tensor(0.0), DEAD[:0]))
        helped, _ = run(step_gradients(sae, training, batch, torch.tensor(0.0), DEAD))
    changed = (helped.grads["W_enc"] - alone.grads["W_enc"]).abs().sum(0) > 0
    assert set(changed.nonzero().flatten().tolist()) <= set(DEAD.tolist())
    assert bool(changed.any())


def test_a_perfect_reconstruction_gives_no_aux_and_no_nan():
    config, training = configs("topk")
    sae = SAE(config, dtype=torch.float64)
    x = torch.zeros(4, config.d_in, dtype=torch.float64)
    result, _ = run(step_gradients(sae, training, Batch(x, x, 2), torch.tensor(0.0), DEAD))
    assert float(result.aux) == 0
    assert all(torch.isfinite(grad).all() for grad in result.grads.values())


def test_coarse_products_choose_but_do_not_round_what_is_chosen():
    config, training = configs("topk")
    sae, batch = random_sae(config, dtype=torch.float32), batch_of(config)
    batch = Batch(batch.x.float(), batch.y.float(), 5)
    fine, _ = run(ksparse.ksparse_step(sae, training, batch, DEAD))
    coarse, _ = run(ksparse.ksparse_step(sae, replace(training, precision=Precision.BF16), batch, DEAD))
    agreeing = (coarse.errors - fine.errors).abs().amax(1) < 1e-5
    assert agreeing.double().mean() > 0.7  # elsewhere two latents were too close for bf16 to tell apart
    assert not torch.equal(coarse.errors, coarse.errors.bfloat16().float())
