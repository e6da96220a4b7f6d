"""Scales and starting values: what leaves training reads raw activations, and training starts where it is best."""

import pytest
import torch

from loupe.engine.sae.config import Activation
from loupe.engine.sae.initial import initialise
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.scaling import Scales, folded, measure_scales
from tests.engine.sae.samples import CASES, configs, random_rows, random_sae, run


def scales_for(config) -> Scales:
    if config.parts == 2:  # one number per hook point
        both = torch.tensor([0.5] * (config.d_in // 2) + [3.0] * (config.d_in // 2))
        return Scales(both, both)
    y = torch.full((config.d_out,), 0.4)
    if config.is_transcoder:
        return Scales(torch.full((config.d_in,), 2.5), y, torch.linspace(-2, 3, config.d_in))
    return Scales(y, y)


@pytest.mark.parametrize("case", CASES)
def test_a_folded_sae_does_to_raw_rows_what_the_trained_one_does_to_scaled_ones(case):
    config, _ = configs(case)
    sae, x = random_sae(config, dtype=torch.float32), random_rows(50, config.d_in, dtype=torch.float32)
    with torch.no_grad():
        if config.activation is Activation.TOPK:  # as training keeps them: then one factor serves all
            sae.W_dec.div_(sae.W_dec.norm(dim=1, keepdim=True))
        scales = scales_for(config)
        raw = folded(sae, scales)
        wanted = sae(scales.read(x)) / scales.y
        torch.testing.assert_close(raw(x), wanted, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(raw.encode(x) > 0, sae.encode(scales.read(x)) > 0)
        torch.testing.assert_close(raw.W_dec.norm(dim=1), torch.ones(config.d_sae))
        torch.testing.assert_close(sae.encode_sparse(x).dense(config.d_sae), sae.encode(x))
        torch.testing.assert_close(sae.decode_sparse(sae.encode_sparse(x)), sae.decode(sae.encode(x)))


def test_scales_give_each_hook_point_a_mean_norm_of_the_root_of_its_width():
    config, training = configs("crosscoder")
    x = random_rows(200, 8, dtype=torch.float32) * torch.tensor([1.0] * 4 + [50.0] * 4)
    scaled = x * measure_scales(config, training, x, x).x
    assert float(scaled[:, :4].norm(dim=1).mean()) == pytest.approx(2, rel=1e-4)
    assert float(scaled[:, 4:].norm(dim=1).mean()) == pytest.approx(2, rel=1e-4)


@pytest.mark.parametrize("case", ["transcoder", "skip_transcoder"])
def test_what_a_transcoder_reads_is_centred_and_what_varies_has_a_norm_of_the_root_of_the_width(case):
    config, training = configs(case)
    x = random_rows(200, config.d_in, dtype=torch.float32) + 40
    seen = measure_scales(config, training, x, x).read(x)
    torch.testing.assert_close(seen.mean(0), torch.zeros(config.d_in), atol=1e-4, rtol=0)
    assert float(seen.norm(dim=1).mean()) == pytest.approx(config.d_in**0.5, rel=1e-4)


def test_deepminds_recipe_has_a_mean_squared_norm_of_one():
    config, training = configs("jumprelu deepmind")
    x = random_rows(200, 8, dtype=torch.float32) * 9
    scaled = x * measure_scales(config, training, x, x).x
    assert float(scaled.square().sum(1).mean()) == pytest.approx(1, rel=1e-4)


def test_rows_of_zeros_are_left_alone():
    config, training = configs("topk")
    assert torch.equal(measure_scales(config, training, torch.zeros(4, 8), torch.zeros(4, 8)).x, torch.ones(8))


def started(case: str, x: torch.Tensor, y: torch.Tensor | None = None, **changes) -> SAE:
    from dataclasses import replace

    config, training = configs(case, d_in=x.shape[1], d_sae=64)
    sae = SAE(config)
    target = x if y is None else y
    scales = Scales(torch.ones(x.shape[1]), torch.ones(target.shape[1]))
    run(initialise(sae, replace(training, **changes), x, target, "it", scales))
    return sae.requires_grad_(False)


@pytest.mark.parametrize("case", ["topk", "batchtopk", "matryoshka"])
def test_the_encoder_starts_at_the_scale_that_reconstructs_best(case):
    x = random_rows(300, 8, dtype=torch.float32) + 3
    sae = started(case, x)
    sae.threshold = torch.zeros(64) if case != "topk" else None

    def error(factor: float) -> float:
        pre = (x - sae.b_dec) @ sae.W_enc * factor
        from loupe.engine.sae.losses import naive_codes

        codes = naive_codes(sae, configs(case)[1], pre)
        return float((x - codes @ sae.W_dec - sae.b_dec).square().sum())

    assert error(1) < min(error(0.9), error(1.1), error(0.5), error(2.0))
    assert error(1) < float((x - x.mean(0)).square().sum())  # better than the mean, before any training


def test_b_dec_starts_as_the_mean_or_as_the_geometric_median():
    x = random_rows(300, 8, dtype=torch.float32) + 3
    x[:20] += 1000  # outliers move a mean, not a median
    torch.testing.assert_close(started("topk", x).b_dec, x.mean(0))
    from loupe.engine.sae.config import Centring

    assert float((started("topk", x, centring=Centring.GEOMETRIC_MEDIAN).b_dec - 3).abs().max()) < 2
    assert not started("topk", x, centring=Centring.ZERO).b_dec.any()


def test_a_transcoder_starts_blind_to_the_mean_and_better_than_the_mean_of_its_target():
    x = random_rows(500, 8, dtype=torch.float32) + 5
    y = torch.tanh(x - 5) @ random_rows(8, 5, seed=3, dtype=torch.float32)
    sae = started("transcoder", x, y)
    torch.testing.assert_close(sae.pre_activations(x.mean(0)[None]), torch.zeros(1, 64), atol=1e-4, rtol=0)
    from loupe.engine.sae.losses import naive_codes

    codes = naive_codes(sae, configs("transcoder")[1], sae.pre_activations(x))
    error = (y - sae.decode(codes)).square().sum()
    assert float(error) < 0.9 * float((y - y.mean(0)).square().sum())


def test_starting_values_depend_on_seed_and_name_alone():
    x = random_rows(50, 8, dtype=torch.float32)
    assert torch.equal(started("topk", x).W_dec, started("topk", x + 1).W_dec)
    assert not torch.equal(started("topk", x).W_dec, started("topk", x, seed=1).W_dec)
