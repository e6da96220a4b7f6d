"""The card by its definitions: the mean predictor scores 0, a constant error is not free, padding changes nothing."""

import math

import pytest
import torch

from loupe.engine.data.rows import TokenFlag, token_rows
from loupe.engine.errors import BadInput, WidthMismatch
from loupe.engine.models.hooks import HookPoint, Site, capture
from loupe.engine.models.loading import wrap_model
from loupe.engine.sae.config import SAEConfig
from loupe.engine.sae.evaluation import evaluate, explained_variance
from loupe.engine.sae.sae import SAE
from loupe.engine.sae.stream import Drop
from tests.engine.nla.tiny_pairs import tiny_model
from tests.engine.sae.samples import run

POINT = HookPoint(0)
ROWS = token_rows([[5, 9, 3, 7, 1, 8, 2, 6], [4, 4, 9], [7, 2, 5, 3, 11]])
ALL = Drop(special=False, first=0, overlap=False)


@pytest.fixture(scope="module")
def lm():
    return wrap_model(tiny_model("llama", seed=0), None)


def sae_with(lm, **weights: torch.Tensor) -> SAE:
    sae = SAE(SAEConfig.from_dict({"architecture": "standard", "d_in": lm.d_model, "d_sae": 2 * lm.d_model}))
    with torch.no_grad():
        for name, value in weights.items():
            getattr(sae, name).copy_(value)
    return sae


def exact(lm, scale: float = 1.0) -> SAE:
    """x = relu(x) - relu(-x): reconstructs everything, times a factor."""
    eye = torch.eye(lm.d_model)
    return sae_with(lm, W_enc=torch.cat([eye, -eye], dim=1), W_dec=scale * torch.cat([eye, -eye]))


def activations(lm) -> torch.Tensor:
    parts = []
    for row in range(len(ROWS)):
        with torch.no_grad(), capture(lm, [POINT], stop=True) as store:
            lm.forward(torch.from_numpy(ROWS.ids(row))[None])
        parts.append(store[POINT][0])
    return torch.cat(parts)


def card_of(lm, sae, rows=ROWS, **options):
    return run(evaluate(lm, sae, POINT, rows, drop=ALL, **options))[0]


def test_a_perfect_reconstruction_scores_one_everywhere(lm):
    card, pieces = run(evaluate(lm, exact(lm), POINT, ROWS, drop=ALL))
    assert pieces >= 4
    assert (card.tokens, card.predictions) == (16, 13)
    assert card.explained_variance == pytest.approx(1, abs=1e-6)
    assert card.shrinkage == pytest.approx(1)
    assert card.l0 == pytest.approx(lm.d_model, abs=0.01)
    assert card.ce_sae == pytest.approx(card.ce_clean, abs=1e-5)
    assert card.ce_zero != pytest.approx(card.ce_clean, abs=1e-3)
    assert card.ce_recovered is None or card.ce_recovered == pytest.approx(1, abs=1e-3)  # a random model: zero may help
    assert card.kl_recovered == pytest.approx(1, abs=1e-3)
    assert card.kl_sae == pytest.approx(0, abs=1e-6)
    assert sum(card.density) == 2 * lm.d_model


def test_predicting_the_mean_scores_zero_and_zero_scores_nothing_recovered(lm):
    card = card_of(lm, sae_with(lm, b_dec=activations(lm).mean(0)))
    assert card.explained_variance == pytest.approx(0, abs=1e-6)
    assert card.dead_share == 1
    nothing = card_of(lm, sae_with(lm))
    assert nothing.ce_sae == pytest.approx(nothing.ce_zero)
    assert nothing.kl_recovered == pytest.approx(0, abs=1e-6)
    assert nothing.shrinkage is None


def test_a_constant_error_is_not_free(lm):
    sae = exact(lm)
    with torch.no_grad():
        sae.W_enc, sae.b_dec = (
            torch.nn.Parameter(sae.W_enc.detach()),
            torch.nn.Parameter(torch.full((lm.d_model,), 1.0)),
        )
        sae.config = SAEConfig.from_dict(sae.config.to_dict() | {"apply_b_dec_to_input": False})
    y = activations(lm).double()
    spread = float((y - y.mean(0)).square().sum())
    assert card_of(lm, sae).explained_variance == pytest.approx(1 - 16 * lm.d_model / spread, abs=1e-5)


def test_explained_variance_does_not_depend_on_scale_or_on_batches(lm):
    y = activations(lm)
    noisy = y + torch.randn(y.shape, generator=torch.Generator().manual_seed(0)) * 0.1
    assert explained_variance(y, noisy) == pytest.approx(explained_variance(100 * y, 100 * noisy))
    shrunk = exact(lm, scale=0.7)
    whole, in_parts = card_of(lm, shrunk), card_of(lm, shrunk, forward_tokens=5)
    assert whole.explained_variance == pytest.approx(explained_variance(y, 0.7 * y), abs=1e-6)
    assert in_parts.explained_variance == pytest.approx(whole.explained_variance, abs=1e-6)
    assert whole.shrinkage == pytest.approx(0.7)
    assert whole.norm_ratio == pytest.approx(0.7)


def test_padding_changes_nothing(lm):
    shrunk = exact(lm, scale=0.8)
    together, apart = card_of(lm, shrunk, forward_tokens=64).to_dict(), card_of(lm, shrunk, forward_tokens=1).to_dict()
    for name, value in together.items():
        assert apart[name] == pytest.approx(value, abs=1e-5), name


def test_special_tokens_keep_their_activation_and_are_not_counted(lm):
    flags = [[TokenFlag.SPECIAL] + [0] * 7, [0] * 3, [0, 0, TokenFlag.SPECIAL, 0, 0]]
    marked = token_rows([ROWS.ids(row).tolist() for row in range(3)], flags)
    card = run(evaluate(lm, sae_with(lm), POINT, marked, drop=Drop(first=0)))[0]
    assert card.tokens == 14
    assert card.predictions == 13
    assert card.ce_zero != pytest.approx(card_of(lm, sae_with(lm)).ce_zero)
    everything = token_rows([[1, 2]], [[TokenFlag.SPECIAL] * 2])
    with pytest.raises(BadInput, match="No token is left"):
        run(evaluate(lm, sae_with(lm), POINT, everything))


def test_a_transcoder_is_judged_where_it_writes(lm):
    reads, writes = HookPoint(1, Site.MLP_IN), HookPoint(1, Site.MLP_OUT)
    config = SAEConfig.from_dict({"architecture": "skip_transcoder", "d_in": lm.d_model, "d_sae": 4, "k": 2})
    card = run(evaluate(lm, SAE(config), reads, ROWS, writes=writes, drop=ALL))[0]
    assert card.explained_variance < 0.2
    assert card.kl_sae == pytest.approx(card.kl_zero)
    assert math.isfinite(card.ce_sae)


def test_a_width_that_does_not_fit_is_refused(lm):
    wide = SAE(SAEConfig.from_dict({"architecture": "topk", "d_in": lm.d_model + 1, "d_sae": 64}))
    with pytest.raises(WidthMismatch):
        run(evaluate(lm, wide, POINT, ROWS))
