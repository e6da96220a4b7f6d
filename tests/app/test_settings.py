"""Settings: documented, read from the environment, and shown without secrets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from loupe.app.settings import Settings, as_markdown


def test_the_settings_reference_is_what_the_code_says() -> None:
    written = (Path(__file__).parents[2] / "docs/settings.md").read_text()
    assert written == as_markdown(), "run `make docs`"


def test_every_setting_says_what_it_means() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description and field.description.endswith("."), name


def test_values_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOUPE_PORT", "9001")
    monkeypatch.setenv("LOUPE_ALLOWED_HOSTS", '["lab.example"]')
    settings = Settings()
    assert (settings.port, settings.allowed_hosts) == (9001, ("lab.example",))


def test_an_empty_variable_means_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOUPE_PASSWORD", "")
    assert Settings().password is None


def test_a_misspelt_argument_is_an_error() -> None:
    with pytest.raises(ValidationError, match="hosst"):
        Settings(hosst="127.0.0.1")  # type: ignore[call-arg]  # that is the point


def test_a_secret_never_appears_when_settings_are_printed() -> None:
    assert "hunter2" not in repr(Settings(password="hunter2", api_key="hunter2"))  # type: ignore[arg-type]  # pydantic converts


@pytest.mark.parametrize(("host", "public"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True), ("lab", True)])
def test_an_address_is_public_unless_it_is_loopback(host: str, public: bool) -> None:
    assert Settings(host=host).is_public is public
