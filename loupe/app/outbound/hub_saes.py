"""SAEs from a hub, one of a repository at a time, and up to one: revision pinned, nothing that could run code."""

import shutil
import tempfile
import threading
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from loupe.app.errors import Conflict, HubRefused, HubUnreachable
from loupe.app.outbound.hub import Hub, HubFile, OnProgress, Plan, _translated

WEIGHTS = ("sae_weights.safetensors", "sae.safetensors", "params.npz", "params.safetensors", "ae.safetensors")
_BESIDE = (".json", ".yaml", ".yml", "sparsity.safetensors", "activation_scaler.json")
_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl")
_LARGEST_BESIDE = 1 << 22
MANIFEST = "manifest.json"  # our own list of an artefact's files, of no use elsewhere


@dataclass(frozen=True, slots=True)
class HubSae:
    """One SAE of a repository: the file or folder that `read_sae` would be given, and the bytes to fetch."""

    path: str
    size: int


class SaeHub(Hub):
    """The hub, as far as SAEs go."""

    def plan_saes(self, repo: str, revision: str = "main") -> tuple[Plan, tuple[HubSae, ...]]:
        """All SAEs of a repository, without downloading.

        Raises OfflineRefused, HubUnreachable, RevisionNotFound, or HubRefused when it is unknown, gated, or has none.
        """
        api = self._api()
        with _translated(repo, revision):
            info = api.model_info(repo, revision=revision, files_metadata=True)
        files = tuple(HubFile(each.rfilename, each.size or 0) for each in info.siblings or [])
        card = info.card_data.to_dict() if info.card_data else {}
        gated = bool(getattr(info, "gated", False))
        plan = Plan(repo, revision, info.sha or revision, files, card.get("license"), gated)
        found = tuple(HubSae(path, sum(file.size for file in _files_of(path, files))) for path in _saes_in(files))
        if not found:
            pickled = next((file.name for file in files if file.name.endswith(_PICKLES)), None)
            why = (
                f"only pickles ({pickled}): download that file and run `loupe convert` on it"
                if pickled
                else "no SAE in a format that Loupe reads"
            )
            raise HubRefused(f"{repo} at {revision} has {why}.")
        return plan, found

    def plan_of_sae(self, plan: Plan, path: str) -> Plan:
        """The part of a plan that is one SAE. Raises HubRefused when there is none at `path`."""
        wanted = _files_of(path, plan.files)
        if not wanted:
            raise HubRefused(f"{plan.repo} has no SAE at {path!r}.")
        return replace(plan, files=wanted)

    def may_write(self) -> None:
        """Raises OfflineRefused, and HubRefused where no token is known."""
        if not self._api().token:
            raise HubRefused("Uploading needs a hub token that may write: give one in the library.")

    def download_sae(self, plan: Plan, path: str, saes: Path, on_progress: OnProgress, stop: threading.Event) -> Path:
        """Fetch one SAE of a plan; returns the file or folder to read. Complete or absent, never half.

        Folders keep their names below `saes/OWNER--NAME@COMMIT`, since some formats say there what they are.
        Raises HubRefused (not in the plan), Conflict (cancelled, disk full), and as `plan_saes`.
        """
        part = self.plan_of_sae(plan, path)
        root = saes / f"{plan.repo.replace('/', '--')}@{plan.commit[:12]}"
        target = _inside(root, path)
        if target.exists():
            return target
        root.mkdir(parents=True, exist_ok=True)
        if (free := shutil.disk_usage(root).free) < part.total_bytes * 1.05:
            raise Conflict(f"The download needs {part.total_bytes:,} bytes, but only {free:,} are free on that disk.")
        aside = Path(tempfile.mkdtemp(prefix=".incoming-", dir=saes))
        try:
            self._fetch(part, aside, on_progress, stop)
            _move(aside, root, path, part.files)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return target

    def upload_sae(
        self, folder: Path, repo: str, *, path: str = "", message: str = "", private: bool = False, create: bool = True
    ) -> str:
        """Upload a SAELens folder to `path` in a repository; returns the commit. Needs a token that may write.

        Raises OfflineRefused, HubRefused, HubUnreachable.
        """
        from huggingface_hub.errors import HfHubHTTPError

        self.may_write()
        api = self._api()
        try:
            with _translated(repo, "main"):
                if create and not api.repo_exists(repo):
                    api.create_repo(repo, private=private)
                done: Any = api.upload_folder(
                    repo_id=repo,
                    folder_path=folder,
                    path_in_repo=path or None,
                    commit_message=message or f"Upload {path or folder.name} from Loupe",
                    ignore_patterns=[MANIFEST],
                )
        except (HubRefused, HubUnreachable) as error:
            cause = error.__cause__
            status = getattr(getattr(cause, "response", None), "status_code", None)
            if isinstance(cause, HfHubHTTPError) and status in (401, 403):
                raise HubRefused(f"The hub does not let this token write to {repo}.") from error
            raise
        return str(done.oid)


def _saes_in(files: Iterable[HubFile]) -> list[str]:
    names = [file.name for file in files]
    folders = {str(PurePosixPath(name).parent) for name in names if PurePosixPath(name).name in WEIGHTS}
    sets = {str(PurePosixPath(name).parent) for name in names if PurePosixPath(name).name == "config.yaml"}
    layers = [
        name
        for name in names
        if str(PurePosixPath(name).parent) in sets and PurePosixPath(name).match("layer_*.safetensors")
    ]
    return sorted(folders) + sorted(layers, key=lambda name: (len(name), name))


def _files_of(path: str, files: Iterable[HubFile]) -> tuple[HubFile, ...]:
    """The files to fetch for one SAE: its weights, and small plain data beside them and one folder above."""
    own = path if path.endswith(".safetensors") else None
    folder = str(PurePosixPath(path).parent) if own else path
    above = str(PurePosixPath(folder).parent)
    wanted = []
    for file in files:
        place, name = PurePosixPath(file.name), PurePosixPath(file.name).name
        is_weight = file.name == own if own else str(place.parent) == folder and name in WEIGHTS
        is_beside = name.endswith(_BESIDE) and file.size <= _LARGEST_BESIDE
        if is_weight or (is_beside and str(place.parent) in (folder, above)):
            wanted.append(file)
    return tuple(wanted) if any(file.name == own or PurePosixPath(file.name).name in WEIGHTS for file in wanted) else ()


def _inside(root: Path, path: str) -> Path:
    target = (root / path).resolve()
    if not target.is_relative_to(root.resolve()):
        raise HubRefused(f"{path!r} leads out of its repository.")
    return target


def _move(aside: Path, root: Path, path: str, files: Iterable[HubFile]) -> None:
    """Everything beside first, the SAE itself last: where it exists, it is whole."""
    own = [file.name for file in files if file.name == path or str(PurePosixPath(file.name).parent) == path]
    for file in files:
        if file.name not in own:
            _put(aside, root, file.name)
    if path == "." or path.endswith(".safetensors"):
        for name in sorted(own, key=lambda name: name.endswith((".safetensors", ".npz"))):
            _put(aside, root, name)
        return
    _inside(root, path).parent.mkdir(parents=True, exist_ok=True)
    (aside / path).rename(_inside(root, path))


def _put(aside: Path, root: Path, name: str) -> None:
    target = _inside(root, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    (aside / name).replace(target)
