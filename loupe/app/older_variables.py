"""The environment variables of the earlier web app, translated to ours; `runpod_start.sh` asks for them.

Only there: names as common as API_KEY or LOG_LEVEL may mean something else on a desk. `python -m
loupe.app.older_variables` prints shell `export` lines on standard output and, on standard error, a line for every older
variable that has no effect here. A variable of ours that is set wins.
"""

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

from loupe.app.settings import Settings


class Translation(NamedTuple):
    """`exports`: our variables with their values; `unused`: one sentence for each older variable that does nothing."""

    exports: dict[str, str]
    unused: tuple[str, ...]


def _same(value: str) -> str:
    return value


def _list(value: str) -> str:
    """`a, b` or a JSON list, as a JSON list."""
    if value.lstrip().startswith("["):
        return json.dumps(json.loads(value))
    return json.dumps([part.strip() for part in value.split(",") if part.strip()])


def _negated(value: str) -> str:
    return "false" if value.strip().lower() in {"1", "true", "yes", "on"} else "true"


def _first(value: str) -> str:
    return value.split(",")[0].strip()


OLDER: dict[str, tuple[str, Callable[[str], str]]] = {
    "API_KEY": ("api_key", _same),
    "ALLOWED_ORIGINS": ("allowed_origins", _list),
    "MAX_QUEUE_SIZE": ("queue_limit", _same),
    "MAX_TEXT_LENGTH": ("max_text_chars", _same),
    "REQUEST_TIMEOUT": ("queue_wait_s", _same),
    "RATE_LIMIT_PER_MINUTE": ("rate_per_minute", _same),
    "LAZY_LOAD_MODEL": ("preload", _negated),
    "TUNED_LENS_DIR": ("tuned_lens_dir", _same),
    "DEFAULT_GROUP": ("default_group", _same),
    "DEVICES": ("device", _first),
    "LOG_LEVEL": ("log_level", str.upper),
}


def translate(environment: Mapping[str, str], known: frozenset[str] = frozenset(Settings.model_fields)) -> Translation:
    """Translate what is set. `known`: names of our settings."""
    exports, unused = {}, []
    for name, (ours, convert) in OLDER.items():
        value, variable = environment.get(name, ""), f"LOUPE_{ours.upper()}"
        if not value:
            continue
        if ours not in known:
            unused.append(f"{name} has no counterpart here.")
        elif environment.get(variable):
            unused.append(f"{name} is set, but {variable} is too and wins.")
        else:
            exports[variable] = convert(value)
    if "," in environment.get("DEVICES", ""):
        unused.append("DEVICES names several devices; the first is used.")
    unused += [f"{name} has no effect here." for name in sorted(environment) if name.startswith("GLOBAL_")]
    return Translation(exports, tuple(unused))


def main() -> None:
    """Print the translation of this process's environment."""
    told = translate(os.environ)
    sys.stdout.writelines(f"export {name}={shlex.quote(value)}\n" for name, value in told.exports.items())
    sys.stderr.writelines(f"{sentence}\n" for sentence in told.unused)


if __name__ == "__main__":
    main()
