"""What a sidecar must say, and how each contradiction is refused."""

from __future__ import annotations

import copy
import math

import pytest
from safetensors.torch import load_file, save_file

from loupe.engine import errors
from loupe.engine.nla.pair import load_pair
from loupe.engine.nla.reconstructor import load_reconstructor
from loupe.engine.nla.sidecar import Role, fill_template, load_sidecar, parse_sidecar, require_mse_scale
from loupe.engine.nla.verbalizer import Sampling, load_verbalizer
from tests.engine.nla.tiny_pairs import GOLDEN, PairFolders, read_sidecar, write_sidecar


@pytest.fixture
def av() -> dict:
    return copy.deepcopy(read_sidecar(GOLDEN / "av"))


@pytest.fixture
def ar() -> dict:
    return copy.deepcopy(read_sidecar(GOLDEN / "ar"))


def change(folder, **entries):
    write_sidecar(folder, read_sidecar(folder) | entries)


def test_old_role_names_and_template_names_are_read(av, ar):
    av |= {"role": "actor", "schema_version": 1}
    av["prompt_templates"] = {"actor": av["prompt_templates"]["av"]}
    assert parse_sidecar(av, Role.VERBALIZER).verbalizer_template is not None
    ar |= {"role": "critic"}
    ar["prompt_templates"] = {"critic": ar["prompt_templates"]["ar"]}
    assert parse_sidecar(ar, Role.RECONSTRUCTOR).reconstructor_template is not None


@pytest.mark.parametrize("section", ["critic", "ar"])
@pytest.mark.parametrize("key", ["extraction_layer_index", "num_hidden_layers"])
def test_every_place_of_the_layer_index_means_k(ar, section, key):
    del ar["extraction_layer_index"], ar["critic"]
    assert parse_sidecar(ar, Role.RECONSTRUCTOR).layer is None
    ar[section] = {key: 3}
    assert parse_sidecar(ar, Role.RECONSTRUCTOR).layer == 3


def test_a_sidecar_that_contradicts_itself_about_the_layer_is_refused(ar):
    ar["critic"] = {"num_hidden_layers": 4}
    with pytest.raises(errors.DepthDrift, match=r"extraction_layer_index.*3.*num_hidden_layers.*4"):
        parse_sidecar(ar, Role.RECONSTRUCTOR)


def test_mse_scale_defaults_to_the_root_of_d_and_null_is_refused_by_the_scorer(ar):
    del ar["extraction"]["mse_scale"]
    assert parse_sidecar(ar, Role.RECONSTRUCTOR).mse_scale == math.sqrt(48)
    ar["extraction"]["mse_scale"] = "sqrt_d_model"
    assert parse_sidecar(ar, Role.RECONSTRUCTOR).mse_scale == math.sqrt(48)
    for raw in (None, "raw"):
        ar["extraction"]["mse_scale"] = raw
        with pytest.raises(errors.ScaleMissing, match="raw mode"):
            require_mse_scale(parse_sidecar(ar, Role.RECONSTRUCTOR))


@pytest.mark.parametrize(
    ("entry", "match"),
    [
        ({"kind": "nla_dataset"}, "nla_dataset"),
        ({"schema_version": 3}, "versions 1 and 2"),
        ({"d_model": "48"}, "d_model"),
        ({"tokens": {}}, "injection_char"),
        ({"tokens": [1]}, "tokens must be a mapping"),
        ({"prompt_templates": {}}, "prompt_templates.av"),
        ({"prompt_templates": {"av": "no placeholder"}}, "exactly one"),
    ],
)
def test_an_unreadable_sidecar_names_the_entry(av, entry, match):
    with pytest.raises(errors.SidecarUnreadable, match=match):
        parse_sidecar(av | entry, Role.VERBALIZER)


def test_a_sidecar_that_is_no_mapping_or_no_yaml_is_refused(tmp_path):
    with pytest.raises(errors.SidecarUnreadable, match="list"):
        parse_sidecar([], Role.VERBALIZER)
    (tmp_path / "nla_meta.yaml").write_text("kind: [unclosed")
    with pytest.raises(errors.SidecarUnreadable, match="not valid YAML"):
        load_sidecar(tmp_path, Role.VERBALIZER)


def test_mse_scale_must_be_a_positive_number(ar):
    for value in (-1, "much", float("nan")):
        ar["extraction"]["mse_scale"] = value
        with pytest.raises(errors.SidecarUnreadable, match="mse_scale"):
            parse_sidecar(ar, Role.RECONSTRUCTOR)


def test_a_missing_sidecar_says_what_is_missing(tmp_path):
    with pytest.raises(errors.SidecarMissing, match=r"nla_meta\.yaml"):
        load_sidecar(tmp_path, Role.VERBALIZER)


def test_each_half_is_refused_in_the_place_of_the_other(folders: PairFolders):
    with pytest.raises(errors.WrongRole, match=r"reconstructor .* verbalizer"):
        load_verbalizer(folders.ar)
    with pytest.raises(errors.WrongRole, match=r"verbalizer .* reconstructor"):
        load_reconstructor(folders.av)


def test_an_unknown_role_is_refused(av):
    with pytest.raises(errors.WrongRole, match="'judge'"):
        parse_sidecar(av | {"role": "judge"}, Role.VERBALIZER)


def test_the_injection_scale_must_be_a_number_or_given(folders: PairFolders):
    for written in (None, "sqrt_d_model", "raw"):
        change(folders.av, extraction={"injection_scale": written})
        with pytest.raises(errors.ScaleMissing, match="injection_scale"):
            load_verbalizer(folders.av)
    assert load_verbalizer(folders.av, injection_scale=7.5).injection_scale == 7.5
    change(folders.av, extraction={"injection_scale": "8e4"})
    assert load_verbalizer(folders.av).injection_scale == 80000.0
    with pytest.raises(errors.ScaleMissing, match="positive"):
        load_verbalizer(folders.av, injection_scale=0)


def test_a_sign_with_another_id_is_tokenizer_drift(folders: PairFolders):
    tokens = read_sidecar(folders.av)["tokens"]
    change(folders.av, tokens=tokens | {"injection_token_id": 5})
    with pytest.raises(errors.TokenizerDrift, match=r"\[390\].*\n?.*\[5\]"):
        load_verbalizer(folders.av)


def test_a_sign_of_several_tokens_is_tokenizer_drift(folders: PairFolders):
    tokens = read_sidecar(folders.av)["tokens"]
    change(folders.av, tokens=tokens | {"injection_char": "㈏"})
    with pytest.raises(errors.TokenizerDrift, match="vocabulary changed"):
        load_verbalizer(folders.av)


def test_an_unknown_sign_is_tokenizer_drift(folders: PairFolders):
    tokens = read_sidecar(folders.av)["tokens"]
    verbalizer = load_verbalizer(folders.av)
    verbalizer.tokenizer.unk_token = tokens["injection_char"]
    verbalizer.tokenizer.save_pretrained(folders.av)
    with pytest.raises(errors.TokenizerDrift, match="unknown"):
        load_verbalizer(folders.av)


def test_other_neighbours_are_prompt_drift(folders: PairFolders):
    for key in ("injection_left_neighbor_id", "injection_right_neighbor_id"):
        tokens = read_sidecar(folders.av)["tokens"]
        change(folders.av, tokens=tokens | {key: 7})
        with pytest.raises(errors.PromptDrift, match="neighbours"):
            load_verbalizer(folders.av)
        change(folders.av, tokens=tokens)


def test_a_second_sign_in_the_prompt_is_prompt_drift(folders: PairFolders):
    templates = read_sidecar(folders.av)["prompt_templates"]
    change(folders.av, prompt_templates=templates | {"av": templates["av"] + " ㈎"})
    with pytest.raises(errors.PromptDrift, match="2 times"):
        load_verbalizer(folders.av)


def test_a_wrong_width_is_refused_for_both_halves(folders: PairFolders):
    for folder, load in ((folders.av, load_verbalizer), (folders.ar, load_reconstructor)):
        change(folder, d_model=33)
        with pytest.raises(errors.WidthMismatch, match="33"):
            load(folder)
        change(folder, d_model=32)


def test_a_reconstructor_needs_exactly_k_plus_one_blocks(folders: PairFolders):
    change(folders.ar, extraction_layer_index=1, critic={"num_hidden_layers": 1})
    with pytest.raises(errors.DepthDrift, match=r"3 blocks; layer 1 needs exactly 2"):
        load_reconstructor(folders.ar)


def test_the_two_sidecars_must_agree_on_the_layer(folders: PairFolders):
    change(folders.av, extraction_layer_index=1)
    with pytest.raises(errors.DepthDrift, match="'av sidecar': 1, 'ar sidecar': 2"):
        folders.load()


def test_a_given_layer_is_checked_against_model_and_sidecars(folders: PairFolders):
    with pytest.raises(errors.LayerOutOfRange, match="0 to 3"):
        folders.load(layer=4)
    with pytest.raises(errors.DepthDrift, match="'given': 1"):
        folders.load(layer=1)
    for folder in (folders.av, folders.ar):
        write_sidecar(
            folder, {k: v for k, v in read_sidecar(folder).items() if k not in ("extraction_layer_index", "critic")}
        )
    assert folders.load(layer=2)[1].layer == 2
    assert folders.load()[1].layer == 2
    with pytest.raises(errors.DepthDrift, match="needs exactly 2"):
        folders.load(layer=1)


def test_a_recorded_suffix_is_compared_with_live_ids(folders: PairFolders):
    reconstructor, _ = load_reconstructor(folders.ar)
    tokens = read_sidecar(folders.ar)["tokens"]
    tail = reconstructor.token_ids("anything")[-4:]
    change(folders.ar, tokens=tokens | {"critic_suffix_ids": tail})
    load_reconstructor(folders.ar)
    change(folders.ar, tokens=tokens | {"critic_suffix_ids": [*tail[:-1], 9]})
    with pytest.raises(errors.TokenizerDrift, match="recorded"):
        load_reconstructor(folders.ar)


def test_a_bos_that_is_not_put_in_front_is_refused(folders: PairFolders):
    reconstructor, _ = load_reconstructor(folders.ar)
    tokenizer = reconstructor.tokenizer
    tokenizer.backend_tokenizer.post_processor = None  # type: ignore[attr-defined]
    tokenizer.save_pretrained(folders.ar)
    with pytest.raises(errors.TokenizerDrift, match="BOS"):
        load_reconstructor(folders.ar)


def test_the_template_may_come_from_the_verbalizer_or_be_missing(folders: PairFolders):
    change(folders.ar, prompt_templates={})
    assert folders.load()[1].reconstructor.template.endswith("<summary>")
    change(folders.av, prompt_templates={"av": read_sidecar(folders.av)["prompt_templates"]["av"]})
    with pytest.raises(errors.SidecarUnreadable, match=r"prompt_templates\.ar"):
        folders.load()


def test_a_value_head_is_required_whole_and_square(folders: PairFolders):
    file = folders.ar / "value_head.safetensors"
    weight = load_file(file)["weight"]
    save_file({"weight": weight[:, :16].contiguous()}, file)
    with pytest.raises(errors.WidthMismatch, match=r"\[32, 16\]"):
        load_reconstructor(folders.ar)
    save_file({"weight": weight, "bias": weight[0].clone()}, file)
    with pytest.raises(errors.CorruptFile, match="no bias"):
        load_reconstructor(folders.ar)
    file.write_bytes(file.read_bytes()[:-8])
    with pytest.raises(errors.CorruptFile, match="announces"):
        load_reconstructor(folders.ar)
    file.unlink()
    with pytest.raises(errors.UnknownFormat, match="value_head"):
        load_reconstructor(folders.ar)
    (folders.ar / "value_head.pt").write_bytes(b"")
    with pytest.raises(errors.UnsafeFile, match="loupe convert"):
        load_reconstructor(folders.ar)


def test_pair_and_model_must_have_one_width(folders: PairFolders):
    from loupe.engine.models.loading import load_model

    with pytest.raises(errors.WidthMismatch, match="'model': 48"):
        load_pair(load_model(GOLDEN / "base"), folders.av, folders.ar)


def test_the_denominator_is_the_sidecars_or_the_given_one_and_says_so(folders: PairFolders):
    pair = folders.load(fve_denominator=0.5)[1]
    assert pair.denominator is not None
    assert (pair.denominator.value, pair.denominator.source) == (0.5, "given")
    extraction = read_sidecar(folders.ar)["extraction"]
    change(folders.ar, extraction=extraction | {"fve_denominator": 0.7335})
    pair = folders.load(fve_denominator=0.5)[1]
    assert pair.denominator is not None
    assert (pair.denominator.value, pair.denominator.source) == (0.7335, "sidecar")
    with pytest.raises(errors.BadOption, match="positive"):
        change(folders.ar, extraction=extraction | {"fve_denominator": 0.0})
        folders.load()
    change(folders.ar, extraction=extraction)
    assert folders.load()[1].denominator is None


def test_braces_in_an_explanation_mean_nothing():
    assert fill_template("a {x} b", "{x}", "{explanation} {0} {{}}") == "a {explanation} {0} {{}} b"
    assert fill_template("{{a}} {x}", "{x}", "{{b}}") == "{a} {{b}}"


@pytest.mark.parametrize(
    "options", [{"rollouts": 0}, {"temperature": -0.1}, {"top_p": 0.0}, {"top_p": 1.1}, {"max_new_tokens": 0}]
)
def test_sampling_options_outside_their_range_are_refused(options):
    with pytest.raises(errors.BadOption, match=next(iter(options))):
        Sampling(**options)


def test_a_verbalizer_whose_blocks_would_not_get_the_injected_row_is_refused():
    from loupe.engine.nla.verbalizer import Verbalizer
    from tests.engine.models.zoo import lm_of

    sidecar = parse_sidecar(read_sidecar(GOLDEN / "av"), Role.VERBALIZER)
    with pytest.raises(errors.UnsupportedModel, match="granite changes inputs_embeds before block 0"):
        Verbalizer(lm_of("granite"), sidecar)
