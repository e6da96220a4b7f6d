"""SAEs of other libraries: what they wrote and computed (tests/golden/sae), read and computed here."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from loupe.engine.errors import BadOption, CorruptFile, UnknownFormat, UnsafeFile
from loupe.engine.models.convert import encode, flatten
from loupe.engine.models.families import FAMILIES
from loupe.engine.models.hooks import HookPoint, Site, capture
from loupe.engine.sae.config import Activation, Architecture, SAEConfig
from loupe.engine.sae.formats import ModelFacts, find_saes, for_model, read_sae, sae_lens_reads, write_saelens
from loupe.engine.sae.formats.names import Place, module_name, place_of, transformer_lens_name
from loupe.engine.sae.sae import SAE
from tests.engine.models.zoo import lm_of

GOLDEN = Path(__file__).parents[2] / "golden" / "sae"
FOLDERS = sorted(
    each.parent
    for each in GOLDEN.rglob("expected.safetensors")
    if "dictionary_learning" not in each.parts and "gemma-scope-2b-pt-att" not in str(each)
)
DICTIONARIES = sorted(each.parent for each in (GOLDEN / "dictionary_learning").glob("*/ae.pt"))
LLAMA = FAMILIES["llama"](None)


def named(folder: Path) -> str:
    return str(folder.relative_to(GOLDEN))


def agrees(path: Path, expected: Path) -> None:
    """Same features, reconstruction, L0 and explained variance as the library that wrote it."""
    loaded, wanted = read_sae(path, family=LLAMA if "sparsify" in str(path) else None), load_file(expected)
    with torch.no_grad():
        acts, out = loaded.sae.encode(wanted["x"]), loaded.sae(wanted["x"])
    assert torch.allclose(acts, wanted["feature_acts"], atol=1e-5, rtol=1e-5)
    assert torch.allclose(out, wanted["out"], atol=1e-5, rtol=1e-5)
    assert ((acts > 0) == (wanted["feature_acts"] > 0)).all() and (acts > 0).any()
    assert loaded.hook_point.layer == 1


@pytest.mark.parametrize("folder", FOLDERS, ids=named)
def test_what_another_library_wrote_gives_its_features_here(folder: Path) -> None:
    layer = folder / "layer_1.safetensors"
    agrees(layer if layer.exists() else folder, folder / "expected.safetensors")


@pytest.mark.parametrize("folder", DICTIONARIES, ids=named)
def test_a_converted_dictionary_gives_its_features_here(folder: Path, tmp_path: Path) -> None:
    state = flatten(torch.load(folder / "ae.pt", weights_only=True))
    (tmp_path / "ae.safetensors").write_bytes(b"".join(encode(state.tensors)))
    shutil.copy(folder / "config.json", tmp_path)
    agrees(tmp_path, folder / "expected.safetensors")
    agrees(tmp_path / "ae.safetensors", folder / "expected.safetensors")


def test_what_was_assumed_is_said() -> None:
    def notes(path: str) -> str:
        return " ".join(read_sae(GOLDEN / path, family=LLAMA).assumptions)

    assert "before 6.0" in notes("saelens/legacy_topk")
    assert "running threshold" in notes("saelens/batchtopk_training")
    assert "scale 0.5 was folded" in notes("saelens/matryoshka_training")
    assert "layers.1" in notes("sparsify/topk/layers.1")
    assert "names of the folders" in notes("gemma_scope/gemma-scope-2b-pt-mlp/layer_1/width_40/average_l0_5")
    assert read_sae(GOLDEN / "saelens" / "jumprelu").assumptions == ()


def test_where_an_sae_belongs_comes_from_its_files() -> None:
    def where(path: str) -> tuple[HookPoint, HookPoint | None, str]:
        loaded = read_sae(GOLDEN / path, family=LLAMA if "sparsify" in path else None)
        return loaded.hook_point, loaded.hook_point_out, loaded.model_name

    through = HookPoint(1, Site.MLP_IN), HookPoint(1, Site.MLP_OUT)
    assert where("saelens/standard") == (HookPoint(1), None, "tiny")
    assert where("saelens/transcoder") == (*through, "tiny")
    assert where("sparsify/skip/layers.1.mlp") == (*through, "tiny")
    assert where("gemma_scope/gemma-scope-2b-pt-mlp/layer_1/width_40/average_l0_5") == (
        HookPoint(1, Site.MLP_OUT),
        None,
        "google/gemma-2-2b",
    )
    assert where("gemma_scope_2/transcoder/layer_1_width_40_affine") == (*through, "google/gemma-3-270m")
    assert where("circuit_tracer/skip") == (*through, "tiny")
    mine = read_sae(GOLDEN / "saelens" / "standard", hook_points=[HookPoint(4, Site.MLP_OUT)])
    assert mine.hook_point == HookPoint(4, Site.MLP_OUT)


def test_pickles_and_arrays_of_objects_are_refused_and_the_way_out_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnsafeFile, match=r"loupe convert .*ae\.pt"):
        read_sae(GOLDEN / "dictionary_learning" / "topk")
    with pytest.raises(UnsafeFile, match=r"loupe convert .*ae\.pt"):
        read_sae(GOLDEN / "dictionary_learning" / "topk" / "ae.pt")
    np.savez(tmp_path / "params.npz", W_enc=np.array([{}, None], dtype=object))
    with pytest.raises(UnsafeFile, match="arrays of Python objects"):
        read_sae(tmp_path)
    (tmp_path / "params.npz").write_bytes((tmp_path / "params.npz").read_bytes()[:200])
    with pytest.raises(CorruptFile):
        read_sae(tmp_path)


def broken(tmp_path: Path, **changes: object) -> Path:
    """A copy of a good folder whose config says something else."""
    folder = tmp_path / "sae"
    shutil.copytree(GOLDEN / "saelens" / "standard", folder)
    config = json.loads((folder / "cfg.json").read_text())
    config["metadata"] |= {name: value for name, value in changes.items() if "hook" in name}
    config |= {name: value for name, value in changes.items() if "hook" not in name}
    (folder / "cfg.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"architecture": "temporal"}, UnknownFormat, "which Loupe cannot compute"),
        ({"normalize_activations": "layer_norm"}, UnknownFormat, "zero mean and unit variance"),
        ({"reshape_activations": "hook_z"}, UnknownFormat, "attention heads"),
        ({"hook_name": "blocks.1.attn.hook_z", "hf_hook_name": None}, BadOption, "does not read"),
        ({"hook_name": "blocks.1.hook_resid_pots", "hf_hook_name": None}, BadOption, "is no hook point"),
        ({"hook_name": "blocks.1.hook_mlp_in", "hf_hook_name": None}, BadOption, "ambiguous"),
        ({"hook_name": "blocks.2.hook_resid_post"}, BadOption, "contradicts itself"),
        ({"hook_name": None, "hf_hook_name": None}, BadOption, "does not say which hook point"),
        ({"architecture": "gated"}, CorruptFile, "lacks b_gate, b_mag, r_mag"),
    ],
)
def test_a_config_that_cannot_be_honoured_is_refused(
    changes: dict[str, object], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=sentence):
        read_sae(broken(tmp_path, **changes))


def test_weights_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    folder = broken(tmp_path)
    weights = load_file(folder / "sae_weights.safetensors")
    save_file(weights | {"b_enc": torch.zeros(7)}, folder / "sae_weights.safetensors")
    with pytest.raises(CorruptFile, match=r"b_enc is \[7\], expected \[40\]"):
        read_sae(folder)
    save_file(weights | {"b_dec": torch.full((12,), torch.nan)}, folder / "sae_weights.safetensors")
    with pytest.raises(CorruptFile, match="b_dec holds values that are not finite"):
        read_sae(folder)


def test_a_place_without_an_sae_says_what_would_be_one(tmp_path: Path) -> None:
    with pytest.raises(UnknownFormat, match="no SAE that Loupe recognises"):
        read_sae(tmp_path)
    with pytest.raises(UnknownFormat, match="does not exist"):
        read_sae(tmp_path / "nowhere")
    with pytest.raises(UnknownFormat, match=r"holds \d+ SAEs in folders below"):
        read_sae(GOLDEN / "saelens")
    (tmp_path / "x.safetensors").write_bytes(b"")
    with pytest.raises(CorruptFile):
        read_sae(tmp_path / "x.safetensors")


def test_all_saes_below_a_folder_are_found() -> None:
    found = [named(each) for each in find_saes(GOLDEN)]
    assert "saelens/standard" in found and "circuit_tracer/skip/layer_1.safetensors" in found
    assert len([each for each in found if each.startswith("sparsify")]) == 4


CONFIGS = [
    SAEConfig(Architecture.STANDARD, 6, 10),
    SAEConfig(Architecture.GATED, 6, 10),
    SAEConfig(Architecture.TOPK, 6, 10, k=3),
    SAEConfig(Architecture.BATCHTOPK, 6, 10, k=3),
    SAEConfig(Architecture.JUMPRELU, 6, 10),
    SAEConfig(Architecture.MATRYOSHKA, 6, 10, k=3, prefixes=(0.2, 1.0)),
    SAEConfig(Architecture.TRANSCODER, 6, 10, k=3, d_out=4),
    SAEConfig(Architecture.TRANSCODER, 6, 10, k=3, activation=Activation.TOPK),
    SAEConfig(Architecture.SKIP_TRANSCODER, 6, 10, activation=Activation.RELU),
    SAEConfig(Architecture.CROSSCODER, 6, 10, k=3, parts=2),
]


def made(config: SAEConfig) -> SAE:
    sae, generator = SAE(config), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, value in sae.state_dict(keep_vars=True).items():
            noise = 0.4 * torch.randn(value.shape, generator=generator)
            value.copy_(noise.abs() if name == "threshold" else noise)
    return sae


def written(sae: SAE, folder: Path, **options: object) -> Path:
    config = sae.config
    points = [HookPoint(layer) for layer in range(config.parts)]
    model = ModelFacts("org/model", "LlamaForCausalLM", "abc", family=LLAMA, context_size=64, prepend_bos=True)
    out = HookPoint(0, Site.MLP_OUT) if config.is_transcoder else None
    folder.mkdir()
    write_saelens(folder, sae, points, model, hook_point_out=out, **options)  # type: ignore[arg-type]
    return folder


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: f"{config.architecture}-{config.activation}")
def test_what_is_written_is_read_back_whole(config: SAEConfig, tmp_path: Path) -> None:
    sae, x = made(config), torch.randn(9, 6)
    back = read_sae(written(sae, tmp_path / "sae"))
    assert back.sae.config == config and back.model_name == "org/model" and back.assumptions == ()
    assert len(back.hook_points) == config.parts and (back.hook_point_out is not None) == config.is_transcoder
    assert torch.equal(back.sae.encode(x), sae.encode(x)) and torch.equal(back.sae(x), sae(x))


@pytest.mark.parametrize(
    "config", [each for each in CONFIGS if sae_lens_reads(each)], ids=lambda config: str(config.architecture)
)
def test_an_export_means_the_same_without_our_own_entry(config: SAEConfig, tmp_path: Path) -> None:
    sae, x = made(config), torch.randn(9, 6)
    folder = written(sae, tmp_path / "sae")
    raw = json.loads((folder / "cfg.json").read_text())
    del raw["metadata"]["loupe"]
    (folder / "cfg.json").write_text(json.dumps(raw))
    back = read_sae(folder)
    assert torch.equal(back.sae.encode(x), sae.encode(x)) and back.assumptions == ()
    assert back.hook_point == HookPoint(0) and raw["metadata"]["hf_hook_name"] == "model.layers.0.output"


@pytest.mark.parametrize(
    "config", [each for each in CONFIGS if sae_lens_reads(each)], ids=lambda config: str(config.architecture)
)
@pytest.mark.filterwarnings("ignore")
def test_sae_lens_reads_an_export_and_computes_the_same(config: SAEConfig, tmp_path: Path) -> None:
    sae_lens = pytest.importorskip("sae_lens", reason="sae-lens is not installed here")
    sae, x = made(config), torch.randn(200, 6)
    theirs = sae_lens.SAE.load_from_disk(written(sae, tmp_path / "sae", density=torch.rand(10)))
    acts, out = theirs.encode(x), theirs(x)
    assert torch.allclose(acts, sae.encode(x), atol=1e-5) and torch.allclose(out, sae(x), atol=1e-5)
    assert ((acts > 0).sum(1) == (sae.encode(x) > 0).sum(1)).all()
    assert theirs.cfg.metadata.hook_name == "blocks.0.hook_resid_post"


def test_large_matrices_may_be_stored_narrow_and_thresholds_never_are(tmp_path: Path) -> None:
    sae = made(CONFIGS[4])
    folder = written(sae, tmp_path / "sae", store_dtype=torch.float16, density=torch.full((10,), 0.1), card={"l0": 3})
    stored = load_file(folder / "sae_weights.safetensors")
    assert stored["W_enc"].dtype == torch.float16 and stored["threshold"].dtype == torch.float32
    assert read_sae(folder).sae.W_enc.dtype == torch.float32
    assert torch.allclose(load_file(folder / "sparsity.safetensors")["sparsity"], torch.full((10,), -1.0))
    assert json.loads((folder / "evals.json").read_text()) == {"l0": 3}


def test_a_transcoder_is_not_written_without_its_target(tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="hook_point_out"):
        write_saelens(tmp_path, made(CONFIGS[6]), HookPoint(0, Site.MLP_IN), ModelFacts("m"))


@pytest.mark.parametrize("site", list(Site))
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox sequential", "gemma2", "falcon sequential", "phi3"])
def test_names_of_both_libraries_lead_back_to_the_hook_point(site: Site, kind: str) -> None:
    family = lm_of(kind).family
    point = HookPoint(2, site)
    assert place_of(transformer_lens_name(point)) == Place(point)
    assert place_of(module_name(family, point), family) == Place(point)
    relative = module_name(family, point).split(".", 1)[1]
    assert place_of(relative, family) == Place(point)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2"])
def test_a_module_name_names_the_tensor_of_its_hook_point(kind: str) -> None:
    lm, ids = lm_of(kind), torch.tensor([[5, 9, 3]])
    for site in Site:
        point, seen = HookPoint(1, site), []
        path, _, side = module_name(lm.family, point).rpartition(".")
        module = lm.model.get_submodule(path)
        if side == "input":
            hook = module.register_forward_pre_hook(
                lambda _, args, kwargs, seen=seen: seen.append(args[0] if args else kwargs["hidden_states"]),
                with_kwargs=True,
            )
        else:
            hook = module.register_forward_hook(
                lambda _, args, output, seen=seen: seen.append(output[0] if isinstance(output, tuple) else output)
            )
        with torch.no_grad(), capture(lm, [point]) as store:
            lm.forward(ids)
        hook.remove()
        assert torch.equal(seen[0], store[point])


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("model.layers.2.post_attention_layernorm.output", "depending on the model"),
        ("model.layers.2.mlp", "depending on the model"),
        ("layers.2.attn.q_proj", "no hook point"),
        ("blocks.2.attn.hook_z", "attention heads"),
        ("hook_embed", "token embeddings"),
        ("blocks.x.hook_resid_post", "no hook point"),
        ("", "no hook point"),
    ],
)
def test_wrong_and_ambiguous_names_are_refused(name: str, sentence: str) -> None:
    with pytest.raises(BadOption, match=sentence):
        place_of(name)


def test_the_model_settles_what_a_name_means() -> None:
    name = "model.layers.2.post_attention_layernorm.output"
    assert place_of(name, lm_of("llama").family).point == HookPoint(2, Site.MLP_IN)
    assert place_of(name, lm_of("gemma2").family).point == HookPoint(2, Site.ATTN_OUT)
    assert place_of("model.layers.2").point == HookPoint(2)
    assert place_of("h.2").point == HookPoint(2)
    with pytest.raises(BadOption, match="no hook point that Loupe reads in gemma2"):
        place_of("model.layers.2.mlp.output", lm_of("gemma2").family)  # before the norm of the branch


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt2"])
def test_an_sae_that_reads_before_the_gain_is_folded_to_what_the_model_returns(kind: str) -> None:
    lm = lm_of(kind)
    source = read_sae(GOLDEN / "circuit_tracer" / "jumprelu" / "layer_1.safetensors")
    assert source.reads_before_gain and source.hook_point == HookPoint(1, Site.MLP_IN)
    with pytest.raises(BadOption, match="vectors of 12"):
        for_model(source, lm)
    wide = made(SAEConfig(Architecture.TRANSCODER, lm.d_model, 10, activation=Activation.RELU))
    loaded = type(source)(
        wide, source.hook_points, "", "x", hook_point_out=source.hook_point_out, reads_before_gain=True
    )
    fitted = for_model(loaded, lm)
    norm = lm.blocks[1].get_submodule(lm.family.layout.resid_mid.module)  # type: ignore[union-attr]
    stream = torch.randn(5, lm.d_model)
    centred = stream - stream.mean(1, keepdim=True) if kind == "gpt2" else stream
    before_gain = centred / centred.pow(2).mean(1, keepdim=True).sqrt()
    with torch.no_grad():
        assert torch.allclose(fitted.sae.encode(norm(stream)), wide.encode(before_gain), atol=1e-3)
    assert "gain" in fitted.assumptions[-1] and not fitted.reads_before_gain
