"""Datasets in the library; what they hold is looked at on their own page."""

from loupe.app.pages.library_entry import Entry, Said
from loupe.app.workspace import Workspace
from loupe.storage.repos.datasets import DatasetRecord, TokenisationRecord

MOST = 500


async def dataset_rows(workspace: Workspace) -> list[Entry]:
    """Every dataset, the latest first."""
    found = await workspace.store.datasets.list(limit=MOST)
    cut: dict[str, list[TokenisationRecord]] = {}
    for each in await workspace.store.datasets.tokenisations():
        cut.setdefault(each.dataset_id, []).append(each)
    return [_entry(record, cut.get(record.id, [])) for record in found.items]


async def act_on_dataset(workspace: Workspace, act: str, id: str, author: str) -> Said | str:
    """Delete a dataset."""
    gone = await workspace.datasets.delete(id)
    return Said(f"{gone.name} was deleted.", lambda: workspace.datasets.restore(id))


def _entry(record: DatasetRecord, cut: list[TokenisationRecord]) -> Entry:
    rows = sum(each.rows for each in cut)
    told = f"{rows:,} rows in {len(cut)} cuts" if len(cut) > 1 else f"{rows:,} rows" if cut else "none yet"
    return Entry(
        id=record.id,
        name=record.name,
        cells=(
            str(record.details.get("repo") or record.source),
            f"{record.documents:,}",
            f"{record.characters:,}" if record.characters else "–",
            told,
        ),
        acts=(("delete", "Delete"),),
        href=f"/training/datasets?open={record.id}",
    )
