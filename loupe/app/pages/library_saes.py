"""Sparse autoencoders in the library: what each is, how well it does, where it came from."""

from loupe.app.pages.library_entry import Entry, Said
from loupe.app.pages.numbers import show
from loupe.app.services.catalogue import STARTER
from loupe.app.services.trained_saes import RUN
from loupe.app.sizes import size_text
from loupe.app.workspace import Workspace
from loupe.storage.errors import NotFound
from loupe.storage.repos.saes import SaeRecord

MOST = 500  # rows of the section; what is beyond is found over the API
SAE_COLUMNS = ("Architecture", "Hook point", "#Latents", "#L0", "#Explained variance", "#CE recovered", "From", "#Size")


async def sae_rows(workspace: Workspace) -> list[Entry]:
    """Every SAE, the latest first."""
    found = await workspace.store.saes.list(limit=MOST)
    going_on = {live.id for live in workspace.jobs.live if live.record.kind == "training"}
    makers = {record.job_id for record in found.items if record.job_id}
    names = {id: await _training_name(workspace, id) for id in makers}
    return [
        _entry(record, names.get(record.job_id or ""), follows=RUN in record.details and record.job_id in going_on)
        for record in found.items
    ]


async def _training_name(workspace: Workspace, id: str) -> str | None:
    try:
        return (await workspace.store.jobs.get(id)).name
    except NotFound:  # it was deleted just now
        return None


async def act_on_sae(workspace: Workspace, act: str, id: str, author: str) -> Said | str:
    """Delete an SAE."""
    gone = await workspace.saes.delete(id)
    return Said(f"{gone.name} was deleted.", lambda: workspace.saes.restore(id))


def hook_text(record: SaeRecord) -> str:
    """Where it reads, and where it writes when that is somewhere else."""
    reads = ", ".join(record.hook_points)
    return f"{reads} → {record.hook_point_out}" if record.hook_point_out else reads


def origin_text(record: SaeRecord) -> str:
    """Where it came from, in two words."""
    if record.source == STARTER:
        return "shipped with Loupe"
    if record.source == "trained":
        return f"trained, {record.step:,} steps" if record.step is not None else "trained"
    return str(record.details.get("repo") or f"{record.source} ({record.source_format})")


def score_text(record: SaeRecord, name: str) -> str:
    """A number of its card, or a dash where it was never judged."""
    value = (record.card or {}).get(name)
    return "–" if value is None else show(float(value))


def _entry(record: SaeRecord, training: str | None, *, follows: bool) -> Entry:
    k = f" k {record.k}" if record.k is not None else ""
    return Entry(
        id=record.id,
        name=record.name,
        about=f"for {record.model}{f', of the training {training}' if training else ''}",
        chips=(("in training", "It follows the newest checkpoint until the training ends."),) if follows else (),
        cells=(
            f"{record.architecture}{k}",
            hook_text(record),
            f"{record.d_sae:,}",
            score_text(record, "l0"),
            score_text(record, "explained_variance"),
            score_text(record, "ce_recovered"),
            origin_text(record),
            size_text(record.size),
        ),
        acts=(("delete", "Delete"),) if record.source != STARTER else (),
        href=f"/library/saes/{record.id}",
    )
