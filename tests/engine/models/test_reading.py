"""What is read step by step is what transformers loads, bit for bit, and it can be left at any step."""

import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, GenerationConfig

from loupe.engine.errors import Cancelled
from loupe.engine.jobs import Progress, Waiting, finished
from loupe.engine.models.loading import load_model, load_model_steps, load_trunk
from loupe.engine.models.reading import Reading
from tests.engine.models.zoo import IDS, ZOO, build, lm_of, make

CASTS = [(name, dtype) for name in ("gpt_oss", "mixtral", "gemma3 wrapper", "qwen2") for dtype in ("bf16", "fp16")]
TORCH = {"auto": "auto", "fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def theirs(folder: Path, dtype: str = "auto") -> nn.Module:
    """The model as transformers loads it."""
    config = build_config(folder)
    auto = AutoModelForCausalLM if type(config) in AutoModelForCausalLM._model_mapping else AutoModelForImageTextToText
    return auto.from_pretrained(folder, dtype=TORCH[dtype], local_files_only=True)


def build_config(folder: Path) -> object:
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(folder)


def assert_same(ours: nn.Module, other: nn.Module) -> None:
    """Parameters, buffers of every kind, ties, configs and generation settings are equal."""
    for kind in ("named_parameters", "named_buffers"):
        mine = dict(getattr(ours, kind)(remove_duplicate=False))
        yours = dict(getattr(other, kind)(remove_duplicate=False))
        assert mine.keys() == yours.keys()
        for name, tensor in mine.items():
            assert tensor.dtype == yours[name].dtype, name
            assert torch.equal(tensor, yours[name]), name
    assert ties(ours) == ties(other)
    assert ours.config.to_dict() == other.config.to_dict()
    assert ours.generation_config.to_dict() == other.generation_config.to_dict()
    assert ours._weight_conversions == other._weight_conversions or len(ours._weight_conversions) == len(
        other._weight_conversions
    )


def ties(model: nn.Module) -> list[list[str]]:
    found: dict[int, list[str]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        found.setdefault(id(parameter), []).append(name)
    return sorted(names for names in found.values() if len(names) > 1)


@pytest.mark.parametrize("name", ZOO)
def test_every_family_is_what_transformers_loads(name: str, tmp_path: Path) -> None:
    build(name).save_pretrained(tmp_path)
    assert_same(load_model(tmp_path).model, theirs(tmp_path))


@pytest.mark.parametrize(("name", "dtype"), CASTS)
def test_a_cast_is_transformers_cast(name: str, dtype: str, tmp_path: Path) -> None:
    build(name).save_pretrained(tmp_path)
    assert_same(load_model(tmp_path, dtype=dtype).model, theirs(tmp_path, dtype))


def test_shards_and_a_dtype_that_only_the_weights_tell(tmp_path: Path) -> None:
    make("qwen3_moe").to(torch.bfloat16).save_pretrained(tmp_path, max_shard_size="10KB")
    assert (tmp_path / "model.safetensors.index.json").is_file()
    text = (tmp_path / "config.json").read_text()
    (tmp_path / "config.json").write_text(text.replace('"dtype": "bfloat16",', ""))
    ours = load_model(tmp_path)
    assert ours.dtype == "bf16"
    assert_same(ours.model, theirs(tmp_path))


def test_names_without_the_models_prefix_find_their_places(tmp_path: Path) -> None:
    build("llama").save_pretrained(tmp_path)
    file = tmp_path / "model.safetensors"
    tensors = {name.removeprefix("model."): tensor for name, tensor in load_file(file).items()}
    save_file(tensors | {"left.over": torch.ones(2)}, file, metadata={"format": "pt"})
    assert_same(load_model(tmp_path).model, theirs(tmp_path))


def test_the_folders_own_generation_settings_are_read(tmp_path: Path) -> None:
    build("llama").save_pretrained(tmp_path)
    GenerationConfig(temperature=0.3, do_sample=True, eos_token_id=[2, 7]).save_pretrained(tmp_path)
    ours = load_model(tmp_path).model
    assert ours.generation_config.eos_token_id == [2, 7]
    assert_same(ours, theirs(tmp_path))


def test_a_trunk_has_the_weights_of_the_whole_model(tmp_path: Path) -> None:
    build("qwen2").save_pretrained(tmp_path)
    trunk, whole = dict(load_trunk(tmp_path).model.named_parameters()), dict(lm_of("qwen2").model.named_parameters())
    assert whole.keys() - trunk.keys() == {"model.norm.weight"}
    assert all(torch.equal(tensor, whole[name]) for name, tensor in trunk.items())


def test_weights_are_memory_of_their_own_and_not_the_file(tmp_path: Path) -> None:
    build("llama").save_pretrained(tmp_path)
    lm, file = load_model(tmp_path), tmp_path / "model.safetensors"
    file.write_bytes(bytes(file.stat().st_size))
    with torch.no_grad():
        assert torch.equal(lm.logits(IDS), lm_of("llama").logits(IDS))


def test_progress_counts_the_bytes_of_the_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loupe.engine.models.reading.CHUNK_BYTES", 1000)
    monkeypatch.setattr("loupe.engine.models.reading.BATCH_BYTES", 4000)
    build("mixtral").save_pretrained(tmp_path)
    counts = [event.done for event in load_model_steps(tmp_path) if isinstance(event, Progress)]
    stored = sum(tensor.nbytes for tensor in load_file(tmp_path / "model.safetensors").values())
    assert counts[0] == 0
    assert counts == sorted(counts)
    assert counts[-1] == stored
    assert len(counts) > 10


def test_small_chunks_read_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loupe.engine.models.reading.CHUNK_BYTES", 100)
    build("gpt_oss").save_pretrained(tmp_path)
    assert_same(load_model(tmp_path, dtype="bf16").model, theirs(tmp_path, "bf16"))


def test_files_are_read_in_another_thread_and_no_step_changes_a_global_mode(tmp_path: Path) -> None:
    make("llama").to(torch.bfloat16).save_pretrained(tmp_path)
    readers: list[str] = []
    steps = load_model_steps(tmp_path)
    while True:
        try:
            event = next(steps)
        except StopIteration as end:
            assert end.value.dtype == "bf16"
            break
        assert torch.get_default_dtype() == torch.float32
        if isinstance(event, Waiting):
            readers += [thread.name for thread in threading.enumerate() if thread.name.startswith("loupe-reading")]
    assert readers
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loupe-reading")]


@pytest.mark.parametrize("steps_taken", [1, 2, 3])
def test_a_load_that_is_left_leaves_no_thread_and_no_open_file(steps_taken: int, tmp_path: Path) -> None:
    build("llama").save_pretrained(tmp_path)
    steps = load_model_steps(tmp_path)
    for _ in range(steps_taken):
        next(steps)
    steps.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("loupe-reading")]
    opened = [
        link for link in Path("/proc/self/fd").iterdir() if link.exists() and str(tmp_path) in str(link.resolve())
    ]
    assert opened == []


def test_a_reading_that_is_stopped_ends_inside_a_tensor(tmp_path: Path) -> None:
    model = build("llama")
    model.save_pretrained(tmp_path)
    reading = Reading(type(model), model.config, tmp_path, [tmp_path / "model.safetensors"], "auto")
    reading.stop()
    with pytest.raises(Cancelled):
        reading.take()
    reading.close()


def test_tensors_reach_another_device_in_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loupe.engine.models.reading.CHUNK_BYTES", 1000)
    model = build("llama")
    model.save_pretrained(tmp_path)
    reading = Reading(type(model), model.config, tmp_path, [tmp_path / "model.safetensors"], "auto")
    (name, tensor), *_ = [one for one in reading.take() if one[0] == "model.embed_tokens.weight"]
    events = list(reading.put(name, tensor, torch.device("meta")))
    assert len(events) == -(-tensor.nbytes // 1000)
    assert reading.model.get_parameter(name).is_meta
    assert not list(reading.put(name, tensor, torch.device("cpu")))
    assert torch.equal(reading.model.get_parameter(name), tensor)
    reading.close()


def test_run_to_its_end_it_is_the_same_as_loading(tmp_path: Path) -> None:
    build("gpt2").save_pretrained(tmp_path)
    assert_same(finished(load_model_steps(tmp_path)).model, load_model(tmp_path).model)
