"""Every knob of the app, in one place: name, default, unit and meaning.

Each setting is read from the environment as LOUPE_<NAME>, else from the settings file (`settings_file.py`), and from
the command line where `loupe serve` offers it. Nothing else in the app reads the environment. `docs/settings.md` is
this file printed (`make docs`), and a test keeps the two equal, so a description here is the documentation.
"""

import os
import sys
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from loupe.app.settings_file import file_values

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


class Settings(BaseSettings):
    """The app's configuration, checked once at start; `extra="forbid"` catches misspelt arguments."""

    model_config = SettingsConfigDict(env_prefix="LOUPE_", env_ignore_empty=True, extra="forbid", frozen=True)

    # where things are
    home: Path | None = Field(
        default=None, description="Data directory; unset means the platform's own user data directory."
    )
    starter_dir: Path | None = Field(
        default=None, description="Folder of the starter; unset means the one shipped with Loupe."
    )

    backup_dir: Path | None = Field(
        default=None, description="Folder that receives backups by itself; unset means none are made unasked."
    )
    backup_every_min: float = Field(
        default=5, gt=0, description="Minutes between those backups; also the most work that a lost disk can cost."
    )

    # serving
    host: str = Field(
        default="127.0.0.1", description="Address to bind. Anything but loopback needs a password or an API key."
    )
    port: int = Field(default=8000, ge=0, le=65535, description="Port to listen on; 0 picks a free one.")
    root_path: str = Field(default="", description="Path prefix that a reverse proxy strips, such as `/loupe`.")
    https: bool = Field(
        default=False, description="The browser reaches the app over TLS, so cookies are marked secure."
    )
    trusted_proxies: str = Field(default="127.0.0.1", description="Addresses whose forwarding headers are believed.")
    password: SecretStr | None = Field(default=None, description="Password asked for by the sign-in page.")
    api_key: SecretStr | None = Field(
        default=None, description="Key accepted as `Authorization: Bearer` or `X-API-Key`."
    )
    api_keys: dict[str, SecretStr] = Field(
        default={}, description="More keys, each with the name shown on its runs and jobs (JSON object)."
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Host names answered besides loopback and the bound address (JSON list); `*` for any."
    )
    allowed_origins: tuple[str, ...] = Field(
        default=(), description="Other origins whose pages may call us (JSON list)."
    )
    session_days: int = Field(default=30, ge=1, le=365, description="Days until a sign-in has to be repeated.")

    # logging
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="Least severe level written."
    )
    log_format: Literal["text", "json"] = Field(default="text", description="Form of the log on standard error.")

    # computing
    device: str = Field(
        default="auto",
        description="Where models go: `auto`, `cpu`, `cuda:1`, `mps`, several GPUs (`cuda:0,cuda:1`), or with blocks "
        "that wait in CPU memory (`cuda:0+cpu`).",
    )
    dtype: Literal["auto", "fp32", "bf16", "fp16", "int8", "nf4"] = Field(
        default="auto",
        description="Precision of weights; `auto`: as stored, fp32 for fp16 on a CPU.",
    )
    threads: int = Field(default=0, ge=0, description="CPU threads for torch; 0 means all cores but one, at least one.")
    slice_budget_ms: float = Field(default=100, gt=0, description="Longest time a job holds the device at once, in ms.")
    memory_limit_mb: int = Field(
        default=0,
        ge=0,
        description="Device memory Loupe counts on, such as 8192 for an 8 GB profile; 0 means all of it. Of this, or "
        "of the whole device, 90 % may be filled; work beyond that is refused with numbers.",
    )
    model_memory_mb: int = Field(
        default=0,
        ge=0,
        description="Share of it for loaded models; 0 means no line of its own. The longest unused leave first.",
    )
    unload_idle_min: float = Field(
        default=0, ge=0, description="Minutes after which an unused model leaves memory; 0 means it stays."
    )
    batch_rows: int = Field(
        default=0, ge=0, description="Explanations decoded together; 0 means as many as fit the memory budget."
    )
    default_pair: str = Field(
        default="starter", description="NLA pair for requests that name no model, until another is chosen."
    )
    tuned_lens_dir: Path | None = Field(
        default=None,
        description="Folder of fitted tuned lenses, one folder per model named as in the library, such as `starter`; "
        "they come before those fitted here and before the starter's own.",
    )
    preload: bool = Field(
        default=True, description="Load the starter once a page stands, or nobody has come for a while."
    )

    # limits
    max_text_chars: int = Field(default=20_000, gt=0, description="Longest text accepted for analysis, in characters.")
    max_positions: int = Field(default=2048, gt=0, description="Most positions explained in one run.")
    max_best_of: int = Field(default=32, gt=0, description="Most rollouts per position.")
    max_new_tokens: int = Field(default=512, gt=0, description="Longest explanation that may be asked for, in tokens.")
    max_body_mb: float = Field(default=8, gt=0, description="Largest request body, counted while it arrives, in MiB.")
    max_reply_tokens: int = Field(default=1024, gt=0, description="Longest reply a model may write, in tokens.")
    max_import_mb: float = Field(
        default=64, gt=0, description="Largest file of runs in one body, in MiB; larger ones are sent in pieces."
    )
    max_upload_mb: float = Field(default=10_240, gt=0, description="Largest file that is sent in pieces, in MiB.")
    upload_piece_mb: float = Field(default=32, gt=0, description="Largest piece of such a file, in MiB.")
    upload_quota_mb: float = Field(
        default=20_480, gt=0, description="Most that one person's unfinished and unused uploads may take, in MiB."
    )
    upload_days: float = Field(default=2, gt=0, description="Days after which an upload that nobody touched goes.")
    queue_limit: int = Field(
        default=100, gt=0, description="Analyses waiting or running at once; more are answered 429."
    )
    queue_wait_s: float = Field(default=300, gt=0, description="Longest wait for the device before giving up, in s.")
    rate_per_minute: int = Field(default=100, gt=0, description="API requests per client and minute.")
    rate_burst: int = Field(
        default=20, gt=0, description="API requests a client may make at once, before the rate applies."
    )
    concurrent_per_client: int = Field(
        default=64, gt=0, description="API requests one client may have open at once, streams and sockets included."
    )
    downloads_per_hour: int = Field(default=10, gt=0, description="Downloads of models, SAEs and datasets per hour.")
    event_history: int = Field(default=2000, gt=0, description="Events kept for clients that resume the stream.")
    live_runs_kept: int = Field(
        default=200, gt=0, description="Finished analyses kept in memory beside the saved runs."
    )

    # keeping
    deleted_runs_days: float = Field(
        default=7, ge=0, description="Days that a deleted run can still be restored; then it is gone for good."
    )

    deleted_models_days: float = Field(
        default=7, ge=0, description="Days that a deleted model, pair, group, SAE or dataset can still be restored."
    )

    # the outside
    server: str | None = Field(
        default=None,
        description="Server elsewhere that commands talk to, such as `https://lab.example/loupe`, with LOUPE_API_KEY "
        "as their key; unset means this machine's own data directory.",
    )
    offline: bool = Field(default=False, description="Refuse every outgoing request.")
    hub_url: str | None = Field(
        default=None, description="Model hub to download from; unset means the library's default."
    )
    hub_token: SecretStr | None = Field(
        default=None, description="Token for gated models; never written to disk or shown."
    )
    keyring: bool = Field(
        default=True,
        description="Keep a hub token that is given on a page in the operating system's keyring, where there is one.",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What is given wins over the environment, and that over the file. Raises BadSettingsFile."""
        given = init_settings().get("home")
        written = InitSettingsSource(settings_cls, file_values(given, cls.model_fields))
        return (init_settings, env_settings, written)

    @property
    def is_public(self) -> bool:
        """Whether the bound address can be reached from another machine."""
        return self.host not in LOOPBACK

    @property
    def is_guarded(self) -> bool:
        """Whether a password or an API key is set."""
        return bool(self.password or self.api_key or self.api_keys)


def sources(settings: Settings) -> dict[str, str]:
    """For each setting where its value comes from: default, file, environment, or command line."""
    written = file_values(settings.home, Settings.model_fields)
    in_environment = {name.upper() for name, value in os.environ.items() if value}
    surroundings = Settings(home=settings.home) if settings.home else Settings()

    def source(name: str) -> str:
        if name not in settings.model_fields_set:
            return "default"
        is_set = f"LOUPE_{name.upper()}" in in_environment
        if (is_set or name in written) and getattr(settings, name) == getattr(surroundings, name):
            return "environment" if is_set else "file"
        return "command line"

    return {name: source(name) for name in Settings.model_fields}


def starter_folder(settings: Settings) -> Path:
    """Where the starter lies: the setting, else the assets beside the package (a checkout) or inside it (a wheel)."""
    if settings.starter_dir:
        return settings.starter_dir
    return assets_folder() / "starter"


def assets_folder() -> Path:
    """What ships beside the code: next to the package in a checkout, inside it in a wheel."""
    package = Path(__file__).resolve().parents[1]
    checkout = package.parent / "assets"
    return checkout if (checkout / "css").is_dir() else package / "assets"


def as_markdown() -> str:
    """The settings reference, generated from the fields above."""
    lines = [
        "# Settings",
        "",
        "Generated from `loupe/app/settings.py` by `make docs`; do not edit. Each is an environment variable, or a "
        "line of `loupe.toml` in the data directory (or of the file that `LOUPE_CONFIG` names): `port = 8001` there is "
        "`LOUPE_PORT=8001`. The environment wins over the file; a name that no setting has is an error.",
        "",
        "| variable | default | meaning |",
        "|---|---|---|",
    ]
    for name, field in Settings.model_fields.items():
        default = "" if field.default in (None, (), {}, "") else f"`{field.default}`"
        lines.append(f"| `LOUPE_{name.upper()}` | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
