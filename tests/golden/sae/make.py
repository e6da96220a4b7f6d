"""Tiny SAEs as other libraries write them, with inputs and what those libraries compute from them.

Run with the libraries in an environment of their own, once; what it writes here is committed:

    python -m venv peers && peers/bin/pip install torch==2.13.0 sae-lens==6.54.12 dictionary-learning==0.1.0 eai-sparsify==1.3.3
    peers/bin/pip uninstall -y torchvision
    peers/bin/python tests/golden/sae/make.py

Gemma Scope and circuit-tracer files are written in the layout of their release, and computed by sae-lens' classes.
"""  # noqa: E501 - commands are easier to copy whole

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

HERE = Path(__file__).parent
D, F, K, N = 12, 40, 5, 24
METADATA = {
    "model_name": "tiny",
    "hook_name": "blocks.1.hook_resid_post",
    "hf_hook_name": "model.layers.1.output",
    "prepend_bos": True,
    "context_size": 64,
}


def rows() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(N, D, generator=generator) * 2 + torch.randn(D, generator=generator)


def randomise(module: torch.nn.Module, seed: int) -> None:
    """Weights away from their start; thresholds and scales positive."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.named_parameters():
            noise = torch.randn(value.shape, generator=generator) * 0.4
            value.copy_(noise.abs() if "threshold" in name else noise)


def keep(folder: Path, feature_acts: torch.Tensor, out: torch.Tensor, **more: torch.Tensor) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    save_file(
        {"x": rows(), "feature_acts": feature_acts.detach().contiguous(), "out": out.detach().contiguous(), **more},
        folder / "expected.safetensors",
    )


def saelens() -> None:
    from sae_lens import saes
    from sae_lens.saes import sae as base
    from sae_lens.saes.transcoder import (
        JumpReLUSkipTranscoder,
        JumpReLUSkipTranscoderConfig,
        JumpReLUTranscoder,
        JumpReLUTranscoderConfig,
        SkipTranscoder,
        SkipTranscoderConfig,
        Transcoder,
        TranscoderConfig,
    )

    meta = base.SAEMetadata(**METADATA)
    through = base.SAEMetadata(
        **METADATA
        | {
            "hook_name": "blocks.1.mlp.hook_in",
            "hf_hook_name": "model.layers.1.mlp.input",
            "hook_name_out": "blocks.1.hook_mlp_out",
        }
    )
    plain = {"d_in": D, "d_sae": F, "metadata": meta}
    crossing = {"d_in": D, "d_sae": F, "d_out": D, "apply_b_dec_to_input": False, "metadata": through}
    made = {
        "standard": saes.StandardSAE(saes.StandardSAEConfig(**plain)),
        "gated": saes.GatedSAE(saes.GatedSAEConfig(**plain)),
        "topk": saes.TopKSAE(saes.TopKSAEConfig(**plain, k=K)),
        "topk_rescaled": saes.TopKSAE(saes.TopKSAEConfig(**plain, k=K, rescale_acts_by_decoder_norm=True)),
        "jumprelu": saes.JumpReLUSAE(saes.JumpReLUSAEConfig(**plain)),
        "transcoder": Transcoder(TranscoderConfig(**crossing)),
        "skip_transcoder": SkipTranscoder(SkipTranscoderConfig(**crossing)),
        "jumprelu_transcoder": JumpReLUTranscoder(JumpReLUTranscoderConfig(**crossing)),
        "jumprelu_skip_transcoder": JumpReLUSkipTranscoder(JumpReLUSkipTranscoderConfig(**crossing)),
    }
    for seed, (name, sae) in enumerate(made.items()):
        randomise(sae, seed)
        folder = HERE / "saelens" / name
        folder.mkdir(parents=True)
        sae.save_model(folder)
        keep(folder, sae.encode(rows()), sae(rows()))
    saelens_training()
    saelens_legacy(made["standard"], made["topk"])


def saelens_training() -> None:
    """Training checkpoints: norms not folded, a scale beside; what sae-lens exports for inference is expected."""
    from sae_lens import saes
    from sae_lens.saes.sae import SAE, SAEMetadata

    meta = SAEMetadata(**METADATA)
    made = {
        "batchtopk_training": saes.BatchTopKTrainingSAE(
            saes.BatchTopKTrainingSAEConfig(d_in=D, d_sae=F, k=K, metadata=meta)
        ),
        "matryoshka_training": saes.MatryoshkaBatchTopKTrainingSAE(
            saes.MatryoshkaBatchTopKTrainingSAEConfig(
                d_in=D, d_sae=F, k=K, matryoshka_widths=[10, 20, F], metadata=meta
            )
        ),
    }
    for seed, (name, sae) in enumerate(made.items()):
        randomise(sae, 50 + seed)
        sae.topk_threshold.fill_(0.7)
        folder, inference = HERE / "saelens" / name, HERE / "inference"
        folder.mkdir(parents=True)
        sae.save_model(folder)
        scale = 0.5 if "matryoshka" in name else None
        if scale:
            (folder / "activation_scaler.json").write_text(json.dumps({"scaling_factor": scale}))
            sae.fold_activation_norm_scaling_factor(scale)
        inference.mkdir()
        sae.save_inference_model(inference)
        exported = SAE.load_from_disk(inference)
        keep(folder, exported.encode(rows()), exported(rows()))
        shutil.rmtree(inference)


def saelens_legacy(standard, topk) -> None:
    for name, sae, more in (
        ("legacy_standard", standard, {"activation_fn_str": "relu"}),
        ("legacy_topk", topk, {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}),
    ):
        folder = HERE / "saelens" / name
        folder.mkdir(parents=True)
        config = {
            "architecture": "standard",
            "d_in": D,
            "d_sae": F,
            "dtype": "float32",
            "device": "cpu",
            "model_name": "tiny",
            "hook_point": "blocks.1.hook_resid_post",
            "hook_point_layer": 1,
            "hook_point_head_index": None,
            "normalize_activations": False,
            "prepend_bos": True,
            "context_size": 64,
            **more,
        }
        (folder / "cfg.json").write_text(json.dumps(config))
        save_file({k: v.contiguous() for k, v in sae.state_dict().items()}, folder / "sae_weights.safetensors")
        from sae_lens import SAE

        loaded = SAE.load_from_disk(folder)
        keep(folder, loaded.encode(rows()), loaded(rows()))


def dictionary_learning() -> None:
    from dictionary_learning.dictionary import AutoEncoder, AutoEncoderNew, GatedAutoEncoder, JumpReluAutoEncoder
    from dictionary_learning.trainers.batch_top_k import BatchTopKSAE
    from dictionary_learning.trainers.matryoshka_batch_top_k import MatryoshkaBatchTopKSAE
    from dictionary_learning.trainers.top_k import AutoEncoderTopK

    made = {
        "standard": AutoEncoder(D, F),
        "standard_new": AutoEncoderNew(D, F),
        "gated": GatedAutoEncoder(D, F),
        "jumprelu": JumpReluAutoEncoder(D, F),
        "topk": AutoEncoderTopK(D, F, K),
        "batchtopk": BatchTopKSAE(D, F, K),
        "batchtopk_never_set": BatchTopKSAE(D, F, K),
        "matryoshka": MatryoshkaBatchTopKSAE(D, F, K, [10, 10, 20]),
    }
    for seed, (name, sae) in enumerate(made.items()):
        randomise(sae, 100 + seed)
        if hasattr(sae, "threshold") and name not in ("batchtopk_never_set", "jumprelu"):
            sae.threshold.fill_(0.6)
        folder = HERE / "dictionary_learning" / name
        folder.mkdir(parents=True)
        torch.save(sae.state_dict(), folder / "ae.pt")
        trainer = {
            "dict_class": type(sae).__name__,
            "activation_dim": D,
            "dict_size": F,
            "layer": 1,
            "lm_name": "tiny",
            "submodule_name": "resid_post_layer_1",
        }
        (folder / "config.json").write_text(json.dumps({"trainer": trainer, "buffer": {"ctx_len": 64}}))
        keep(folder, sae.encode(rows()), sae(rows()))


def sparsify() -> None:
    from sparsify.config import SparseCoderConfig
    from sparsify.sparse_coder import SparseCoder

    made = {
        "topk/layers.1": SparseCoderConfig(num_latents=F, k=K),
        "expanded/layers.1": SparseCoderConfig(num_latents=0, expansion_factor=3, k=K),
        "transcoder/layers.1.mlp": SparseCoderConfig(num_latents=F, k=K, transcode=True),
        "skip/layers.1.mlp": SparseCoderConfig(num_latents=F, k=K, transcode=True, skip_connection=True),
    }
    for seed, (name, config) in enumerate(made.items()):
        sae = SparseCoder(D, config)
        randomise(sae, 200 + seed)
        folder = HERE / "sparsify" / name
        sae.save_to_disk(folder)
        (folder.parent / "config.json").write_text(json.dumps({"model": "tiny"}))
        values, indices, _ = sae.encode(rows())
        acts = torch.zeros(N, sae.num_latents).scatter_(1, indices, values.detach())
        out = sae.decode(values, indices)
        if sae.W_skip is not None:
            out = out + rows() @ sae.W_skip.mT
        keep(folder, acts, out)


def gemma_scope() -> None:
    from sae_lens import saes
    from sae_lens.saes.transcoder import JumpReLUSkipTranscoder, JumpReLUSkipTranscoderConfig

    sae = saes.JumpReLUSAE(saes.JumpReLUSAEConfig(d_in=D, d_sae=F, apply_b_dec_to_input=False))
    randomise(sae, 300)
    state = {name: value.detach().numpy() for name, value in sae.state_dict().items()}
    for part in ("gemma-scope-2b-pt-res/layer_1", "gemma-scope-2b-pt-mlp/layer_1", "gemma-scope-2b-pt-att/layer_1"):
        folder = HERE / "gemma_scope" / part / "width_40" / "average_l0_5"
        folder.mkdir(parents=True)
        np.savez(folder / "params.npz", **state)
        keep(folder, sae.encode(rows()), sae(rows()))
    second = HERE / "gemma_scope_2"
    for name, module, config in (
        ("resid_post/layer_1_width_40", sae, {"hf_hook_point_in": "model.layers.1.output"}),
        (
            "transcoder/layer_1_width_40_affine",
            JumpReLUSkipTranscoder(JumpReLUSkipTranscoderConfig(d_in=D, d_sae=F, d_out=D, apply_b_dec_to_input=False)),
            {
                "hf_hook_point_in": "model.layers.1.pre_feedforward_layernorm.output",
                "hf_hook_point_out": "model.layers.1.post_feedforward_layernorm.output",
                "affine_connection": True,
            },
        ),
    ):
        if module is not sae:
            randomise(module, 301)
        state = {
            name.replace("W_enc", "w_enc").replace("W_dec", "w_dec"): value.detach().contiguous()
            for name, value in module.state_dict().items()
        }
        if "W_skip" in state:
            state["affine_skip_connection"] = state.pop("W_skip").T.contiguous()
        folder = second / name
        folder.mkdir(parents=True)
        save_file(state, folder / "params.safetensors")
        settings = {"architecture": "jump_relu", "model_name": "google/gemma-3-270m", **config}
        (folder / "config.json").write_text(json.dumps(settings))
        keep(folder, module.encode(rows()), module(rows()))


def circuit_tracer() -> None:
    from sae_lens.saes.transcoder import (
        JumpReLUTranscoder,
        JumpReLUTranscoderConfig,
        SkipTranscoder,
        SkipTranscoderConfig,
    )

    for name, module, hook in (
        ("skip", SkipTranscoder(SkipTranscoderConfig(D, F, d_out=D, apply_b_dec_to_input=False)), "mlp.hook_in"),
        (
            "jumprelu",
            JumpReLUTranscoder(JumpReLUTranscoderConfig(D, F, d_out=D, apply_b_dec_to_input=False)),
            "ln2.hook_normalized",
        ),
    ):
        randomise(module, 400)
        folder = HERE / "circuit_tracer" / name
        folder.mkdir(parents=True)
        settings = (
            f"model_name: tiny\nmodel_kind: transcoder_set\n"
            f"feature_input_hook: {hook}\nfeature_output_hook: hook_mlp_out\n"
        )
        (folder / "config.yaml").write_text(settings)
        state = {key: value.detach().clone().contiguous() for key, value in module.state_dict().items()}
        state["W_enc"] = state["W_enc"].T.contiguous()
        if "threshold" in state:
            state["activation_function.threshold"] = state.pop("threshold")
        save_file(state, folder / "layer_1.safetensors")
        keep(folder, module.encode(rows()), module(rows()))


if __name__ == "__main__":
    for folder in HERE.iterdir():
        if folder.is_dir():
            shutil.rmtree(folder)
    with torch.no_grad():
        for make in (saelens, dictionary_learning, sparsify, gemma_scope, circuit_tracer):
            make()
