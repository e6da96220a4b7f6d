"""Datasets from a hub: what there is by config and split, and its files one by one, each gone once it is read.

The hub converts most datasets to parquet under a revision of its own; that is read where it exists, else the data files
of the repository itself. No script of a dataset is ever run.
"""

import re
import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

from loupe.app.errors import Conflict, HubRefused, RevisionNotFound
from loupe.app.outbound.hub import Hub, HubFile, OnProgress, Plan, _bar, _check_size, _translated
from loupe.engine.data.columns import TablePreview, preview
from loupe.engine.data.sources import FetchedFiles
from loupe.engine.data.tables import Split, kind_of, read_rows
from loupe.engine.errors import NotADataset

CONVERTED = "refs/convert/parquet"
LARGEST_PREVIEW = 256 << 20
_SPLIT = re.compile(r"(?:^|[/_.-])(train|test|validation|valid|dev)(?=[/_.-]|$)")


@dataclass(frozen=True, slots=True)
class DatasetPlan:
    """A dataset on the hub: the commit that the revision names now, and its files by (config, split).

    `description` is the beginning of its card; `converted` says that the hub's own parquet files are read.
    """

    plan: Plan
    parts: dict[tuple[str, str], tuple[HubFile, ...]]
    converted: bool
    homepage: str

    def part(self, config: str | None, split: str | None) -> tuple[tuple[str, str], tuple[HubFile, ...]]:
        """The files of a config and split; None takes the only one, or the one named default and train.

        Raises HubRefused, naming what there is.
        """
        fitting = [key for key in self.parts if config in (None, key[0]) and split in (None, key[1])]
        liked = [key for key in fitting if key[0] == (config or "default") and key[1] == (split or "train")]
        trains = [key for key in fitting if key[1] == "train"]
        for choice in (fitting, liked, trains):
            if len(choice) == 1:
                return choice[0], self.parts[choice[0]]
        there = ", ".join("/".join(key) for key in sorted(self.parts))
        raise HubRefused(f"{self.plan.repo} has {there}: choose a config and a split.")


class DatasetHub(Hub):
    """The hub, as far as datasets go."""

    def plan_dataset(self, repo: str, revision: str = "main") -> DatasetPlan:
        """Look at a dataset without downloading.

        Raises OfflineRefused, HubUnreachable, RevisionNotFound, or HubRefused when it is unknown, gated, or no data.
        """
        about = self._info(repo, revision)
        files, commit, converted = _files(about), about.sha or revision, False
        if revision == "main":
            try:
                made = self._info(repo, CONVERTED)
                files, commit, converted = _files(made), made.sha or CONVERTED, True
            except RevisionNotFound:
                pass
        parts = _parts(files, converted=converted)
        if not parts:
            raise HubRefused(f"{repo} at {revision} has no parquet, jsonl, json, csv, tsv or txt files.")
        card = about.card_data.to_dict() if about.card_data else {}
        gated = bool(getattr(about, "gated", False))
        plan = Plan(repo, revision, commit, files, _text(card.get("license")), gated, "dataset")
        return DatasetPlan(plan, parts, converted, str(card.get("homepage") or ""))

    def preview_dataset(
        self, dataset: DatasetPlan, config: str | None = None, split: str | None = None
    ) -> TablePreview:
        """The columns and first rows of a part. Raises HubRefused when its first file is too large for that."""
        _, files = dataset.part(config, split)
        if files[0].size > LARGEST_PREVIEW:
            raise HubRefused(
                f"The first file has {files[0].size >> 20:,} MiB, too much for a preview: name the column yourself."
            )
        with tempfile.TemporaryDirectory(prefix="loupe-preview-") as folder:
            self._fetch_file(replace(dataset.plan, files=files[:1]), files[0].name, Path(folder))
            return preview(read_rows(Path(folder) / files[0].name))

    def source(
        self,
        dataset: DatasetPlan,
        folder: Path,
        *,
        config: str | None = None,
        split: str | None = None,
        text_split: Split = Split.BLANK_LINE,
        stop: threading.Event | None = None,
        on_bytes: OnProgress = lambda done, total: None,
    ) -> FetchedFiles:
        """A source for `MakeDataset`: files arrive in `folder` one at a time. Run that job in a thread that may wait.

        Setting `stop` ends the file that is arriving with `Conflict`.
        """
        (chosen, part), files = dataset.part(config, split)
        plan, stopped = replace(dataset.plan, files=files), stop or threading.Event()

        def fetch(name: str) -> Iterator[Path]:
            file = next(each for each in files if each.name == name)
            aside = Path(tempfile.mkdtemp(prefix=".incoming-", dir=folder))
            try:
                if (free := shutil.disk_usage(aside).free) < file.size * 1.05:
                    raise Conflict(f"{name} needs {file.size:,} bytes, but only {free:,} are free on that disk.")
                self._fetch_file(plan, name, aside, _bar(lambda done: on_bytes(done, file.size), stopped))
                _check_size(aside / name, file)
                yield aside / name
            finally:
                shutil.rmtree(aside, ignore_errors=True)

        facts = {"repo": plan.repo, "revision": plan.revision, "commit": plan.commit, "config": chosen, "split": part}
        return FetchedFiles({file.name: file.size for file in files}, fetch, facts, text_split)

    def _info(self, repo: str, revision: str) -> Any:
        api = self._api()
        with _translated(repo, revision):
            return api.dataset_info(repo, revision=revision, files_metadata=True)


def _files(info: Any) -> tuple[HubFile, ...]:
    return tuple(HubFile(each.rfilename, each.size or 0) for each in info.siblings or [] if _is_data(each.rfilename))


def _is_data(name: str) -> bool:
    path = PurePosixPath(name)
    if path.name.startswith((".", "README", "LICENSE", "dataset_info", "requirements")):
        return False
    try:
        return kind_of(Path(path.name)) != "txt" or path.suffix == ".txt"
    except NotADataset:
        return False


def _parts(files: tuple[HubFile, ...], *, converted: bool) -> dict[tuple[str, str], tuple[HubFile, ...]]:
    found: dict[tuple[str, str], list[HubFile]] = {}
    for file in sorted(files, key=lambda each: each.name):
        folders = PurePosixPath(file.name).parts
        if converted and len(folders) >= 3:
            found.setdefault((folders[0], folders[1].removeprefix("partial-")), []).append(file)
        elif not converted:
            named = _SPLIT.search(file.name.lower())
            split = {"valid": "validation", "dev": "validation"}.get(named[1], named[1]) if named else "train"
            found.setdefault(("default", split), []).append(file)
    return {key: tuple(each) for key, each in found.items()}


def _text(value: Any) -> str | None:
    return ", ".join(map(str, value)) if isinstance(value, list) else value
