"""Where blocks go, that they find each other again, and that what waits changes nothing.

There may be no GPU where this runs. Blocks that wait are tested with the CPU as home, on real numbers. Blocks on two
devices are tested on torch's fake tensors: they have no numbers, but know their device and refuse, as CUDA would, an
operation whose operands lie on different ones. The second device is called meta, which every build of torch knows.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from transformers.initialization import no_init_weights

from loupe.engine.errors import BadOption, OutOfDeviceMemory
from loupe.engine.jobs import finished
from loupe.engine.memory import DeviceMemory, MemoryBudget
from loupe.engine.models.certify import certify
from loupe.engine.models.hooks import HookPoint, Site, capture, intervene
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.loading import load_model, load_model_steps, load_trunk, wrap_model
from loupe.engine.models.partial import run_blocks
from loupe.engine.models.placement import (
    Device,
    Placement,
    Spread,
    bytes_by_device,
    devices_here,
    settle,
    spread_blocks,
    why_not,
)
from loupe.engine.nla.load_job import LoadJob, LoadPart, Role
from loupe.engine.nla.paths import causal, run_path
from loupe.engine.task import run_here
from tests.engine.models.zoo import IDS, LISTED, ZOO, build, lm_of, make

HOME = torch.device("cpu")
GPUS = (
    Device("cuda:0", "a GPU", 24 * 2**30, 20 * 2**30),
    Device("cuda:1", "a GPU", 24 * 2**30, 10 * 2**30),
    Device("cpu", "CPU and its memory", 64 * 2**30, 50 * 2**30),
)


@pytest.mark.parametrize(
    ("text", "devices", "offload"),
    [
        ("cpu", ("cpu",), False),
        ("cuda", ("cuda:0",), False),
        ("cuda:1", ("cuda:1",), False),
        ("cuda:0, cuda:1", ("cuda:0", "cuda:1"), False),
        ("cuda:0+cpu", ("cuda:0",), True),
        ("cuda:0,cuda:1+cpu", ("cuda:0", "cuda:1"), True),
        ("mps", ("mps",), False),
    ],
)
def test_a_placement_is_written_as_it_is_read(text: str, devices: tuple[str, ...], offload: bool) -> None:
    placement = Placement.parse(text)
    assert (placement.devices, placement.offload) == (devices, offload)
    assert Placement.parse(str(placement)) == placement


@pytest.mark.parametrize(
    "text", ["", "gpu", "cuda:", "cuda:0,cuda:0", "cuda,cuda:0", "cuda:0,cpu", "cuda:0+disk", "+cpu"]
)
def test_what_is_no_placement_is_refused_with_what_is_one(text: str) -> None:
    with pytest.raises(BadOption, match="cuda:0,cuda:1"):
        Placement.parse(text)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("cuda:0", ""),
        ("cuda:0,cuda:1+cpu", ""),
        ("cuda:0,cuda:2", "no cuda:2; it has cuda:0, cuda:1, cpu"),
        ("mps", "no mps"),
        ("cpu+cpu", "in CPU memory already"),
    ],
)
def test_a_machine_says_why_it_cannot(text: str, reason: str) -> None:
    said = why_not(Placement.parse(text), GPUS)
    assert reason in said
    assert bool(said) == bool(reason)


def test_the_cpu_is_always_there_with_its_memory() -> None:
    last = devices_here()[-1]
    assert last.name == "cpu"
    assert 0 < last.free_bytes < last.total_bytes
    assert why_not(Placement.parse("cpu"), devices_here()) == ""


class Blocks(nn.Module):
    """Ten blocks of 400 bytes, and 800 bytes that are no block."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(10, 10, bias=False) for _ in range(10))
        self.head = nn.Linear(10, 20, bias=False)


def spread_of(text: str, **free: int) -> Spread:
    room = {name.replace("_", ":"): count for name, count in free.items()}
    return spread_blocks(Blocks(), "layers", Placement.parse(text), lambda device: room[str(device)])


def test_devices_get_blocks_in_proportion_to_their_room_and_in_order() -> None:
    spread = spread_of("cuda:0,cuda:1", cuda_0=4000 + 800, cuda_1=4000)
    assert spread.where == ("cuda:0",) * 5 + ("cuda:1",) * 5
    assert spread_of("cuda:0,cuda:1", cuda_0=6000 + 800, cuda_1=2000).where.count("cuda:1") == 2
    assert spread.of("layers.4.weight") == torch.device("cuda:0")
    assert spread.of("layers.5.weight") == torch.device("cuda:1")
    assert spread.of("head.weight") == torch.device("cuda:0")


def test_a_full_device_passes_blocks_on_and_too_little_room_is_refused_with_numbers() -> None:
    assert spread_of("cuda:0,cuda:1", cuda_0=800 + 1200, cuda_1=2800).where.count("cuda:0") == 3
    with pytest.raises(OutOfDeviceMemory) as refused:
        spread_of("cuda:0,cuda:1", cuda_0=800 + 1200, cuda_1=2799)
    assert (refused.value.needed, refused.value.available) == (400, 399)
    with pytest.raises(OutOfDeviceMemory, match="no block"):
        spread_of("cuda:0,cuda:1", cuda_0=799, cuda_1=9000)


def test_what_does_not_fit_waits_and_room_for_visitors_is_kept() -> None:
    spread = spread_of("cuda:0+cpu", cuda_0=800 + 2 * 400 + 1200, cpu=2800)
    assert spread.where == ("cuda:0",) * 3 + (None,) * 7
    assert spread.of("layers.9.weight") == torch.device("cpu")
    with pytest.raises(OutOfDeviceMemory, match="CPU memory"):
        spread_of("cuda:0+cpu", cuda_0=800 + 2 * 400 + 1200, cpu=2799)


def waiting(name: str, folder: Path, dtype: str = "auto") -> LanguageModel:
    """A model of the zoo of which only the first block stays."""
    model = make(name)
    model.save_pretrained(folder)
    placement = Placement(("cpu",), offload=True)
    lm = load_model(folder, dtype=dtype)
    blocks = len(lm.blocks)
    settle(lm.model, Spread(placement, lm.family.blocks, ("cpu",) + (None,) * (blocks - 1)))
    return lm


@pytest.mark.parametrize("name", ["llama", "gpt2", "opt post-norm", "falcon sequential", "gemma3", "gpt_oss", "qwen2"])
def test_blocks_that_wait_change_no_bit_and_the_model_stays_certified(name: str, tmp_path: Path) -> None:
    lm = waiting(name, tmp_path)
    with torch.no_grad():
        assert torch.equal(lm.logits(IDS), lm_of(name).logits(IDS))
    assert certify(lm).passed


def test_between_forwards_a_waiting_block_has_its_own_weights(tmp_path: Path) -> None:
    lm = waiting("llama", tmp_path)
    before = {name: (parameter.data_ptr(), parameter._version) for name, parameter in lm.model.named_parameters()}
    point = HookPoint(1, Site.ATTN_OUT)  # the capture ends the forward inside a block that visits
    with torch.no_grad(), capture(lm, [point], stop=True) as store:
        lm.forward(IDS)
    assert store[point].device == HOME
    with pytest.raises(RuntimeError, match="broken"), intervene(lm, point, broken):
        lm.forward(IDS)
    after = {name: (parameter.data_ptr(), parameter._version) for name, parameter in lm.model.named_parameters()}
    assert after == before


def broken(value: torch.Tensor) -> torch.Tensor:
    raise RuntimeError("broken")


def test_a_visitor_uses_the_weights_that_were_patched_meanwhile(tmp_path: Path) -> None:
    lm, plain = waiting("llama", tmp_path), make("llama").requires_grad_(False)
    for model in (lm.model, plain):
        model.get_parameter("model.layers.2.mlp.up_proj.weight").add_(0.5)
    assert torch.equal(lm.model(IDS).logits, plain(IDS).logits)


def test_a_model_is_loaded_where_its_placement_says(tmp_path: Path) -> None:
    build("llama").save_pretrained(tmp_path)
    placement = Placement(("cpu",), offload=True)
    steps = load_model_steps(tmp_path, device=placement, available=lambda device: 10**9)
    assert finished(steps).placement == placement
    assert load_model(tmp_path).placement == Placement.parse("cpu")
    assert load_trunk(tmp_path, device="cpu").placement == Placement.parse("cpu")


def test_a_model_on_another_device_has_all_of_itself_there(tmp_path: Path) -> None:
    build("qwen2").save_pretrained(tmp_path)
    lm = load_model(tmp_path, device=torch.device("meta"))
    assert {str(t.device) for t in (*lm.model.parameters(), *lm.model.buffers())} == {"meta"}
    assert lm.model.lm_head.weight is lm.embedding.weight


def test_a_load_asks_the_budget_of_its_own_device_and_enters_it_there(tmp_path: Path) -> None:
    build("llama").save_pretrained(tmp_path)
    rooms = {"cpu": DeviceMemory(10**9, 0), "meta": DeviceMemory(1000, 0)}
    memory = MemoryBudget("cpu", read=lambda device: rooms[device.type])
    part = LoadPart(Role.MODEL, tmp_path, "model there", placement=Placement(("meta",)))
    with pytest.raises(OutOfDeviceMemory, match="on meta"):
        run_here(LoadJob([part]), memory=memory)
    assert memory.holdings() == {}
    here = LoadPart(Role.MODEL, tmp_path, "model here", placement=Placement(("cpu",), offload=True))
    run_here(LoadJob([here]), memory=memory)
    assert memory.holdings() == {"model here": pytest.approx(here.nbytes("cpu"), rel=0.02)}


def test_a_ledger_is_kept_for_every_device_and_struck_in_all() -> None:
    memory = MemoryBudget("cpu", read=lambda device: DeviceMemory(100, 0))
    other = memory.on("meta")
    assert memory.on("meta") is other
    assert memory.on(torch.device("cpu", 0)) is memory
    for budget in (memory, other):
        budget.hold("model", 10)
    assert [budget.holdings() for budget in (memory, *memory.others())] == [{"model": 10}, {"model": 10}]
    memory.release("model")
    assert other.holdings() == {}


def test_bytes_are_counted_by_device_and_ties_once() -> None:
    one, other = torch.zeros(4), torch.zeros(2, device="meta")
    assert bytes_by_device([one, one, other]) == {"cpu": 16, "meta": 8}


@pytest.fixture
def fake() -> Iterator[FakeTensorMode]:
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        yield mode


@pytest.mark.parametrize("name", LISTED)
def test_blocks_on_two_devices_take_their_inputs_along_and_come_home(name: str, fake: FakeTensorMode) -> None:
    lm = split(name)
    ids = torch.zeros(1, 6, dtype=torch.long)
    logits = lm.logits(ids)
    assert (logits.device, tuple(logits.shape[:2])) == (HOME, (1, 6))
    point = HookPoint(lm.n_layers - 2)
    with capture(lm, [point]) as store, intervene(lm, point, lambda value: value + torch.ones(())):
        lm.forward(ids)
    assert store[point].device == HOME


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3", "phi"])
def test_packed_forwards_and_windows_of_blocks_keep_to_their_devices(name: str, fake: FakeTensorMode) -> None:
    lm = split(name)
    embeds, where = torch.zeros(5, lm.d_model, dtype=lm.torch_dtype), torch.arange(5)
    hidden, context = run_path(lm.backbone, embeds, where, causal(5))
    assert hidden.device == HOME
    assert [str(keys.device) for keys, _ in context.layers] == ["cpu", "meta", "meta"]
    kept = context.select(torch.arange(3))
    hidden, _ = run_path(lm.backbone, embeds, where + 3, causal(5, 3), kept)
    assert hidden.device == HOME
    assert run_blocks(lm, embeds[None], 1, 2).device == HOME
    assert lm.unembed(run_blocks(lm, embeds[None], 1)).device == HOME


def test_a_block_elsewhere_that_is_not_connected_is_found_out(fake: FakeTensorMode) -> None:
    lm = split("llama")
    lm.blocks[1]._forward_pre_hooks.clear()
    with pytest.raises(RuntimeError, match="meta"):
        lm.logits(torch.zeros(1, 6, dtype=torch.long))


def split(name: str) -> LanguageModel:
    """A model of the zoo without numbers, its first block at home and the others on another device."""
    fused = name in ("mixtral", "qwen3_moe", "gpt_oss")
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16 if fused else usual)  # the one for which torch knows the shapes of experts
    try:
        with no_init_weights():  # there is nothing to draw numbers for
            model = ZOO[name]()
    finally:
        torch.set_default_dtype(usual)
    lm = wrap_model(model.requires_grad_(False), None)
    where = ("cpu",) + ("meta",) * (len(lm.blocks) - 1)
    settle(lm.model, Spread(Placement(("cpu", "meta")), lm.family.blocks, where))
    return lm
