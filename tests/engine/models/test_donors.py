"""Donors: a fine-tune or an adapter read through its base, and the base left as it was."""

import json
import socket
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from loupe.engine.errors import CorruptFile, UnknownFormat, UnsafeFile, UnsupportedModel, WidthMismatch
from loupe.engine.models.certify import certify
from loupe.engine.models.donors import is_adapter, load_donor
from loupe.engine.models.hooks import HookPoint, Site, capture
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model, wrap_model
from tests.engine.models.vocabularies import byte_level
from tests.engine.models.zoo import IDS, build, lm_of, make

# peft 0.21 asks transformers 5.23 for a property under its old name, when the tests save an adapter.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("loading a donor asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def base(tmp_path: Path) -> LanguageModel:
    build("llama").save_pretrained(tmp_path / "base")
    lm = load_model(tmp_path / "base")
    lm.tokenizer = byte_level()
    return lm


def save_adapter(folder: Path, name: str = "llama") -> torch.Tensor:
    """A random LoRA adapter in `folder`; what the adapted model computes for IDS."""
    torch.manual_seed(3)
    adapted = get_peft_model(make(name), LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_" in key:
                parameter.normal_()
    adapted.eval().save_pretrained(folder)
    with torch.no_grad():
        return adapted(IDS).logits


def test_an_adapter_makes_a_donor_that_computes_what_peft_computes(base: LanguageModel, tmp_path: Path) -> None:
    expected, clean = save_adapter(tmp_path / "adapter"), base.logits(IDS)
    donor = load_donor(base, tmp_path / "adapter")
    with torch.no_grad():
        torch.testing.assert_close(donor.logits(IDS), expected)
        assert not torch.allclose(donor.logits(IDS), clean)
        assert torch.equal(base.logits(IDS), clean)
    assert not any(parameter.requires_grad for parameter in donor.model.parameters())


def test_a_donor_is_hooked_as_its_base_is(base: LanguageModel, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter")
    donor = load_donor(base, tmp_path / "adapter")
    assert certify(donor).passed
    assert donor.family == base.family
    with torch.no_grad(), capture(donor, [HookPoint(1, site) for site in Site]) as store:
        donor.forward(IDS)
    assert len(store) == 6


def test_a_donor_of_a_base_in_memory_is_a_copy_too(tmp_path: Path) -> None:
    base = wrap_model(make("llama"), byte_level())
    expected = save_adapter(tmp_path / "adapter")
    with torch.no_grad():
        torch.testing.assert_close(load_donor(base, tmp_path / "adapter").logits(IDS), expected)
        assert torch.equal(base.logits(IDS), lm_of("llama").logits(IDS))


def test_a_fine_tune_is_a_donor_with_the_bases_tokenizer_when_it_has_none(base: LanguageModel, tmp_path: Path) -> None:
    tuned = make("llama")
    with torch.no_grad():
        tuned.model.layers[0].mlp.down_proj.weight.mul_(2)
    tuned.save_pretrained(tmp_path / "tuned")
    donor = load_donor(base, tmp_path / "tuned")
    assert donor.tokenizer is base.tokenizer
    assert torch.equal(donor.logits(IDS), tuned(IDS).logits)


def test_donors_are_told_apart_by_base_and_by_adapter(base: LanguageModel, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter")
    donor = load_donor(base, tmp_path / "adapter")
    assert len(donor.fingerprint) == 64
    assert donor.fingerprint == load_donor(base, tmp_path / "adapter").fingerprint != base.fingerprint
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    save_file({key: value + 1 for key, value in tensors.items()}, tmp_path / "adapter" / "adapter_model.safetensors")
    assert load_donor(base, tmp_path / "adapter").fingerprint != donor.fingerprint


def test_a_donor_keeps_the_bases_dtype(tmp_path: Path) -> None:
    build("llama").save_pretrained(tmp_path / "base")
    save_adapter(tmp_path / "adapter")
    donor = load_donor(load_model(tmp_path / "base", dtype="bf16"), tmp_path / "adapter")
    assert donor.dtype == "bf16"
    assert donor.logits(IDS).dtype == torch.bfloat16


def test_a_model_of_another_depth_or_width_is_no_donor(base: LanguageModel, tmp_path: Path) -> None:
    config = build("llama").config
    for name, change in (("narrow", {"hidden_size": 16}), ("shallow", {"num_hidden_layers": 2})):
        type(build("llama"))(type(config)(**{**config.to_dict(), **change})).save_pretrained(tmp_path / name)
    with pytest.raises(WidthMismatch, match="d_model 16, its base 24"):
        load_donor(base, tmp_path / "narrow")
    with pytest.raises(WidthMismatch, match="number of blocks 2, its base 3"):
        load_donor(base, tmp_path / "shallow")


def test_an_adapter_for_other_modules_is_refused(base: LanguageModel, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "target_modules": ["nowhere"]}))
    with pytest.raises(UnsupportedModel, match="does not fit llama"):
        load_donor(base, tmp_path / "adapter")


def test_an_adapter_of_another_width_is_refused(base: LanguageModel, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    save_file({key: torch.ones(3, 3) for key in load_file(file)}, file)
    with pytest.raises(UnsupportedModel, match="does not fit"):
        load_donor(base, tmp_path / "adapter")


def test_an_adapter_that_fills_only_some_of_its_modules_is_refused(base: LanguageModel, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    tensors = load_file(file)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, file)
    with pytest.raises(CorruptFile, match="lacks"):
        load_donor(base, tmp_path / "adapter")


def test_a_pickled_adapter_is_refused(base: LanguageModel, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").rename(tmp_path / "adapter" / "adapter_model.bin")
    with pytest.raises(UnsafeFile, match="loupe convert"):
        load_donor(base, tmp_path / "adapter")


def test_an_adapter_without_weights_is_refused_and_nobody_looks_on_the_hub(base: LanguageModel, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(UnknownFormat, match=r"adapter_model\.safetensors"):
        load_donor(base, tmp_path / "adapter")


def test_a_truncated_adapter_is_corrupt(base: LanguageModel, tmp_path: Path) -> None:
    save_adapter(tmp_path / "adapter")
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    with pytest.raises(CorruptFile):
        load_donor(base, tmp_path / "adapter")


def test_an_adapter_folder_is_known_by_its_config(tmp_path: Path) -> None:
    assert not is_adapter(tmp_path)
    (tmp_path / "adapter_config.json").write_text("{}")
    assert is_adapter(tmp_path)
