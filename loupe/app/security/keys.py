"""Secrets compared in constant time, and sign-ins remembered, with their names, in a signed cookie."""

import hmac
import os
import secrets
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, unquote

from itsdangerous import BadSignature, TimestampSigner
from pydantic import SecretStr

COOKIE = "loupe_session"
PROGRAM = "API"  # the name shown for work that came in with the one unnamed key
NAME_LENGTH = 40


def same(given: str, expected: SecretStr | None) -> bool:
    """Whether a given secret is the expected one, in time that does not depend on where they differ."""
    if expected is None or not expected.get_secret_value():
        return False
    return hmac.compare_digest(given.encode(), expected.get_secret_value().encode())


def stored_secret(path: Path) -> str:
    """The server's own secret, made once and kept in a file only its owner may read."""
    try:
        return path.read_text()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(32)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(secret)
        return secret


class ApiKeys:
    """The keys programs may use, each with the display name of its owner."""

    def __init__(self, single: SecretStr | None, named: Mapping[str, SecretStr]) -> None:
        self._keys = dict(named) | ({PROGRAM: single} if single else {})

    def owner(self, given: str) -> str | None:
        """Whose key this is; None when it is nobody's. Every key is compared, whichever fits."""
        fitting = [name for name, key in self._keys.items() if same(given, key)]
        return fitting[0] if fitting else None


class Sessions:
    """Issues and checks session cookies; changing the password or the secret ends all of them."""

    def __init__(self, secret: str, password: SecretStr | None, days: int) -> None:
        salt = password.get_secret_value() if password else ""
        self._signer = TimestampSigner(secret, salt=f"loupe-session-{salt}")
        self.max_age_s = days * 86_400

    def issue(self, name: str) -> str:
        """A cookie value from which `person` reads the display name back, for `days`."""
        return self._signer.sign(f"{quote(name, safe='')}.{secrets.token_urlsafe(12)}").decode()

    def person(self, cookie: str) -> str | None:
        """The display name in a cookie this server issued, not too long ago; None for any other."""
        try:
            value = self._signer.unsign(cookie, max_age=self.max_age_s).decode()
        except BadSignature:
            return None
        return unquote(value.rpartition(".")[0])


def display_name(given: str) -> str:
    """A name as it is shown to others: one line of printable characters, 40 at most; empty when nothing is left."""
    shown = "".join(c for c in unicodedata.normalize("NFC", given) if c.isprintable())
    return " ".join(shown.split())[:NAME_LENGTH].strip()
