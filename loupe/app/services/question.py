"""From what was asked to a job for the device: the text cut into tokens, positions chosen, everything noted that a
repetition needs. Touches no device; may be called from any thread once the pair is loaded."""

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loupe.app.services.models import LoadedPair
from loupe.app.services.options import AnalysisOptions, parse_positions
from loupe.app.settings import Settings
from loupe.engine.device import DeviceThread, JobHandle
from loupe.engine.errors import BadPositions
from loupe.engine.jobs import Event
from loupe.engine.models.tokens import display_tokens
from loupe.engine.nla.analysis import AnalysisJob
from loupe.engine.nla.request import AnalysisRequest, filled, resolve
from loupe.storage.cache import content_key

MAX_NEW_TOKENS = 160


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A job that can be submitted. `record` is what the run must remember, `key` stands for the whole question."""

    job: AnalysisJob
    device: DeviceThread
    tokens: tuple[dict[str, Any], ...]
    positions: tuple[int, ...]
    record: dict[str, Any]
    key: str

    def submit(self, on_event: Callable[[Event], None], owner: str = "") -> JobHandle:
        """Line the job up on the device thread."""
        return self.device.submit(self.job, seed=self.job.question.request.seed, on_event=on_event, owner=owner)


def prepare(options: AnalysisOptions, loaded: LoadedPair, device: DeviceThread, settings: Settings) -> Prepared:
    """Cut the text and make the job. Raises BadInput and its leaves, SidecarError, ModelError."""
    model = loaded.donor or loaded.model
    cut = resolve(model, _request(options), loaded.pair.layer)
    positions = parse_positions(options.positions, len(cut.ids))
    if len(positions) > settings.max_positions:
        raise BadPositions(
            f"{len(positions)} positions are asked for; at most {settings.max_positions} are explained in one run. "
            "Choose some with positions, such as 0-199."
        )
    job = AnalysisJob(model, loaded.pair, replace(filled(cut), positions=positions))
    record = {
        "token_ids": list(cut.ids),
        "fingerprints": job.fingerprints,
        "layer": loaded.pair.layer,
        "device": str(device.device),
        "dtype": model.dtype,
    }
    return Prepared(job, device, _tokens(model.tokenizer, cut.ids), positions, record, _key(job, record))


def _request(options: AnalysisOptions) -> AnalysisRequest:
    chat = options.messages
    return AnalysisRequest(
        text=options.text,
        messages=tuple({"role": m.role, "content": m.content} for m in chat) if chat is not None else None,
        best_of=options.best_of,
        temperature=options.temperature,
        top_p=options.top_p,
        seed=options.seed,
        max_new_tokens=options.max_new_tokens or MAX_NEW_TOKENS,
        kl=options.kl,
        salience=options.salience,
        logit_lens_k=options.logit_lens_k,
        next_token_k=options.next_token_k,
        layer=options.layer,
    )


def _tokens(tokenizer: Any, ids: Sequence[int]) -> tuple[dict[str, Any], ...]:
    if tokenizer is None:
        return tuple({"text": f"<id {token}>"} for token in ids)
    views = display_tokens(tokenizer, ids)
    return tuple({"text": v.text, "is_special": v.is_special, "partial": v.partial} for v in views)


def _key(job: AnalysisJob, record: dict[str, Any]) -> str:
    question, request = job.question, job.question.request
    return content_key(
        kind="analysis",
        loupe=importlib.metadata.version("loupe-lab"),
        torch=importlib.metadata.version("torch"),
        positions=list(question.positions),
        template=list(question.template),
        options=[request.best_of, request.temperature, request.top_p, request.seed, request.max_new_tokens],
        measures=[request.kl, request.salience, request.logit_lens_k, request.next_token_k],
        **record,
    )
