"""Loading as a job: in stages, within the budget, answered before it counts, and nothing left of a load that failed."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from loupe.engine.device import DeviceThread
from loupe.engine.errors import BadInput, Cancelled, DepthDrift, ModelError, OutOfDeviceMemory
from loupe.engine.jobs import JobState, Progress
from loupe.engine.memory import DeviceMemory, MemoryBudget
from loupe.engine.models.architecture import architecture_of, tree
from loupe.engine.models.loading import load_model
from loupe.engine.models.reading import Reading
from loupe.engine.models.size import cache_bytes_per_token, folder_size, tensors_size
from loupe.engine.nla.load_job import LoadJob, LoadPart, Role, bytes_of, pair_of
from loupe.engine.task import run_here
from tests.engine.nla.tiny_pairs import GOLDEN

MIB = 2**20
BASE = LoadPart(Role.MODEL, GOLDEN / "base", "model base")
AV = LoadPart(Role.VERBALIZER, GOLDEN / "av", "verbalizer av")
AR = LoadPart(Role.RECONSTRUCTOR, GOLDEN / "ar", "reconstructor ar", beside=GOLDEN / "av")


def copied(folder: Path, target: Path) -> Path:
    """A folder of which one file can be changed."""
    target.mkdir()
    for file in folder.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def budget(total: int, used: int = 0) -> MemoryBudget:
    return MemoryBudget(read=lambda _: DeviceMemory(total, used))


def test_parts_come_in_stages_and_are_in_the_ledger_afterwards():
    memory, stages = budget(1000 * MIB), []
    things = run_here(
        LoadJob([BASE, AV, AR]), memory=memory, on_event=lambda event: stages.append(getattr(event, "message", ""))
    )
    assert list(dict.fromkeys(stages)) == [
        "loading the model",
        "loading the verbalizer",
        "loading the reconstructor",
        "answering a test input",
        "ready",
    ]
    assert memory.holdings() == {part.owner: bytes_of(things[part]) for part in (AV, BASE, AR)}
    assert pair_of(things).layer == 3


def test_what_the_headers_promise_is_what_memory_holds():
    things = run_here(LoadJob([BASE, AV, AR]), memory=budget(1000 * MIB))
    for part in (BASE, AV, AR):
        assert bytes_of(things[part]) == pytest.approx(part.nbytes("cpu"), rel=0.02)


def test_only_what_is_missing_is_loaded():
    base = run_here(LoadJob([BASE]), memory=budget(1000 * MIB))
    memory = budget(1000 * MIB)
    things = run_here(LoadJob([AV, AR], base), memory=memory)
    assert things[BASE] is base[BASE]
    assert set(memory.holdings()) == {"verbalizer av", "reconstructor ar"}


def test_a_load_that_does_not_fit_is_refused_and_leaves_the_ledger_as_it_was():
    memory = MemoryBudget(fraction=1, read=lambda _: DeviceMemory(BASE.nbytes("cpu"), sum(memory.holdings().values())))
    with pytest.raises(OutOfDeviceMemory, match="Loading the verbalizer av needs"):
        run_here(LoadJob([BASE, AV, AR]), memory=memory)
    assert memory.holdings() == {}


def test_a_cancelled_load_leaves_the_ledger_as_it_was():
    from loupe.engine.context import JobContext

    context = JobContext(memory=budget(1000 * MIB))
    steps = LoadJob([BASE, AV, AR]).run(context)
    while "verbalizer" not in getattr(next(steps), "message", ""):
        pass
    assert set(context.memory.holdings()) == {"model base"}
    steps.close()
    assert context.memory.holdings() == {}


def test_progress_is_bytes_of_the_files_of_all_parts():
    events: list[Progress] = []
    run_here(LoadJob([BASE, AV, AR]), memory=budget(1000 * MIB), on_event=events.append)
    total = sum(part.stored_bytes() for part in (BASE, AV, AR))
    assert {event.total for event in events} == {total}
    assert [event.done for event in events] == sorted(event.done for event in events)
    assert events[-1].done == total


def test_other_jobs_run_while_a_load_reads(device_thread: DeviceThread, monkeypatch: pytest.MonkeyPatch):
    reading, may_go_on = threading.Event(), threading.Event()
    take = Reading.take

    def slow(self: Reading) -> list:
        reading.set()
        assert may_go_on.wait(30)
        return take(self)

    monkeypatch.setattr(Reading, "take", slow)
    load = device_thread.submit(LoadJob([BASE]))
    assert reading.wait(30)
    assert device_thread.call(lambda: "done").result(30) == "done"
    assert load.state is JobState.RUNNING
    may_go_on.set()
    assert load.result(60)[BASE].n_layers


def test_a_load_that_reads_is_cancelled_at_once(device_thread: DeviceThread, monkeypatch: pytest.MonkeyPatch):
    reading, stopped = threading.Event(), threading.Event()
    stop = Reading.stop

    def take(self: Reading) -> list:
        reading.set()
        assert stopped.wait(30)
        raise Cancelled("stopped")

    def note(self: Reading) -> None:
        stopped.set()
        stop(self)

    monkeypatch.setattr(Reading, "take", take)
    monkeypatch.setattr(Reading, "stop", note)
    load = device_thread.submit(LoadJob([BASE]))
    assert reading.wait(30)
    load.cancel()
    with pytest.raises(Cancelled):
        load.result(30)
    assert device_thread.memory.holdings() == {}


def test_a_model_that_answers_with_nan_is_not_ready(tmp_path: Path):
    broken = copied(GOLDEN / "base", tmp_path / "broken")
    tensors = load_file(broken / "model.safetensors")
    name = next(name for name in tensors if name.endswith("norm.weight"))
    tensors[name] = torch.full_like(tensors[name], float("nan"))
    save_file(tensors, broken / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises((ModelError, BadInput)):
        run_here(LoadJob([LoadPart(Role.MODEL, broken, "model broken")]), memory=budget(1000 * MIB))


def test_halves_that_contradict_each_other_are_refused():
    with pytest.raises(DepthDrift):
        run_here(
            LoadJob([BASE, LoadPart(Role.VERBALIZER, GOLDEN / "av", "av", layer=1), AR]), memory=budget(1000 * MIB)
        )


def test_a_dtype_changes_the_size_by_its_bytes():
    size = {dtype: folder_size(GOLDEN / "base", dtype) for dtype in ("auto", "fp32", "bf16", "int8", "nf4")}
    assert size["auto"].bytes == size["fp32"].bytes == 2 * size["bf16"].bytes
    assert size["nf4"].bytes < size["int8"].bytes < size["bf16"].bytes
    assert [size[dtype].exact for dtype in size] == [True, True, True, False, False]


def test_sizes_by_hand():
    header = {
        "__metadata__": {},
        "model.embed_tokens.weight": {"dtype": "F16", "shape": [10, 4]},
        "mlp.weight": {"dtype": "F16", "shape": [4, 4]},
        "norm.weight": {"dtype": "F16", "shape": [4]},
    }
    assert tensors_size([header]).bytes == 2 * (40 + 16 + 4)
    assert tensors_size([header], "nf4").bytes == 2 * 40 + 0.5625 * 16 + 2 * 4
    config = {"num_hidden_layers": 3, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_size": 32}
    assert cache_bytes_per_token(config) == 2 * 3 * 2 * 8 * 2
    assert cache_bytes_per_token({"text_config": config | {"head_dim": 16}}, 4) == 2 * 3 * 2 * 16 * 4
    assert cache_bytes_per_token({}) is None


def test_a_tree_from_the_config_is_the_tree_of_the_model():
    built, loaded = architecture_of(GOLDEN / "base"), load_model(GOLDEN / "base")
    assert built == tree(loaded.model, loaded.family)
    assert built.parameters == sum(p.numel() for p in loaded.model.parameters())
    assert json.loads(json.dumps(built.to_json()))["kind"] == "Qwen2ForCausalLM"
