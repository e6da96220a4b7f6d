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

BODIES: dict[str, Any] = {
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
    "runs_rename": {"name": "Second reading"},
    "system_backup": {"target": "/mnt/backups/loupe"},
}
