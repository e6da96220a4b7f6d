"""Settings: documented, read from the environment, and shown without secrets."""

from pathlib import Path

import pytest
from pydantic import ValidationError

from loupe.app.errors import BadSettingsFile
from loupe.app.services.system import checks
from loupe.app.settings import Settings, as_markdown, sources


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


def test_values_come_from_the_file_where_the_environment_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loupe.toml").write_text('port = 9001\nqueue_limit = 7\nallowed_hosts = ["lab.example"]\n')
    monkeypatch.setenv("LOUPE_PORT", "9002")
    monkeypatch.setenv("LOUPE_HOME", str(tmp_path))
    settings = Settings(queue_limit=8)
    assert (settings.port, settings.queue_limit, settings.allowed_hosts) == (9002, 8, ("lab.example",))
    told = sources(settings)
    named = (told["port"], told["queue_limit"], told["allowed_hosts"], told["device"], told["home"])
    assert named == ("environment", "command line", "file", "default", "environment")


def test_the_file_may_lie_elsewhere_and_belongs_to_the_data_directory_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "loupe.toml").write_text("port = 9001\n")
    assert Settings(home=tmp_path).port == 9001
    (tmp_path / "lab.toml").write_text("port = 9003\n")
    monkeypatch.setenv("LOUPE_CONFIG", str(tmp_path / "lab.toml"))
    assert Settings(home=tmp_path).port == 9003
    monkeypatch.setenv("LOUPE_CONFIG", str(tmp_path / "gone.toml"))
    with pytest.raises(BadSettingsFile, match="no such file"):
        Settings()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ("quue_limit = 3", "Did you mean 'queue_limit'"),
        ("LOUPE_PORT = 9001", "Did you mean 'port'"),
        ("[limits]\nqueue = 3", "no setting 'limits'"),
        ("port = ", "cannot be read"),
    ],
)
def test_a_mistake_in_the_file_is_an_error_that_helps(tmp_path: Path, written: str, told: str) -> None:
    (tmp_path / "loupe.toml").write_text(written)
    with pytest.raises(BadSettingsFile, match=told):
        Settings(home=tmp_path)


def test_a_value_of_the_file_is_checked_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "loupe.toml").write_text("port = 99_999\n")
    with pytest.raises(ValidationError, match="port"):
        Settings(home=tmp_path)


def test_the_doctor_tells_a_file_of_secrets_that_others_can_read(tmp_path: Path) -> None:
    file = tmp_path / "loupe.toml"
    file.write_text('password = "hunter2"\n')
    for mode, ok in ((0o644, False), (0o600, True)):
        file.chmod(mode)
        check = next(each for each in checks(Settings(home=tmp_path)) if each.name == "settings file")
        assert check.ok is ok and "password" in check.found and "hunter2" not in str(check)


def test_a_misspelt_argument_is_an_error() -> None:
    with pytest.raises(ValidationError, match="hosst"):
        Settings(hosst="127.0.0.1")  # type: ignore[call-arg]  # that is the point


def test_a_secret_never_appears_when_settings_are_printed() -> None:
    assert "hunter2" not in repr(Settings(password="hunter2", api_key="hunter2"))  # type: ignore[arg-type]  # pydantic converts


@pytest.mark.parametrize(("host", "public"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True), ("lab", True)])
def test_an_address_is_public_unless_it_is_loopback(host: str, public: bool) -> None:
    assert Settings(host=host).is_public is public
