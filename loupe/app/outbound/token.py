"""The token for gated models: written by people, read by the hub client alone, never shown again.

It lies in a file of its own that only its owner can read, outside the database, and so outside of backups and bundles.
The environment's LOUPE_HUB_TOKEN is used where no token was written.
"""

import os
from pathlib import Path

from pydantic import SecretStr

from loupe.engine.errors import BadOption

MAX_LENGTH = 500


class HubToken:
    """The token's file. `given` is the setting's."""

    def __init__(self, file: Path, given: SecretStr | None = None) -> None:
        self._file = file
        self._given = given

    def read(self) -> str | None:
        """The token to send, or None."""
        try:
            written = self._file.read_text().strip()
        except FileNotFoundError:
            written = ""
        return written or (self._given.get_secret_value() if self._given else None)

    @property
    def source(self) -> str:
        """Where the token comes from: `written here`, `environment`, or `none`."""
        if self._file.is_file():
            return "written here"
        return "environment" if self._given else "none"

    def write(self, token: str) -> None:
        """Keep a token, with mode 0600 from its first byte on. Raises BadOption for what cannot be one."""
        token = token.strip()
        if not token or len(token) > MAX_LENGTH or not token.isascii() or any(c.isspace() for c in token):
            raise BadOption("A token is one word of ASCII letters, digits and signs.")
        aside = self._file.with_name(f".{self._file.name}.new")
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(token)
        aside.replace(self._file)

    def forget(self) -> None:
        """Remove the written token."""
        self._file.unlink(missing_ok=True)
