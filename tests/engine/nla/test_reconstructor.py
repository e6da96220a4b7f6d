"""Texts packed into a trie give what each text gives alone, and each shared token is computed once."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from loupe.engine.errors import DepthDrift, UnknownFormat
from loupe.engine.models.loading import load_model, wrap_model
from loupe.engine.nla.reconstructor import Reconstructor, load_reconstructor
from loupe.engine.nla.salience import Unit, without_each
from tests.engine.nla import by_the_book
from tests.engine.nla.tiny_pairs import LAYER, PairFolders, tiny_model, tiny_tokenizer, write_pair

TEXT = "The fox at dawn.\nA wide river, and boats.\n狐 in {braces} of the quick brown fox"


@pytest.fixture
def reconstructor(loaded) -> Reconstructor:
    return loaded[1].reconstructor


def tokens_of(reconstructor: Reconstructor, texts: list[str], piece: int = 256) -> int:
    return sum(reconstructor.reconstruct_steps(texts, lambda: piece))


@pytest.mark.parametrize("piece", [1, 8, 40, 1000])
def test_the_size_of_pieces_does_not_change_the_values(reconstructor, piece):
    texts = [TEXT, *without_each(TEXT, Unit.WORD), "boats", ""]
    alone = torch.cat([reconstructor.reconstruct([text]) for text in texts])
    steps = reconstructor.reconstruct_steps(texts, lambda: piece)
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            torch.testing.assert_close(finished.value, alone, atol=1e-5, rtol=1e-5)
            break


def test_equal_texts_are_computed_once(reconstructor):
    assert tokens_of(reconstructor, [TEXT] * 5) == tokens_of(reconstructor, [TEXT])


def test_a_text_and_its_variants_share_their_beginnings(reconstructor):
    variants = without_each(TEXT, Unit.WORD)
    together = tokens_of(reconstructor, [TEXT, *variants])
    apart = sum(tokens_of(reconstructor, [text]) for text in (TEXT, *variants))
    assert together < 0.65 * apart


def test_a_head_stored_in_half_precision_works_in_the_dtype_that_was_asked_for(tmp_path):
    folders = write_pair(tmp_path, "llama")
    file = folders.ar / "value_head.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(str(file)).items()}, str(file))
    reconstructor = load_reconstructor(folders.ar, dtype="fp32")[0]
    assert reconstructor.value_head.dtype == reconstructor.trunk.torch_dtype == torch.float32
    exact = reconstructor.reconstruct(["a fox at dawn"])
    assert (exact != exact.half().float()).any()


def test_the_template_is_computed_once_and_again_after_a_weight_changed(tmp_path):
    reconstructor = write_pair(tmp_path, "llama").load()[1].reconstructor
    before = reconstructor.reconstruct(["a fox"])
    kept = reconstructor._beginning_context()
    reconstructor.reconstruct(["a boat"])
    assert reconstructor._beginning_context() is kept
    with torch.no_grad():
        next(iter(reconstructor.trunk.model.parameters())).mul_(1.1)
    assert reconstructor._beginning_context() is not kept
    assert not torch.allclose(reconstructor.reconstruct(["a fox"]), before)


def test_a_text_that_merges_with_the_template_is_still_exact(llama_folders, reconstructor):
    """Whatever a text begins with, tokens of the template that it changes are not taken from the kept beginning."""
    for text in ("> <text>", "<", "\u0301accent", "\n\nlines"):
        want = by_the_book.reconstruct(llama_folders.ar, text)
        torch.testing.assert_close(reconstructor.reconstruct([text])[0], want, atol=1e-4, rtol=1e-4)


def test_no_text_gives_no_row(reconstructor):
    assert reconstructor.reconstruct([]).shape == (0, 32)


def test_white_space_around_an_explanation_does_not_matter(reconstructor):
    assert reconstructor.token_ids("\n a fox \n") == reconstructor.token_ids("a fox")


def test_braces_reach_the_tokenizer_verbatim(reconstructor):
    text = "{explanation} {0} {{x}}"
    assert text in reconstructor.tokenizer.decode(reconstructor.token_ids(text))


def test_scores_are_those_of_the_reconstruction(reconstructor):
    gold = torch.randn(1, 32, generator=torch.Generator().manual_seed(0))
    (found,) = reconstructor.score(["a fox"], gold)
    rebuilt = reconstructor.reconstruct(["a fox"])
    assert found.cosine == pytest.approx(torch.cosine_similarity(rebuilt, gold).item(), abs=1e-6)


@pytest.mark.parametrize("family", ["llama", "gemma3", "qwen3"])
def test_a_compatibility_matrix_as_head_neither_breaks_loading_nor_is_used(tmp_path, family):
    folders = write_pair(tmp_path, family)
    want = load_reconstructor(folders.ar)[0].reconstruct([TEXT])
    file = folders.ar / "model.safetensors"
    tensors = load_file(file)
    save_file({**tensors, "lm_head.weight": torch.randn(32, 32)}, file, metadata={"format": "pt"})
    assert torch.equal(load_reconstructor(folders.ar)[0].reconstruct([TEXT]), want)


def test_a_checkpoint_without_final_norm_loads(folders: PairFolders):
    want = load_reconstructor(folders.ar)[0].reconstruct([TEXT])
    file = folders.ar / "model.safetensors"
    tensors = {name: tensor for name, tensor in load_file(file).items() if name != "model.norm.weight"}
    save_file(tensors, file, metadata={"format": "pt"})
    assert torch.equal(load_reconstructor(folders.ar)[0].reconstruct([TEXT]), want)


def test_a_reconstructor_in_memory_is_that_on_disk(folders: PairFolders):
    on_disk, _ = load_reconstructor(folders.ar)
    model = tiny_model("llama", 2, LAYER + 1)
    model.model.norm = nn.Identity()
    in_memory = Reconstructor(
        wrap_model(model, tiny_tokenizer(bos=True)),
        on_disk.value_head,
        template=on_disk.template,
        mse_scale=on_disk.mse_scale,
        layer=LAYER,
    )
    torch.testing.assert_close(in_memory.reconstruct([TEXT]), on_disk.reconstruct([TEXT]), atol=1e-6, rtol=1e-5)


def test_a_whole_model_is_no_reconstructor(folders: PairFolders, reconstructor):
    whole = load_model(folders.base)
    with pytest.raises(DepthDrift, match="4 blocks; layer 2 needs exactly 3"):
        Reconstructor(whole, reconstructor.value_head, template="{explanation}", mse_scale=1.0, layer=2)


def test_a_checkpoint_without_tokenizer_is_refused(folders: PairFolders, reconstructor):
    trunk = copy.copy(reconstructor.trunk)
    trunk.tokenizer = None
    with pytest.raises(UnknownFormat, match="tokenizer"):
        Reconstructor(trunk, reconstructor.value_head, template="{explanation}", mse_scale=1.0, layer=2)
    shutil.rmtree(folders.ar)
