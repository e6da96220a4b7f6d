"""Models from a hub: one revision, pinned to its commit; safetensors and plain data only; written aside, then moved.

Nothing that could run code when opened is ever fetched: the plan names each file before the first byte is asked for.
"""

import json
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx2
from tqdm.auto import tqdm

from loupe.app.errors import Conflict, HubRefused, HubUnreachable, OfflineRefused, RevisionNotFound
from loupe.app.outbound.token import HubToken
from loupe.app.settings import Settings

log = logging.getLogger(__name__)

WANTED = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "nla_meta.yaml",
    "adapter_config.json",
    "README.md",
    "LICENSE*",
)
MAX_CONFIG = 2**20
OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class HubFile:
    """A file of the plan and its size in bytes."""

    name: str
    size: int


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be downloaded: the commit that the revision names now, files, licence, whether terms come first."""

    repo: str
    revision: str
    commit: str
    files: tuple[HubFile, ...]
    licence: str | None
    gated: bool = False
    kind: str = "model"  # of the repository, as the hub's client calls it; or "dataset"

    @property
    def total_bytes(self) -> int:
        """Sum of the file sizes."""
        return sum(f.size for f in self.files)


class Hub:
    """One hub, spoken to through its own client library."""

    def __init__(self, settings: Settings, token: HubToken | None = None) -> None:
        self.offline = settings.offline
        self.endpoint = settings.hub_url
        self.token = token or HubToken(Path("/dev/null"), settings.hub_token)

    def plan(self, repo: str, revision: str = "main") -> Plan:
        """Look at a repository without downloading.

        Raises OfflineRefused, HubUnreachable, RevisionNotFound, or HubRefused when the repository is unknown, gated, or
        has no safetensors.
        """
        api = self._api()
        with _translated(repo, revision):
            info = api.model_info(repo, revision=revision, files_metadata=True)
        siblings = info.siblings or []
        names = [s.rfilename for s in siblings]
        files = tuple(HubFile(s.rfilename, s.size or 0) for s in siblings if _is_wanted(s.rfilename))
        if not any(f.name.endswith(".safetensors") for f in files):
            pickles = [n for n in names if n.endswith((".bin", ".pt", ".pth", ".pkl", ".ckpt"))]
            why = f"only files that can run code when opened ({pickles[0]})" if pickles else "no weights"
            raise HubRefused(f"{repo} at {revision} has {why}; Loupe downloads safetensors only.")
        card = info.card_data.to_dict() if info.card_data else {}
        licence = card.get("license")
        return Plan(repo, revision, info.sha or revision, files, licence, bool(getattr(info, "gated", False)))

    def config(self, plan: Plan) -> dict[str, Any]:
        """The repository's config.json, the one file a preview reads; {} when it has none or it is not plain JSON.

        Raises OfflineRefused, HubUnreachable, HubRefused when the repository is gated and no token opens it.
        """
        if not any(f.name == "config.json" and f.size <= MAX_CONFIG for f in plan.files):
            return {}
        self._api()
        with tempfile.TemporaryDirectory(prefix="loupe-preview-") as folder:
            self._fetch_file(plan, "config.json", Path(folder))
            try:
                found = json.loads((Path(folder) / "config.json").read_text())
            except ValueError:
                return {}
        return found if isinstance(found, dict) else {}

    def download(self, plan: Plan, models: Path, on_progress: OnProgress, stop: threading.Event) -> Path:
        """Fetch a plan into `models/OWNER--NAME@COMMIT` and return that folder; complete or absent, never half.

        `on_progress(done_bytes, total_bytes)` is called from this thread; setting `stop` ends with `Conflict`.
        """
        target = models / f"{plan.repo.replace('/', '--')}@{plan.commit[:12]}"
        if target.is_dir():
            return target
        free = shutil.disk_usage(models).free
        if free < plan.total_bytes * 1.05:
            raise Conflict(f"The download needs {plan.total_bytes:,} bytes, but only {free:,} are free on that disk.")
        aside = Path(tempfile.mkdtemp(prefix=".incoming-", dir=models))
        try:
            self._fetch(plan, aside, on_progress, stop)
            shutil.rmtree(aside / ".cache", ignore_errors=True)
            aside.chmod(0o755)
            aside.rename(target)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return target

    def _fetch(self, plan: Plan, folder: Path, on_progress: OnProgress, stop: threading.Event) -> None:
        done = 0
        for file in plan.files:
            bar = _bar(lambda n, before=done: on_progress(before + n, plan.total_bytes), stop)
            self._fetch_file(plan, file.name, folder, bar)
            _check_size(folder / file.name, file)
            done += file.size
            on_progress(done, plan.total_bytes)

    def _fetch_file(self, plan: Plan, name: str, folder: Path, bar: type[tqdm] | None = None) -> None:
        from huggingface_hub import hf_hub_download

        with _translated(plan.repo, plan.commit):
            hf_hub_download(
                plan.repo,
                name,
                repo_type=plan.kind,
                revision=plan.commit,
                local_dir=folder,
                endpoint=self.endpoint,
                token=self.token.read() or False,
                tqdm_class=bar or _bar(lambda _: None, threading.Event()),
            )

    def _api(self) -> Any:
        if self.offline:
            raise OfflineRefused("Downloads are off because LOUPE_OFFLINE is set.")
        from huggingface_hub import HfApi, constants

        constants.HF_HUB_DISABLE_TELEMETRY = True
        return HfApi(endpoint=self.endpoint, token=self.token.read() or False)


def _is_wanted(name: str) -> bool:
    """Top-level plain data, and safetensors; sub-folders hold other formats or other checkpoints."""
    return "/" not in name and any(fnmatch(name, pattern) for pattern in WANTED)


def _check_size(path: Path, file: HubFile) -> None:
    size = path.stat().st_size
    if file.size and size != file.size:
        raise HubRefused(f"{file.name} arrived with {size:,} bytes instead of {file.size:,}.")


def _bar(report: Callable[[int], None], stop: threading.Event) -> type[tqdm]:
    """A progress bar class that draws nothing, reports bytes, and raises when it is time to stop."""

    class Bar(tqdm):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(*args, **kwargs | {"disable": True})
            self.seen = int(kwargs.get("initial") or 0)

        def update(self, n: float | None = 1) -> bool | None:
            if stop.is_set():
                raise Conflict("The download was cancelled.")
            self.seen += int(n or 0)
            report(self.seen)
            return None

    return Bar


class _translated:
    """Turns the hub client's exceptions into ours."""

    def __init__(self, repo: str, revision: str) -> None:
        self.repo = repo
        self.revision = revision

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None or not isinstance(error, Exception):
            return
        from huggingface_hub import errors as hub

        if isinstance(error, hub.GatedRepoError):
            raise HubRefused(
                f"{self.repo} is gated: accept its terms on the hub, then give a token in the library or set "
                "LOUPE_HUB_TOKEN."
            ) from error
        if isinstance(error, hub.RevisionNotFoundError):
            raise RevisionNotFound(f"{self.repo} has no revision {self.revision!r}.") from error
        if isinstance(error, hub.RepositoryNotFoundError):
            raise HubRefused(f"{self.repo} is not on the hub, or is private and LOUPE_HUB_TOKEN is not set.") from error
        if isinstance(error, hub.HFValidationError):
            raise HubRefused(f"{self.repo!r} is not a repository name such as OWNER/NAME.") from error
        if isinstance(error, (httpx2.HTTPError, hub.LocalEntryNotFoundError, hub.HfHubHTTPError, ConnectionError)):
            raise HubUnreachable(f"The hub did not answer for {self.repo} ({type(error).__name__}).") from error
