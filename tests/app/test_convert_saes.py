"""Pickled SAEs: converted on consent, then read like any other."""

import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file

from loupe.app.services.convert import convert, open_source
from loupe.engine.models.hooks import HookPoint
from loupe.engine.sae.formats import read_sae

GOLDEN = Path(__file__).parents[1] / "golden" / "sae"


def converted(file: Path) -> Path:
    with open_source(file) as source:
        return convert(source, file.parent, consent=source.sha256).weights


def test_a_converted_dictionary_is_read_from_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "trainer_0"
    shutil.copytree(GOLDEN / "dictionary_learning" / "matryoshka", folder)
    wanted = load_file(folder / "expected.safetensors")
    (folder / "expected.safetensors").unlink()
    converted(folder / "ae.pt")
    loaded = read_sae(folder)
    assert torch.allclose(loaded.sae.encode(wanted["x"]), wanted["feature_acts"], atol=1e-5)
    assert loaded.source_format == "dictionary_learning" and loaded.sae.config.prefixes == (0.25, 0.5, 1.0)


def test_a_pickle_with_its_config_inside_is_read_by_that_config(tmp_path: Path) -> None:
    weights = load_file(GOLDEN / "saelens" / "legacy_topk" / "sae_weights.safetensors")
    config = {"hook_point": "blocks.1.hook_resid_post", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}}
    torch.save({"cfg": config | {"model_name": "tiny"}, "state_dict": weights}, tmp_path / "old.pt")
    loaded = read_sae(converted(tmp_path / "old.pt"))
    wanted = load_file(GOLDEN / "saelens" / "legacy_topk" / "expected.safetensors")
    assert torch.allclose(loaded.sae.encode(wanted["x"]), wanted["feature_acts"], atol=1e-5)
    assert (loaded.hook_point, loaded.model_name) == (HookPoint(1), "tiny") and "before 6.0" in loaded.assumptions[0]
