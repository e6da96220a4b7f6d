"""What a training is made of, for its work and for the fit check: rows, stream, device job, watched texts.

Called in a thread or on the device: this is what needs the engine.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from loupe.app.services.trained_saes import write_sae
from loupe.app.services.training_request import TrainingRequest

if TYPE_CHECKING:
    from loupe.engine.data.rows import TokenRows
    from loupe.engine.models.language_model import LanguageModel
    from loupe.engine.sae.cache import CachedRows
    from loupe.engine.sae.checkpoint import TrainingState
    from loupe.engine.sae.plan import SAERun, TrainingPlan
    from loupe.engine.sae.sae import SAE
    from loupe.engine.sae.stream import ActivationStream
    from loupe.engine.sae.trainer import TrainingJob, WatchedText


def open_token_rows(folder: Path) -> "TokenRows":
    """Token rows of a tokenisation's folder."""
    from loupe.engine.data.tokenising import open_rows

    return open_rows(folder)


def split_rows(rows: "TokenRows", request: TrainingRequest) -> tuple["TokenRows", "TokenRows"]:
    """Held-out rows (the first ones), and those to train on. Raises BadOption when there are too few."""
    count = _held_out(rows, request.held_out)
    return rows.part(0, min(count, request.evaluation_rows)), rows.part(count, len(rows))


def training_part(rows: "TokenRows", held_out: float) -> "TokenRows":
    """The rows behind those that are held out. Raises BadOption when there are too few."""
    return rows.part(_held_out(rows, held_out), len(rows))


def _held_out(rows: "TokenRows", share: float) -> int:
    from loupe.engine.errors import BadOption

    if len(rows) < 2:
        raise BadOption(f"A training needs two rows of tokens, one of them held out; there is {len(rows)}.")
    return min(len(rows) - 1, max(1, round(len(rows) * share)))


def cached_rows(lm: "LanguageModel", folder: Path, plan: "TrainingPlan", request: TrainingRequest) -> "CachedRows":
    """The rows of a cache as a training reads them. Raises BadOption, CorruptFile."""
    from loupe.engine.errors import BadOption
    from loupe.engine.sae.cache import CachedRows

    found = CachedRows(folder, plan.points, seed=plan.training.seed, buffer_rows=request.buffer_rows, device=lm.device)
    if found.facts.source["model_fingerprint"] != lm.fingerprint:
        raise BadOption(f"{request.model} has other weights than when its activations were cached: write them again.")
    return found


def new_stream(
    lm: "LanguageModel", rows: "TokenRows", plan: "TrainingPlan", request: TrainingRequest, buffer_rows: int
) -> "ActivationStream":
    """The activations a training reads from the model. Raises BadOption, BadInput."""
    from loupe.engine.sae.stream import ActivationStream, Drop

    drop = Drop(special=request.drop_special, first=request.drop_first, norm_factor=request.drop_outliers)
    return ActivationStream(lm, rows, plan.points, seed=plan.training.seed, buffer_rows=buffer_rows, drop=drop)


def new_job(
    lm: "LanguageModel",
    rows: "TokenRows",
    held_out: "TokenRows",
    plan: "TrainingPlan",
    request: TrainingRequest,
    state: "TrainingState | None",
    watched: "tuple[WatchedText, ...]",
    name: str,
    cached: Path | None = None,
) -> "TrainingJob":
    """The device job, from its beginning or from a checkpoint; `cached` is the cache it reads instead of the model."""
    from loupe.engine.sae.evaluation import evaluate
    from loupe.engine.sae.stream import Drop
    from loupe.engine.sae.trainer import TrainingJob

    drop = Drop(special=request.drop_special, first=request.drop_first, norm_factor=request.drop_outliers)

    def judged(run: "SAERun", sae: "SAE"):
        return evaluate(lm, sae, run.reads, held_out, writes=run.writes, drop=drop)

    def exported(folder: Path, run: "SAERun", sae: "SAE", card: Any) -> None:
        write_sae(folder, lm, request, plan, run, sae, card.to_dict() if card is not None else None)

    if cached is None:
        stream = new_stream(lm, rows, plan, request, request.buffer_rows)
    else:
        stream = cached_rows(lm, cached, plan, request)
    options = {"watched": watched, "evaluate": judged, "export": exported, "name": name}
    if state is None:
        return TrainingJob(plan, stream, **options)
    return TrainingJob.resumed(state, stream, plan=plan, **options)


def watched_texts(lm: "LanguageModel", texts: tuple[str, ...], plan: "TrainingPlan") -> "tuple[WatchedText, ...]":
    """Tokens and activations of short texts at all hook points of a plan; on the device."""
    import torch

    from loupe.engine.models.hooks import capture
    from loupe.engine.models.tokens import display_tokens, encode_text
    from loupe.engine.sae.trainer import WatchedText

    found, tokenizer = [], lm.tokenizer
    assert tokenizer is not None, "models of the catalogue have a tokenizer"
    for text in texts:
        ids = encode_text(tokenizer, text)[:64]
        with torch.no_grad(), capture(lm, list(plan.points)) as store:
            lm.model(input_ids=torch.tensor([ids], device=lm.device), use_cache=False)
        tokens = tuple(view.text for view in display_tokens(tokenizer, ids))
        found.append(WatchedText(tokens, {point: store[point][0].float() for point in plan.points}))
    return tuple(found)
