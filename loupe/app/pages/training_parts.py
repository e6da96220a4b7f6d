"""What the page of a training shows beside its charts, as markup: job card, checkpoints, feature strip, numbers.

Names and texts are escaped and inert.
"""

import html
from collections.abc import Iterable, Mapping
from typing import Any

from loupe.app.pages.links import link
from loupe.app.pages.numbers import seconds, show
from loupe.app.plain import plain
from loupe.app.sizes import size_text
from loupe.storage.repos.saes import SaeRecord
from loupe.storage.repos.trainings import CheckpointRecord

LEVERS = {
    "pause": ("Pause", "", "Hold it after this step, across restarts too."),
    "resume": ("Resume", "main", "Go on from where it is, or from its newest checkpoint."),
    "save": ("Save now", "", "A checkpoint at the end of this step."),
    "stop": ("Stop and keep", "", "End after this step; its SAEs are kept as they are."),
    "retry": ("Retry", "main", "Work on it again."),
    "cancel": ("Cancel", "danger", "End now; only its checkpoints stay."),
    "delete": ("Delete", "danger", "Forget it with its curves and checkpoints; its SAEs stay."),
}
MEASURES = {
    "step": "step", "tokens": "tokens", "loss": "loss ↓", "explained_variance": "explained variance ↑", "l0": "L0",
    "l0_target": "L0 target", "dead_share": "dead share ↓", "lr": "learning rate", "grad_norm": "gradient norm",
    "tokens_per_s": "tokens/s", "micro_rows": "rows at once",
}  # fmt: skip
SCORES = (("explained_variance", "explained variance"), ("l0", "L0"), ("ce_recovered", "CE recovered"))
WHOLE = ("step", "tokens", "micro_rows")


def job_html(job: Mapping[str, Any]) -> str:
    """State, progress and time left, and the buttons for what may be done now."""
    total, done = job.get("total"), job["done"] or 0
    bar = f'<progress max="{total}" value="{done}" aria-label="Progress">{done} of {total}</progress>' if total else ""
    count = f"{done:,} / {total:,} steps" if total else ""
    left = f"{seconds(job['seconds_left'])} left" if "seconds_left" in job else ""
    took = f"{seconds(job['seconds'])} so far" if "seconds" in job and "finished_at" not in job else ""
    if "seconds" in job and "finished_at" in job:
        took = f"took {seconds(job['seconds'])}"
    times = "".join(f'<span class="num">{part}</span>' for part in (count, left, took) if part)
    message = f'<span class="soft">{html.escape(plain(job["message"], 160))}</span>' if _is_open(job) else ""
    return (
        f'<div class="job-line"><span class="state {job["state"]}" data-testid="training-state">{job["state"]}</span>'
        f"{bar}{times}{message}</div>{_error(job)}"
        f'<div class="levers">{"".join(_lever(act) for act in LEVERS if act in job["actions"])}'
        f'<button data-act="log" data-testid="training-log-open">Log</button></div>'
    )


def _is_open(job: Mapping[str, Any]) -> bool:
    """Whether its message is about now."""
    return bool(job.get("message")) and "finished_at" not in job


def _error(job: Mapping[str, Any]) -> str:
    error = job.get("error")
    if not error:
        return ""
    said = html.escape(plain(error["message"], 600))
    return f'<div class="look failed" role="alert" data-testid="training-error">{said}</div>'


def _lever(act: str) -> str:
    label, look, about = LEVERS[act]
    return f'<button class="{look}" data-act="{act}" title="{about}" data-testid="training-{act}">{label}</button>'


def numbers_html(latest: Mapping[str, Mapping[str, Any]]) -> str:
    """The newest point of every SAE as a table: what the charts say, in figures."""
    if not latest:
        return '<p class="soft">No point of the curves yet.</p>'
    names = [name for name in MEASURES if any(name in each for each in latest.values())]
    heads = "".join(f'<th class="num">{MEASURES[name]}</th>' for name in names)
    rows = "".join(
        f'<tr data-testid="training-now"><th><bdi>{html.escape(plain(sae, 60))}</bdi></th>'
        + "".join(f'<td class="num" data-measure="{name}">{_measure(name, each.get(name))}</td>' for name in names)
        + "</tr>"
        for sae, each in latest.items()
    )
    return f'<table class="plain-table"><thead><tr><th>SAE</th>{heads}</tr></thead><tbody>{rows}</tbody></table>'


def _measure(name: str, value: Any) -> str:
    if value is None:
        return "–"
    if name in WHOLE:
        return f"{value:,}"
    return f'<span title="{value!r}">{show(float(value))}</span>'


def checkpoints_html(checkpoints: Iterable[CheckpointRecord]) -> str:
    """The checkpoints, the newest first, with what may be done with each."""
    rows = "".join(_checkpoint(each) for each in checkpoints)
    if not rows:
        return '<p class="soft" data-testid="checkpoints-empty">None yet. “Save now” makes one while it runs.</p>'
    heads = '<th class="num">step</th><th class="num">size</th><th>saved</th><th></th><th></th>'
    return (
        f'<table class="plain-table" data-testid="checkpoints"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _checkpoint(each: CheckpointRecord) -> str:
    keep = ("unkeep", "Let it be pruned") if each.kept else ("keep", "Keep for good")
    acts = "".join(
        f'<button class="plain" data-act="{act}" data-id="{each.id}" data-testid="checkpoint-{act}"'
        f' aria-label="{label}: step {each.step}">{label}</button>'
        for act, label in (("load", "Load"), keep, ("fork", "Fork"), ("drop", "Delete"))
    )
    return (
        f'<tr data-testid="checkpoint" data-step="{each.step}"><td class="num">{each.step:,}</td>'
        f'<td class="num">{size_text(each.size)}</td><td>{each.created_at:%Y-%m-%d %H:%M:%S}</td>'
        f"<td>{'kept' if each.kept else ''}</td><td>{acts}</td></tr>"
    )


def saes_html(saes: Iterable[SaeRecord]) -> str:
    """The SAEs a training left, with their held-out scores and the folder to take away."""
    rows = "".join(_sae(each) for each in saes)
    if not rows:
        return '<p class="soft">They are listed, here and in the Library, from the first checkpoint on.</p>'
    return f'<ul class="entries" data-testid="training-saes">{rows}</ul>'


def _sae(each: SaeRecord) -> str:
    card = each.card or {}
    scores = "".join(
        f"<span>{label} <b class=num>{show(float(card[name]))}</b></span>"
        for name, label in (
            ("explained_variance", "explained variance"),
            ("l0", "L0"),
            ("ce_recovered", "CE recovered"),
        )
        if card.get(name) is not None
    )
    where = ", ".join(each.hook_points)
    step = f"<span>as of step {each.step:,}</span>" if each.step is not None else ""
    name = f'<a href="{link(f"/library/saes/{each.id}")}"><bdi>{html.escape(plain(each.name, 80))}</bdi></a>'
    export = link(f"/api/v1/saes/{each.id}/export")
    return (
        f'<li data-testid="training-sae" data-id="{each.id}"><div class="who"><b>{name}</b>'
        f'<span class="chip">{html.escape(each.architecture)}</span></div><div class="acts">'
        f'<a class="quiet-link" href="{export}" download data-testid="sae-export">Export as SAELens</a></div>'
        f'<div class="facts"><span>{html.escape(where)}</span><span>{each.d_sae:,} latents</span>{step}{scores}'
        "</div></li>"
    )


def strip_html(strips: Mapping[str, Mapping[str, Any]], step: int | None) -> str:
    """The features that fire most on the watched text, token by token, for every SAE."""
    parts = [_strip(sae, strip) for sae, strip in strips.items() if strip.get("latents")]
    if not parts:
        return '<p class="soft">Nothing is watched, or nothing fires on the watched text yet.</p>'
    when = "" if step is None else f"At step {step:,}. "  # a first look may come before the first point
    told = f'<p class="soft small">{when}Colour is the activation, each row relative to its largest.</p>'
    return told + "".join(parts)


def _strip(sae: str, strip: Mapping[str, Any]) -> str:
    heads = "".join(f"<th>{html.escape(token)}</th>" for token in strip["tokens"])
    rows = "".join(
        f'<tr data-testid="strip-feature"><th class="num">{latent}</th>{_cells(acts, strip["tokens"])}</tr>'
        for latent, acts in zip(strip["latents"], strip["acts"], strict=True)
    )
    name = html.escape(plain(sae, 24))
    return (
        f'<div class="feature-strip"><table><caption class="sr">Features of {name} on the watched text</caption>'
        f"<thead><tr><th>{name}</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _cells(acts: Iterable[float], tokens: Iterable[str]) -> str:
    acts = list(acts)
    most = max(acts, default=0.0) or 1.0
    return "".join(_cell(act, act / most, token) for act, token in zip(acts, tokens, strict=True))


def _cell(act: float, share: float, token: str) -> str:
    if act <= 0:
        return "<td></td>"
    told = f"{html.escape(token, quote=True)}: {show(act)}"
    return f'<td class="p{max(1, round(share * 8))}" title="{told}">{show(act, 2)}</td>'
