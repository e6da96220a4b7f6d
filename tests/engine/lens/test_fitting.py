"""Fitting a tuned lens: the definition, what it gains over the logit lens, and going on where it stopped."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from loupe.engine.data.rows import TokenRows, token_rows
from loupe.engine.errors import BadOption, CorruptFile, LayerOutOfRange, OutOfDeviceMemory
from loupe.engine.jobs import Checkpoint, Progress
from loupe.engine.lens.files import FIT_FILE, FitState, read_state, write_lens
from loupe.engine.lens.fitting import FitLens, LensPoint
from loupe.engine.lens.recipe import LensRecipe
from loupe.engine.memory import DeviceMemory, MemoryBudget
from loupe.engine.models.hooks import HookPoint, intervene
from loupe.engine.models.lens import TunedLens, lens_card
from loupe.engine.sae.stream import ActivationStream
from loupe.engine.task import run_here
from tests.engine.models.zoo import lm_of

SMALL = {"steps": 6, "batch_rows": 40, "buffer_rows": 128, "warmup": 2, "log_interval": 2, "checkpoint_interval": 3}


def rows_of(count: int, seed: int) -> TokenRows:
    rng = np.random.default_rng(seed)
    return token_rows([rng.integers(3, 90, rng.integers(4, 16)).tolist() for _ in range(count)])


class Folders:
    """Where a job's artefacts go in a test."""

    def __init__(self, root: Path) -> None:
        self.root, self.made = root, list[tuple[str, Path]]()

    @contextmanager
    def write(self, kind: str, name: str, details: Mapping[str, object] | None = None) -> Iterator[Any]:
        draft = Draft(self.root / f"{kind}-{len(self.made)}")
        draft.folder.mkdir(parents=True)
        yield draft
        self.made.append((kind, draft.folder))


class Draft:
    def __init__(self, folder: Path) -> None:
        self.folder, self.id, self.details = folder, folder.name, dict[str, object]()

    def write(self, name: str, data: bytes) -> Path:
        (self.folder / name).write_bytes(data)
        return self.folder / name


def fit(name: str = "llama", **options: Any) -> FitLens:
    state, more = options.pop("state", None), options.pop("store_dtype", torch.float32)
    recipe = LensRecipe(**{**SMALL, **options})
    return FitLens(lm_of(name), rows_of(30, 1), rows_of(8, 2), recipe, model="tiny", state=state, store_dtype=more)


def by_the_book(name: str, recipe: LensRecipe, layer: int) -> tuple[torch.Tensor, torch.Tensor]:
    """W and b of one block, fitted by torch's own Adam on the whole model: the stream is put back at the last block."""
    lm = lm_of(name)
    last = HookPoint(lm.n_layers - 1)
    points = [HookPoint(each) for each in range(lm.n_layers - 1)] + [last]
    stream = ActivationStream(lm, rows_of(30, 1), points, seed=recipe.seed, buffer_rows=128, forward_tokens=128)
    weight, bias = torch.zeros(24, 24, requires_grad=True), torch.zeros(24, requires_grad=True)
    adam = torch.optim.Adam([weight, bias], betas=(0.9, 0.99), eps=1e-8)
    scale = None

    def model_with(vectors: torch.Tensor) -> torch.Tensor:
        ids = torch.full((len(vectors), 1), 5)
        with intervene(lm, last, lambda hidden: vectors[:, None].to(hidden)):
            return lm.logits(ids)[:, 0].float()

    for step in range(recipe.steps):
        steps = stream.next_batch(recipe.batch_rows)
        try:
            while True:
                next(steps)
        except StopIteration as end:
            batch = end.value
        hidden = batch[HookPoint(layer)]
        scale = hidden.square().mean().sqrt() if scale is None else scale
        for group in adam.param_groups:
            rising = min(1, (step + 1) / (recipe.warmup + 1))
            group["lr"] = recipe.lr / 24 * rising * (1 - step / recipe.steps)
        read = model_with(hidden + torch.einsum("nj,ij->ni", hidden, weight) + bias * scale)
        with torch.no_grad():
            target = model_with(batch[last])
        loss = torch.nn.functional.kl_div(
            read.log_softmax(-1), target.log_softmax(-1), log_target=True, reduction="batchmean"
        )
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert scale is not None
    return weight.detach(), bias.detach() * scale


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2", "opt", "llama bf16"])
def test_a_fit_is_adam_on_the_kl_of_the_whole_model(name: str) -> None:
    job = fit(name, checkpoint_interval=0)
    fitted = run_here(job)
    slack = 2e-2 if "bf16" in name else 2e-4
    for layer in fitted.lens.layers:
        weight, bias = by_the_book(name, job.recipe, layer)
        torch.testing.assert_close(fitted.lens.weights[layer], weight, atol=slack, rtol=0.02)
        torch.testing.assert_close(fitted.lens.biases[layer], bias, atol=slack, rtol=0.02)


def test_a_fitted_lens_is_nearer_to_the_model_than_the_logit_lens_at_every_block() -> None:
    fitted = run_here(fit(steps=60, checkpoint_interval=0))
    assert [score.layer for score in fitted.scores] == [0, 1]
    for score in fitted.scores:
        assert score.kl < score.kl_logit_lens
        assert 0 <= score.agrees <= 1
    assert fitted.scores[0].tokens == rows_of(8, 2).n_tokens - 8  # the first of each row is left out


def test_what_is_scored_is_the_lens_as_it_is_kept() -> None:
    coarse = run_here(fit(store_dtype=torch.float16))
    assert {tensor.dtype for tensor in coarse.lens.weights.values()} == {torch.float16}
    assert coarse.scores != run_here(fit()).scores


def test_tiles_of_any_size_give_the_same_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run_here(fit())
    monkeypatch.setattr("loupe.engine.lens.judging.LOGIT_ELEMENTS", 7 * 96)
    tiled = run_here(fit())
    for layer in whole.lens.layers:
        torch.testing.assert_close(tiled.lens.weights[layer], whole.lens.weights[layer], atol=1e-4, rtol=1e-3)


def test_an_interrupted_fit_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    whole = run_here(fit())
    folders = Folders(tmp_path)
    events: list[Any] = []
    run_here(fit(), writer=folders.write, on_event=events.append)
    saved = [event.state for event in events if isinstance(event, Checkpoint)]
    assert [state["step"] for state in saved] == [3]
    resumed = fit(state=read_state(folders.made[0][1]))
    assert resumed.step == 3
    again = run_here(resumed)
    for layer in whole.lens.layers:
        assert torch.equal(again.lens.weights[layer], whole.lens.weights[layer])
        assert torch.equal(again.lens.biases[layer], whole.lens.biases[layer])
    assert again.scores == whole.scores


def test_what_a_fit_leaves_is_read_back_with_its_card(tmp_path: Path) -> None:
    folders = Folders(tmp_path)
    fitted = run_here(fit(), writer=folders.write)
    kind, folder = folders.made[-1]
    assert kind == "lens" and fitted.artefact == folder.name
    read, card = TunedLens.load(folder), lens_card(folder)
    assert torch.equal(read.weights[1], fitted.lens.weights[1]) and read.layers == (0, 1)
    assert card is not None and card["model"] == "tiny" and card["model_fingerprint"] == lm_of("llama").fingerprint
    assert [score["kl"] for score in card["scores"]] == [score.kl for score in fitted.scores]


def test_curves_are_means_since_the_last_point_and_begin_at_the_logit_lens() -> None:
    points: list[LensPoint] = []

    def watch(event: Any) -> None:
        if isinstance(event, Progress) and isinstance(event.item, LensPoint):
            points.append(event.item)

    fitted = run_here(fit(log_interval=1, steps=4, lr=1e-6), on_event=watch)
    assert [point.step for point in points] == [1, 2, 3, 4]
    assert points[0].kl[0] == pytest.approx(fitted.scores[0].kl_logit_lens, rel=0.3)


def test_the_last_block_and_one_that_is_not_there_are_refused() -> None:
    with pytest.raises(LayerOutOfRange, match="blocks 0 to 1"):
        fit(layers=(0, 2))
    with pytest.raises(LayerOutOfRange, match="Block 7"):
        fit(layers=(7,))


def test_chosen_blocks_alone_are_fitted() -> None:
    assert run_here(fit(layers=(1,))).lens.layers == (1,)


@pytest.mark.parametrize("options", [{"steps": 0}, {"lr": 0.0}, {"batch_rows": 0}, {"layers": (-1,)}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(BadOption):
        LensRecipe(**{**SMALL, **options})


@pytest.mark.parametrize("values", [{"layers": [0.5]}, {"layers": "all"}, {"rate": 1}, {"steps": True}])
def test_options_that_mean_nothing_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(BadOption):
        LensRecipe.from_dict(values)


def test_a_checkpoint_of_other_options_is_refused() -> None:
    state = fit().state()
    with pytest.raises(BadOption, match="other options"):
        fit(seed=9, state=state)
    with pytest.raises(BadOption, match="another model"):
        fit(state=FitState(state.recipe, "somebody else", state.step, state.stream, state.tensors))


@pytest.mark.parametrize("damage", ["missing", "cut", "foreign"])
def test_a_damaged_checkpoint_is_refused(tmp_path: Path, damage: str) -> None:
    folders = Folders(tmp_path)
    run_here(fit(), writer=folders.write)
    folder = folders.made[0][1]
    file = folder / FIT_FILE
    if damage == "missing":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-5])
    else:
        save_file({"x": torch.ones(2)}, file)
    with pytest.raises(CorruptFile, match=r"checkpoint|bytes"):
        read_state(folder)


def test_a_fit_that_does_not_fit_is_refused_with_numbers() -> None:
    full = MemoryBudget(read=lambda device: DeviceMemory(1 << 20, 1 << 19))
    with pytest.raises(OutOfDeviceMemory, match="Fitting 2 blocks needs"):
        run_here(fit(buffer_rows=1 << 16), memory=full)


def test_the_model_and_the_modes_are_as_before() -> None:
    lm = lm_of("llama")
    before = [parameter.grad for parameter in lm.model.parameters()]
    run_here(fit())
    assert [parameter.grad for parameter in lm.model.parameters()] == before == [None] * len(before)


def test_a_written_lens_keeps_what_was_given(tmp_path: Path) -> None:
    lens = TunedLens({2: torch.eye(3)}, {2: torch.ones(3)})
    write_lens(tmp_path, lens, {"model": "m"})
    read = TunedLens.load(tmp_path)
    assert read.layers == (2,) and torch.equal(read.weights[2], torch.eye(3)) and lens_card(tmp_path) == {"model": "m"}
