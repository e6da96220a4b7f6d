"""Settings from a file: `loupe.toml` in the data directory, or the file that LOUPE_CONFIG names.

    port = 8001
    allowed_hosts = ["lab.example"]

Names are those of the settings, in small letters. The environment wins over the file, the file over the defaults. A
name that no setting has is an error, and so is a file that was named and is not there.
"""

import os
import stat
import tomllib
from collections.abc import Collection
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from loupe.app.errors import BadSettingsFile
from loupe.storage.paths import default_path

VARIABLE = "LOUPE_CONFIG"
NAME = "loupe.toml"
SECRETS = ("password", "api_key", "api_keys", "hub_token")


def file_path(home: Path | str | None) -> Path:
    """Where the file is, or would be, for a data directory (None: the usual one)."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named).expanduser().resolve()
    return (Path(home).expanduser().resolve() if home else default_path()) / NAME


def file_values(home: Path | str | None, known: Collection[str]) -> dict[str, Any]:
    """What the file sets; nothing where there is none. Raises BadSettingsFile."""
    path = file_path(home)
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        if os.environ.get(VARIABLE):
            raise BadSettingsFile(f"{VARIABLE} names {path}, and there is no such file.") from None
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadSettingsFile(f"{path} cannot be read: {error}.") from error
    for name in values:
        if name not in known:
            raise BadSettingsFile(f"{path}: there is no setting {name[:80]!r}.{_suggestion(name, known)}")
    return values


def tells_secrets(home: Path | str | None, known: Collection[str]) -> bool:
    """Whether the file holds a secret and others on this machine can read it."""
    values, path = file_values(home, known), file_path(home)
    return any(name in values for name in SECRETS) and bool(stat.S_IMODE(path.stat().st_mode) & 0o077)


def _suggestion(name: str, known: Collection[str]) -> str:
    meant = get_close_matches(name.lower().removeprefix("loupe_"), known, 1)
    return f" Did you mean {meant[0]!r}?" if meant else ""
