"""Secrets compared in constant time, and sign-ins remembered in a signed cookie."""

import hmac
import os
import secrets
from pathlib import Path

from itsdangerous import BadSignature, TimestampSigner
from pydantic import SecretStr

COOKIE = "loupe_session"


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


class Sessions:
    """Issues and checks session cookies; changing the password or the secret ends all of them."""

    def __init__(self, secret: str, password: SecretStr | None, days: int) -> None:
        salt = password.get_secret_value() if password else ""
        self._signer = TimestampSigner(secret, salt=f"loupe-session-{salt}")
        self.max_age_s = days * 86_400

    def issue(self) -> str:
        """A cookie value that `holds` accepts for `days`."""
        return self._signer.sign(secrets.token_urlsafe(16)).decode()

    def holds(self, cookie: str) -> bool:
        """Whether this server issued the cookie, not too long ago."""
        try:
            self._signer.unsign(cookie, max_age=self.max_age_s)
        except BadSignature:
            return False
        return True
