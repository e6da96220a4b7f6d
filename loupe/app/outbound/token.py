"""The token for gated models: written by people, read by the hub client alone, never shown again.

It is kept in the operating system's keyring where there is one (the `keyring` extra), else in a file that only its
owner can read: outside the database in both cases, and so outside of backups and bundles. The environment's
LOUPE_HUB_TOKEN is used where no token was written.
"""

import importlib
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from loupe.engine.errors import BadOption

log = logging.getLogger(__name__)

MAX_LENGTH = 500
SERVICE = "loupe"
IN_KEYRING = "in the keyring\n"  # what the file says instead of the token; no token has a space
REFUSED = "keyring, which does not give it"


class Keyring(Protocol):
    """What is used of a keyring."""

    def get_password(self, service: str, username: str) -> str | None:
        """What is kept under a name."""
        ...

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep something."""
        ...

    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""
        ...


def system_keyring() -> Keyring | None:
    """The operating system's keyring; None without one, or without the library. One that is a plain file is none."""
    try:
        keyring = importlib.import_module("keyring")  # an extra
    except ImportError:
        return None
    try:
        found = keyring.get_keyring()
        return found if found.priority >= 1 else None
    except Exception as error:  # a backend may fail in any way while it looks for its service
        log.info("the keyring cannot be used: %s", type(error).__name__)
        return None


def no_keyring() -> None:
    """None, also where there is one."""


class HubToken:
    """The token. `given` is the setting's; `keyring` finds the keyring when one is needed."""

    def __init__(
        self, file: Path, given: SecretStr | None = None, keyring: Callable[[], Keyring | None] = no_keyring
    ) -> None:
        self._file = file
        self._given = given
        self._keyring = keyring
        self._refused = False  # the keyring had the token and did not give it when it was last asked

    def read(self) -> str | None:
        """The token to send, or None."""
        try:
            written = self._file.read_text()
        except FileNotFoundError:
            written = ""
        if written == IN_KEYRING:
            written = self._from_keyring()
        return written.strip() or (self._given.get_secret_value() if self._given else None)

    @property
    def source(self) -> str:
        """Where the token comes from: `keyring` (or that it gives none), `written here`, `environment`, or `none`."""
        try:
            if self._file.read_text() != IN_KEYRING:
                return "written here"
            return REFUSED if self._refused else "keyring"
        except (FileNotFoundError, NotADirectoryError):
            return "environment" if self._given else "none"

    def write(self, token: str) -> None:
        """Keep a token: in the keyring, else in the file. Raises BadOption for what cannot be one."""
        token = token.strip()
        if not token or len(token) > MAX_LENGTH or not token.isascii() or any(c.isspace() for c in token):
            raise BadOption("A token is one word of ASCII letters, digits and signs.")
        self._put(IN_KEYRING if self._into_keyring(token) else token)
        self._refused = False

    def forget(self) -> None:
        """Remove the written token."""
        if self.source in ("keyring", REFUSED) and (keyring := self._keyring()) is not None:
            try:
                keyring.delete_password(SERVICE, self._name)
            except Exception as error:  # as above; the file no longer points to it
                log.warning("the keyring did not forget the hub token: %s", type(error).__name__)
        self._file.unlink(missing_ok=True)

    @property
    def _name(self) -> str:
        """Under which name the keyring has it: each data directory has a token of its own."""
        return f"hub token of {self._file.parent}"

    def _into_keyring(self, token: str) -> bool:
        keyring = self._keyring()
        if keyring is None:
            return False
        try:
            keyring.set_password(SERVICE, self._name, token)
            return keyring.get_password(SERVICE, self._name) == token
        except Exception as error:  # locked, refused, gone: the file serves as well
            log.warning("the keyring did not take the hub token, a file does: %s", type(error).__name__)
            return False

    def _from_keyring(self) -> str:
        keyring, found = self._keyring(), None
        try:
            found = keyring.get_password(SERVICE, self._name) if keyring else None
        except Exception as error:  # locked, refused, gone: as if there were no token, and `source` says so
            log.warning("the keyring does not give the hub token: %s", type(error).__name__)
        self._refused = not found
        return found or ""

    def _put(self, text: str) -> None:
        """Replace the file, with mode 0600 from its first byte on."""
        aside = self._file.with_name(f".{self._file.name}.new")
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
        aside.replace(self._file)
