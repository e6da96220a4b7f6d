"""The hub token lies in the keyring where there is one, else in a file of its owner; nothing ever tells it."""

import logging
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from pydantic import SecretStr

from loupe.app.outbound.token import HubToken, system_keyring

SECRET = "hf_hunter2"


class Ring:
    """A keyring in memory; locked, it fails as real ones do."""

    priority = 5

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        self._check()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        self._check()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        self._check()
        del self.kept[service, username]

    def _check(self) -> None:
        if self.locked:
            raise RuntimeError(f"locked; {SECRET}")


@pytest.fixture
def ring() -> Ring:
    return Ring()


@pytest.fixture
def token(tmp_path: Path, ring: Ring) -> HubToken:
    return HubToken(tmp_path / "hub-token", SecretStr("hf_given"), lambda: ring)


def test_a_token_goes_into_the_keyring_and_no_file_has_it(token: HubToken, ring: Ring, tmp_path: Path) -> None:
    token.write(SECRET)
    assert (token.read(), token.source) == (SECRET, "keyring")
    assert list(ring.kept.values()) == [SECRET]
    assert SECRET not in "".join(path.read_text() for path in tmp_path.iterdir())
    token.forget()
    assert (token.read(), token.source, ring.kept) == ("hf_given", "environment", {})


def test_each_data_directory_has_a_token_of_its_own(ring: Ring, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = (HubToken(tmp_path / name / "hub-token", None, lambda: ring) for name in "ab")
    one.write(SECRET)
    assert (other.read(), other.source) == (None, "none")


def test_without_a_keyring_a_file_of_its_owner_serves(tmp_path: Path) -> None:
    token = HubToken(tmp_path / "hub-token")
    token.write(SECRET)
    assert (token.read(), token.source) == (SECRET, "written here")
    assert (tmp_path / "hub-token").stat().st_mode & 0o777 == 0o600


def test_a_keyring_that_refuses_is_no_obstacle_and_its_words_are_not_told(
    token: HubToken, ring: Ring, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    ring.locked = True
    token.write(SECRET)
    assert (token.read(), token.source) == (SECRET, "written here")
    ring.locked = False
    token.write(SECRET)
    ring.locked = True
    assert (token.read(), token.source) == ("hf_given", "keyring, which does not give it")
    ring.locked = False
    assert (token.read(), token.source) == (SECRET, "keyring")
    ring.locked = True
    token.forget()
    assert token.source == "environment"
    assert "keyring" in caplog.text and SECRET not in caplog.text


@pytest.mark.parametrize(("priority", "is_used"), [(5, True), (0.5, False), (0, False)])
def test_only_a_real_keyring_is_used(monkeypatch: pytest.MonkeyPatch, priority: float, is_used: bool) -> None:
    found = Ring()
    found.priority = priority  # type: ignore[assignment]  # backends have floats
    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_keyring=lambda: found))
    assert (system_keyring() is found) is is_used


def test_without_the_library_there_is_no_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    assert system_keyring() is None
