"""Lenses: the logit lens is the model's own head, the tuned lens its affine definition."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from loupe.engine.errors import BadOption, CorruptFile, LayerOutOfRange, UnknownFormat, UnsafeFile, WidthMismatch
from loupe.engine.models.hooks import HookPoint, capture
from loupe.engine.models.lens import LENS_FILE, TunedLens, logit_lens, tuned_lens
from loupe.engine.models.loading import wrap_model
from tests.engine.models.zoo import IDS, VOCAB, ZOO, lm_of, make


def last_block(name: str) -> torch.Tensor:
    lm = lm_of(name)
    with torch.no_grad(), capture(lm, [HookPoint(lm.n_layers - 1)]) as store:
        lm.forward(IDS)
    return store[HookPoint(lm.n_layers - 1)]


@pytest.mark.parametrize("name", ZOO)
def test_at_the_last_block_the_lens_is_the_models_own_prediction(name: str) -> None:
    lm = lm_of(name)
    ids, probabilities = logit_lens(lm, last_block(name), VOCAB)
    own = torch.softmax(lm.logits(IDS), -1)
    torch.testing.assert_close(probabilities, own.sort(-1, descending=True).values)
    torch.testing.assert_close(own.gather(-1, ids), probabilities)


def test_without_the_norm_the_head_reads_the_raw_stream_under_the_softcap() -> None:
    lm, hidden = lm_of("gemma2"), last_block("gemma2")
    _, probabilities = logit_lens(lm, hidden, 5, apply_norm=False)
    expected = torch.softmax(0.5 * torch.tanh(hidden @ lm.head.weight.T / 0.5), -1).topk(5).values
    torch.testing.assert_close(probabilities, expected)
    assert not torch.allclose(probabilities, logit_lens(lm, hidden, 5).probabilities)


def test_many_rows_read_in_parts_are_what_they_are_one_by_one() -> None:
    lm = lm_of("llama")
    hidden = torch.randn(150, 24, generator=torch.Generator().manual_seed(0))
    ids, probabilities = logit_lens(lm, hidden, 4)
    assert ids.shape == (150, 4)
    for row in (0, 63, 64, 149):
        alone = logit_lens(lm, hidden[row], 4)
        assert torch.equal(alone.ids, ids[row])
        torch.testing.assert_close(alone.probabilities, probabilities[row])


def test_a_raw_fp32_vector_can_be_read_by_a_model_in_bfloat16() -> None:
    assert logit_lens(lm_of("llama bf16"), torch.ones(24), 3).probabilities.dtype == torch.float32


@pytest.mark.parametrize("k", [0, VOCAB + 1])
def test_a_k_outside_the_vocabulary_is_refused(k: int) -> None:
    with pytest.raises(BadOption, match=f"1 to {VOCAB}"):
        logit_lens(lm_of("llama"), torch.ones(24), k)


def test_a_vector_of_another_width_is_refused() -> None:
    lens = TunedLens({0: torch.zeros(8, 8)}, {0: torch.zeros(8)})
    with pytest.raises(WidthMismatch, match="d_model 24"):
        logit_lens(lm_of("llama"), torch.ones(8), 3)
    with pytest.raises(WidthMismatch, match="tuned lens has d_model 8"):
        tuned_lens(lm_of("llama"), lens, torch.ones(24), 0, 3)


@pytest.fixture
def fitted(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for layer in (0, 2):
        tensors[f"blocks.{layer}.weight"] = torch.randn(24, 24, generator=generator)
        tensors[f"blocks.{layer}.bias"] = torch.randn(24, generator=generator)
    save_file(tensors, tmp_path / LENS_FILE)
    return tmp_path


def test_a_tuned_lens_adds_its_affine_correction_and_then_reads(fitted: Path) -> None:
    lm, lens, hidden = lm_of("llama"), TunedLens.load(fitted), last_block("llama")
    assert lens.layers == (0, 2)
    corrected = hidden + torch.einsum("bsj,ij->bsi", hidden, lens.weights[2]) + lens.biases[2]
    torch.testing.assert_close(lens.correct(hidden, 2), corrected)
    by_lens, by_hand = tuned_lens(lm, lens, hidden, 2, 5), logit_lens(lm, corrected, 5)
    torch.testing.assert_close(by_lens.probabilities, by_hand.probabilities)


def test_a_lens_of_zeros_is_the_logit_lens() -> None:
    lm, hidden = lm_of("llama"), last_block("llama")
    lens = TunedLens({1: torch.zeros(24, 24)}, {1: torch.zeros(24)})
    assert torch.equal(tuned_lens(lm, lens, hidden, 1, 5).ids, logit_lens(lm, hidden, 5).ids)


def test_a_block_that_was_not_fitted_is_refused(fitted: Path) -> None:
    with pytest.raises(LayerOutOfRange, match=r"\(0, 2\)"):
        TunedLens.load(fitted).correct(torch.ones(24), 1)


def test_a_folder_without_a_lens_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match=LENS_FILE):
        TunedLens.load(tmp_path)


def test_a_pickled_lens_of_the_public_library_is_refused(tmp_path: Path) -> None:
    (tmp_path / "params.pt").write_bytes(b"")
    with pytest.raises(UnsafeFile, match="loupe convert"):
        TunedLens.load(tmp_path)


@pytest.mark.parametrize(
    "tensors",
    [
        {"blocks.0.weight": torch.ones(2, 2)},
        {"blocks.x.weight": torch.ones(2, 2)},
        {"weight": torch.ones(2, 2), "bias": torch.ones(2)},
        {"blocks.0.weight": torch.ones(2, 3), "blocks.0.bias": torch.ones(2)},
        {"blocks.0.weight": torch.ones(2), "blocks.0.bias": torch.ones(2)},
        {"blocks.0.weight": torch.ones(2, 2), "blocks.0.bias": torch.ones(2, 2)},
        {"blocks.0.weight": torch.ones(2, 2), "blocks.1.bias": torch.ones(2)},
    ],
)
def test_a_lens_with_other_tensors_is_corrupt(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, tmp_path / LENS_FILE)
    with pytest.raises(CorruptFile, match=r"blocks\.K\.weight"):
        TunedLens.load(tmp_path)


def test_the_model_is_not_changed_by_being_read() -> None:
    lm = wrap_model(make("llama"), None)
    before = lm.fingerprint
    logit_lens(lm, torch.ones(24), 3)
    lm.known_fingerprint = None
    assert lm.fingerprint == before


def public_lens(folder: Path, *, bias: bool = True) -> dict[str, torch.Tensor]:
    """As the tuned-lens library writes it, `params.pt` made safetensors: translator i reads the input of block i."""
    generator = torch.Generator().manual_seed(3)
    tensors = {f"{i}.weight": torch.randn(24, 24, generator=generator) * 0.1 for i in range(3)}
    if bias:
        tensors |= {f"{i}.bias": torch.randn(24, generator=generator) for i in range(3)}
    save_file(tensors, folder / "params.safetensors")
    (folder / "config.json").write_text('{"lens_type": "linear_tuned_lens", "d_model": 24, "num_hidden_layers": 3}')
    return tensors


@pytest.mark.parametrize("bias", [True, False])
def test_a_lens_of_the_public_library_reads_the_hidden_states_that_it_was_fitted_to(tmp_path: Path, bias: bool) -> None:
    tensors, lm = public_lens(tmp_path, bias=bias), lm_of("llama")
    lens = TunedLens.load(tmp_path)
    assert lens.layers == (0, 1)
    with torch.no_grad():
        states = lm.model(input_ids=IDS, output_hidden_states=True, use_cache=False).hidden_states
    for i in (1, 2):
        theirs = torch.nn.functional.linear(states[i], tensors[f"{i}.weight"], tensors.get(f"{i}.bias"))
        torch.testing.assert_close(lens.correct(states[i], i - 1), states[i] + theirs)


def test_a_lens_of_the_public_library_is_refused_until_it_is_converted(tmp_path: Path) -> None:
    public_lens(tmp_path)
    (tmp_path / "params.safetensors").rename(tmp_path / "params.pt")
    with pytest.raises(UnsafeFile, match="loupe convert"):
        TunedLens.load(tmp_path)


def test_only_the_blocks_that_are_wanted_are_read(fitted: Path) -> None:
    whole, one = TunedLens.load(fitted), TunedLens.load(fitted, layers=(2, 5))
    assert one.layers == (2,) and torch.equal(one.weights[2], whole.weights[2])
    assert one.fingerprint == whole.fingerprint and len(one.fingerprint) == 64
    vector = torch.ones(24)
    assert torch.equal(whole.only(2, torch.device("cpu")).correct(vector, 2), whole.correct(vector, 2))


def test_a_lens_of_another_width_is_found_before_anything_is_read(fitted: Path) -> None:
    lens = TunedLens({0: torch.zeros(8, 8)}, {0: torch.zeros(8)})
    with pytest.raises(WidthMismatch, match="d_model 8, this model 24"):
        lens.check_width(lm_of("llama"))
    TunedLens.load(fitted).check_width(lm_of("llama"))
