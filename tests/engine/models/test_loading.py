"""From folders to models: what loads is what was saved, and what must not load says why."""

import json
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPVisionConfig, LlavaConfig, LlavaForConditionalGeneration, Qwen2TokenizerFast

from loupe.engine.errors import BadOption, CorruptFile, ModelError, UnknownFormat, UnsafeFile, UnsupportedModel
from loupe.engine.models.hooks import HookPoint, capture
from loupe.engine.models.loading import load_model, load_trunk
from loupe.engine.models.size import folder_size
from tests.engine.models.zoo import IDS, ZOO, build, lm_of, make

GOLDEN = Path(__file__).parents[2] / "golden" / "nla" / "qwen2"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A saved tiny llama without a tokenizer."""
    build("llama").save_pretrained(tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("loading asked the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize("name", ZOO)
def test_a_saved_model_comes_back_with_the_same_logits(name: str, tmp_path: Path) -> None:
    build(name).save_pretrained(tmp_path)
    lm = load_model(tmp_path)
    with torch.no_grad():
        assert torch.equal(lm.logits(IDS), lm_of(name).logits(IDS))
    assert lm.embed_scale == lm_of(name).embed_scale
    assert lm.family == lm_of(name).family
    assert (lm.path, lm.dtype, lm.tokenizer) == (tmp_path, "fp32", None)
    assert not lm.model.training
    assert not any(parameter.requires_grad for parameter in lm.model.parameters())


@pytest.mark.parametrize(
    ("dtype", "torch_dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)]
)
def test_a_dtype_is_what_it_says(folder: Path, dtype: str, torch_dtype: torch.dtype) -> None:
    lm = load_model(folder, dtype=dtype)
    assert lm.dtype == dtype
    assert {parameter.dtype for parameter in lm.model.parameters()} == {torch_dtype}
    with torch.no_grad():
        assert lm.logits(IDS).dtype == torch_dtype


def test_auto_keeps_the_dtype_the_weights_are_stored_in(tmp_path: Path) -> None:
    make("gemma").to(torch.bfloat16).save_pretrained(tmp_path)
    lm = load_model(tmp_path)
    assert lm.dtype == "bf16"
    assert lm.embed_scale == float(torch.tensor(24**0.5).bfloat16())


def test_auto_computes_fp16_in_fp32_on_a_cpu_and_counts_its_memory_so(tmp_path: Path) -> None:
    make("llama").to(torch.float16).save_pretrained(tmp_path)
    lm = load_model(tmp_path)
    assert lm.dtype == "fp32"
    assert load_model(tmp_path, dtype="fp16").dtype == "fp16", "what is asked for by name is had"
    stored = folder_size(tmp_path)
    assert folder_size(tmp_path, "auto", "cpu").bytes == 2 * stored.bytes
    assert folder_size(tmp_path, "auto", "cuda") == stored


@pytest.mark.parametrize("dtype", ["int8", "nf4"])
def test_quantised_loading_without_cuda_is_refused_and_nothing_else_is_loaded_instead(folder: Path, dtype: str) -> None:
    with pytest.raises(BadOption, match="CUDA"):
        load_model(folder, dtype=dtype)


@pytest.mark.parametrize(("dtype", "chosen"), [("int8", {"load_in_8bit": True}), ("nf4", {"load_in_4bit": True})])
def test_quantised_loading_on_cuda_asks_transformers_for_just_that(
    folder: Path, monkeypatch: pytest.MonkeyPatch, dtype: str, chosen: dict[str, bool]
) -> None:
    asked: dict[str, object] = {}

    def from_pretrained(*args: object, **options: object) -> tuple[object, dict[str, list[str]]]:
        asked.update(options)
        return build("llama"), {"missing_keys": [], "mismatched_keys": []}

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr("transformers.BitsAndBytesConfig", lambda **options: options)
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", from_pretrained)
    lm = load_model(folder, dtype=dtype, device="cuda:0")
    assert lm.dtype == dtype
    assert chosen.items() <= asked["quantization_config"].items()
    assert asked["device_map"] == {"": torch.device("cuda:0")}


def test_an_image_text_wrapper_of_another_family_is_read_as_its_text_model(tmp_path: Path) -> None:
    vision = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2, image_size=28, patch_size=14
    )
    config = LlavaConfig(text_config=build("llama").config, vision_config=vision, image_token_id=95)
    model = LlavaForConditionalGeneration(config).eval()
    model.save_pretrained(tmp_path)
    lm = load_model(tmp_path)
    assert lm.family.blocks == "model.language_model.layers"
    assert torch.equal(lm.logits(IDS), model(IDS, use_cache=False).logits)


def test_an_unknown_dtype_is_refused_with_the_known_ones(folder: Path) -> None:
    with pytest.raises(BadOption, match="fp32, bf16, fp16, int8, nf4"):
        load_model(folder, dtype="float64")


def test_a_folder_with_a_tokenizer_brings_it_along() -> None:
    lm = load_model(GOLDEN / "base")
    expected = json.loads((GOLDEN / "expected.json").read_text())
    assert lm.tokenizer is not None
    assert lm.tokenizer.encode(expected["text"]) == expected["token_ids"]


def test_activations_of_the_golden_model_are_exact() -> None:
    lm = load_model(GOLDEN / "base")
    expected = json.loads((GOLDEN / "expected.json").read_text())
    point = HookPoint(expected["K"])
    with torch.no_grad(), capture(lm, [point], stop=True) as store:
        lm.forward(torch.tensor([expected["token_ids"]]))
    torch.testing.assert_close(store[point][0], torch.tensor(expected["activations"]), rtol=0, atol=1e-6)


def test_a_missing_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match="local folders"):
        load_model(tmp_path / "nowhere")


def test_a_hub_id_is_no_folder_and_nobody_goes_looking() -> None:
    with pytest.raises(UnknownFormat, match="not a folder"):
        load_model("gpt2")


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match=r"config\.json"):
        load_model(tmp_path)


def test_a_broken_config_is_corrupt(folder: Path) -> None:
    (folder / "config.json").write_text('{"model_type": "llama"')
    with pytest.raises(CorruptFile, match="not valid JSON"):
        load_model(folder)


def test_a_model_type_that_brings_its_own_code_is_refused_and_its_code_is_not_run(folder: Path) -> None:
    (folder / "modeling_evil.py").write_text("raise SystemExit('executed')")
    config = {"model_type": "evil", "auto_map": {"AutoConfig": "modeling_evil.C", "AutoModelForCausalLM": "m.M"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UnsupportedModel, match="own Python code"):
        load_model(folder)


def test_pickled_weights_are_refused_and_the_converter_is_named(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    torch.save({"weight": torch.zeros(1)}, folder / "pytorch_model.bin")
    (folder / "a.pt").write_bytes(b"")
    with pytest.raises(UnsafeFile, match=r"loupe convert .*pytorch_model\.bin"):
        load_model(folder)


def test_a_pickle_beside_safetensors_is_not_opened(folder: Path) -> None:
    (folder / "pytorch_model.bin").write_bytes(b"not even a pickle")
    assert load_model(folder).n_layers == 3


def test_truncated_weights_are_found_before_anything_is_loaded(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(CorruptFile, match="download it again"):
        load_model(folder)


def test_a_header_that_contradicts_itself_is_corrupt(folder: Path) -> None:
    header = json.dumps({"model.norm.weight": {"dtype": "F32", "shape": [24], "data_offsets": [0, 8]}}).encode()
    (folder / "model.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(8))
    with pytest.raises(CorruptFile, match="contradict"):
        load_model(folder)


def test_a_checkpoint_that_does_not_fill_the_model_is_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"], tensors["lm_head.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CorruptFile, match=r"lm_head\.weight, model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(folder)


def test_a_tensor_of_another_shape_is_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.norm.weight"] = torch.ones(7)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UnsupportedModel, match="could not be loaded"):
        load_model(folder)


def test_a_tokenizer_that_does_not_parse_is_corrupt(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{}")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    with pytest.raises(CorruptFile, match="tokenizer"):
        load_model(folder)


def test_an_adapter_is_not_taken_for_a_model(tmp_path: Path) -> None:
    (tmp_path / "adapter_config.json").write_text("{}")
    with pytest.raises(UnknownFormat, match="donor"):
        load_model(tmp_path)


def test_a_trunk_ends_at_its_last_block_and_has_no_head(folder: Path) -> None:
    trunk, whole = load_trunk(folder), lm_of("llama")
    with torch.no_grad(), capture(whole, [HookPoint(2)]) as store:
        whole.forward(IDS)
    assert torch.equal(trunk.forward(IDS).last_hidden_state, store[HookPoint(2)])
    with pytest.raises(ModelError, match="trunk"):
        trunk.logits(IDS)


@pytest.mark.parametrize("name", ["llama", "opt post-norm", "gpt2", "gemma3 wrapper"])
def test_a_trunk_may_lack_final_norm_and_head_or_have_a_head_of_another_size(name: str, tmp_path: Path) -> None:
    build(name).save_pretrained(tmp_path)
    file, family = tmp_path / "model.safetensors", lm_of(name).family
    tensors = load_file(file)
    ends = tuple(f"{part}." for part in (family.final_norm, family.project_out) if part)
    kept = {key: value for key, value in tensors.items() if not key.startswith((*ends, "lm_head."))}
    save_file({**kept, "lm_head.weight": torch.eye(24)}, file, metadata={"format": "pt"})
    with torch.no_grad(), capture(lm_of(name), [HookPoint(2)]) as store:
        lm_of(name).forward(IDS)
    assert torch.equal(load_trunk(tmp_path).forward(IDS).last_hidden_state, store[HookPoint(2)])


def test_a_trunk_that_lacks_a_block_is_refused(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CorruptFile, match="partly random"):
        load_trunk(folder)


def test_many_missing_tensors_are_counted_not_listed(folder: Path) -> None:
    save_file({"model.norm.weight": torch.ones(24)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(CorruptFile, match=r"and \d+ more"):
        load_model(folder)


def test_the_fingerprint_is_of_the_files_and_follows_them(folder: Path, tmp_path: Path) -> None:
    first = load_model(folder).fingerprint
    shutil.copytree(folder, tmp_path / "copy")
    assert load_model(tmp_path / "copy", dtype="bf16").fingerprint == first
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 1e-3}))
    assert load_model(folder).fingerprint != first


def test_transformers_progress_bar_is_off_while_loading_and_as_it_was_afterwards(
    folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    load_model(folder)
    assert "Loading weights" not in capfd.readouterr().err
    assert logging.is_progress_bar_enabled()


def test_importing_the_room_imports_neither_torch_nor_transformers() -> None:
    code = "import sys, loupe.engine.models; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_importing_the_loader_does_not_import_transformers() -> None:
    code = "import sys, loupe.engine.models.loading; print('transformers' in sys.modules)"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "False"


def test_the_tokenizer_class_is_the_one_the_folder_names() -> None:
    assert isinstance(load_model(GOLDEN / "base").tokenizer, Qwen2TokenizerFast)
