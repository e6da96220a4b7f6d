"""One request body per operation, as the reference shows it. A test holds each against the schema it illustrates."""

from typing import Any

_MESSAGES = [{"role": "user", "content": "Where is the lantern?"}]
_PAIR = {
    "id": "gemma-l20",
    "name": "Gemma, layer 20",
    "model": "lab--gemma@1f2e3d4c5b6a",
    "verbalizer": "lab--gemma-av@1f2e3d4c5b6a",
    "reconstructor": "lab--gemma-ar@1f2e3d4c5b6a",
}
_GROUP = {"id": "gemma", "name": "Gemma", "base": "lab--gemma@1f2e3d4c5b6a", "pairs": ["gemma-l20"]}
_GROUP_FILE = {"groups": [{"id": "gemma", "base_model": "lab/gemma", "models": []}]}

_ROWS = {"model": "starter", "mode": "pack", "max_tokens": 128}
_RECIPE = {
    "saes": [{"architecture": "batchtopk", "d_sae": 2048, "reads": ["blocks.3.resid_post"], "options": {"k": 24}}],
    "training": {"steps": 2000, "batch_rows": 2048},
}
_TRAINING = {"tokenisation": "7f3a", **_RECIPE}

BODIES: dict[str, Any] = {
    "activations_write": {
        "tokenisation": "7f3a",
        "points": ["blocks.3.resid_post"],
        "rows": 1_000_000,
        "dtype": "fp16",
    },
    "datasets_create": {"name": "Foxes", "text": "The fox lost her lantern.\n\nThe owl found it."},
    "datasets_preview": {"name": "Foxes", "text": "The fox lost her lantern."},
    "datasets_preview_tokens": _ROWS,
    "datasets_rename": {"name": "Foxes and owls"},
    "datasets_tokenise": _ROWS,
    "lenses_fit": {"tokenisation": "7f3a", "model": "starter", "options": {"steps": 500, "layers": [0, 1]}},
    "saes_download": {"repo": "lab/saes", "path": "layer_12/width_16k", "model": "lab--gemma@1f2e3d4c5b6a"},
    "saes_preview": {"repo": "lab/saes"},
    "saes_upload": {"repo": "me/my-saes", "path": "layer_3"},
    "saes_evaluate": {"tokenisation": "7f3a", "rows": 256},
    "saes_rename": {"name": "Block 3, 2 048 features"},
    "saes_take_in": {"path": "/models/saes/layer-3", "model": "starter"},
    "templates_add": {"name": "Block 3, k = 24", "about": "For the starter.", "recipe": _RECIPE},
    "templates_change": {"name": "Block 3, sparse", "favourite": True},
    "uploads_begin": {"file": "foxes.jsonl", "size": 3_221_225_472, "fingerprint": "foxes, as of Monday"},
    "trainings_fit": _TRAINING,
    "trainings_fork": {"name": "slower", "training": {"lr": 1e-4}},
    "trainings_keep": {"kept": True},
    "trainings_start": _TRAINING,
    "generations_start": {"messages": _MESSAGES, "max_new_tokens": 64, "temperature": 0.7},
    "jobs_change": {"priority": "batch"},
    "model_groups_add": _GROUP,
    "model_groups_attach": {"model": "lab--gemma-tuned@1f2e3d4c5b6a"},
    "model_groups_change": {"description": "Two layers of one base."},
    "model_groups_import_file": {"content": _GROUP_FILE},
    "model_groups_load": {"dtype": "auto"},
    "models_add": {"repo": "lab/gemma", "revision": "main"},
    "models_certify": {"dtype": "auto"},
    "models_download": {"repo": "lab/gemma", "revision": "main"},
    "models_load": {"dtype": "bf16"},
    "models_preview": {"repo": "lab/gemma"},
    "models_write_token": {"token": "hf_..."},
    "nla_pairs_add": _PAIR,
    "nla_pairs_load": {"dtype": "auto"},
    "runs_begin_import": {"upload": "7f3a"},
    "runs_rename": {"name": "Second reading"},
    "system_backup": {"target": "/mnt/backups/loupe"},
}
