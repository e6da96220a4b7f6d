"""Configs that check and document themselves: one schema for forms, tooltips, command line and API."""

import pytest

from loupe.engine.errors import BadOption
from loupe.engine.sae.config import SAEConfig, TrainingConfig
from tests.engine.sae.samples import CASES, configs


@pytest.mark.parametrize("case", CASES)
def test_configs_survive_json(case):
    sae, training = configs(case)
    assert SAEConfig.from_dict(sae.to_dict()) == sae
    assert TrainingConfig.from_dict(training.to_dict()) == training
    assert None not in (training.lr, training.warmup, training.dead_tokens, training.aux_k, training.bandwidth)


def test_every_option_says_what_it_is_for():
    for facts in (*SAEConfig.schema(), *TrainingConfig.schema()):
        assert facts.help.endswith((".", "?")), facts.name
        assert facts.kinds
        assert facts.required or "none" in facts.kinds or facts.default is not None


BAD = [
    ({"k": 21}, "k = 21 is above d_sae = 20"),
    ({"k": 0}, "k = 0 is out of range"),
    ({"d_in": 0}, "d_in = 0 is out of range"),
    ({"d_sae": 4.5}, "must be a whole number"),
    ({"d_in": True}, "d_in = True"),
    ({"architecture": "dense"}, "is not one of standard, gated"),
    ({"activation": "relu"}, "has topk codes"),
    ({"d_out": 9}, "only transcoders"),
    ({"parts": 2}, "is for crosscoders"),
    ({"prefixes": [0.5, 0.2, 1]}, "prefixes must rise"),
    ({"prefixes": [0.5, 2]}, "out of range"),
    ({"width": 3}, "has no option width"),
]


@pytest.mark.parametrize(("changed", "message"), BAD)
def test_shapes_that_make_no_sense_are_refused(changed, message):
    with pytest.raises(BadOption, match=message):
        SAEConfig.from_dict({"architecture": "topk", "d_in": 8, "d_sae": 20} | changed)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"lr": 0}, "lr = 0"),
        ({"lr": 1.0}, "at most 0.1"),
        ({"lr": float("nan")}, "lr = nan"),
        ({"steps": 0}, "at least 1"),
        ({"batch_rows": 1.5}, "whole number"),
        ({"decay": 2}, "at most 1"),
        ({"normalise": 1}, "normalise = 1"),
        ({"centring": "middle"}, "mean, geometric_median, zero"),
        ({"learning_rate": 1e-3}, "has no option learning_rate"),
    ],
)
def test_training_out_of_range_is_refused(changed, message):
    with pytest.raises(BadOption, match=message):
        TrainingConfig.from_dict(changed)


def test_a_parameterless_sae_needs_its_widths():
    with pytest.raises(BadOption, match="needs d_in, d_sae"):
        SAEConfig.from_dict({"architecture": "topk"})
    with pytest.raises(BadOption, match="8 cannot be shared by 3"):
        SAEConfig.from_dict({"architecture": "crosscoder", "d_in": 8, "d_sae": 20, "parts": 3})
    with pytest.raises(BadOption, match="has no k"):
        SAEConfig.from_dict({"architecture": "standard", "d_in": 8, "d_sae": 20, "k": 3})


def test_a_target_above_all_latents_is_refused():
    sae = SAEConfig.from_dict({"architecture": "jumprelu", "d_in": 8, "d_sae": 20})
    with pytest.raises(BadOption, match="above d_sae"):
        TrainingConfig(l0_target=21).settled_for(sae)
