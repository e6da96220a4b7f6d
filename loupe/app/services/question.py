"""From what was asked to a job for the device: the text cut into tokens, positions chosen, everything noted that a
repetition needs. Touches no device; may be called from any thread once the pair is loaded."""

import importlib.metadata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from loupe.app.services.lenses import Lenses
from loupe.app.services.options import AnalysisOptions, GenerationOptions, ReplyOptions, parse_positions
from loupe.app.services.parts import LoadedPair
from loupe.app.settings import Settings
from loupe.engine.device import DeviceThread, JobHandle
from loupe.engine.errors import BadPositions
from loupe.engine.jobs import Event
from loupe.engine.models.generate import GenerateOptions
from loupe.engine.models.language_model import LanguageModel
from loupe.engine.models.reply import Reply, ReplyJob
from loupe.engine.models.tokens import display_tokens
from loupe.engine.nla.analysis import AnalysisJob
from loupe.engine.nla.request import AnalysisRequest, Cut, Turn, cut_tokens, filled, resolve
from loupe.storage.cache import content_key

MAX_NEW_TOKENS = 160


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A job that can be submitted.

    `record` is what the run must remember, `about` what its result tells beside the engine's metadata (turns of a chat,
    the reply), `key` stands for the whole question.
    """

    job: AnalysisJob
    device: DeviceThread
    tokens: tuple[dict[str, Any], ...]
    positions: tuple[int, ...]
    record: dict[str, Any]
    about: dict[str, Any]
    key: str

    def submit(self, on_event: Callable[[Event], None], owner: str = "") -> JobHandle:
        """Line the job up on the device thread."""
        return self.device.submit(self.job, seed=self.job.question.request.seed, on_event=on_event, owner=owner)


def prepare(
    options: AnalysisOptions,
    loaded: LoadedPair,
    device: DeviceThread,
    settings: Settings,
    lenses: Lenses,
    reply: Reply | None = None,
) -> Prepared:
    """Cut the text, with the reply after it, and make the job.

    Raises BadInput, SidecarError, ModelError, CorruptFile.
    """
    model = loaded.donor or loaded.model
    cut, about = _with_reply(options, model, reply)
    request = replace(
        _request(options), text=None, messages=None, prefill=None, token_ids=cut.ids, template_positions=cut.template
    )
    question = resolve(model, request, loaded.pair.layer)
    positions = _positions(options, cut, about, settings)
    lens = lenses.of(loaded.model, loaded.pair.layer)
    job = AnalysisJob(model, loaded.pair, replace(filled(question), positions=positions), lens=lens)
    record = {
        "token_ids": list(cut.ids),
        "fingerprints": job.fingerprints,
        "layer": loaded.pair.layer,
        "device": str(device.device),
        "dtype": model.dtype,
    }
    key = _key(job, record, about=about)
    return Prepared(job, device, shown_tokens(model.tokenizer, cut.ids), positions, record, about, key)


def preview(options: AnalysisOptions, loaded: LoadedPair) -> tuple[tuple[dict[str, Any], ...], dict[str, Any]]:
    """The tokens of an input and its turns, before anything is asked of them. Raises as `prepare`."""
    model = loaded.donor or loaded.model
    cut, about = _with_reply(options, model, None)
    return shown_tokens(model.tokenizer, cut.ids), about


def reply_job(options: AnalysisOptions | GenerationOptions, model: LanguageModel, how: ReplyOptions) -> ReplyJob:
    """The job that continues or answers the input. Raises as `prepare`."""
    cut = cut_tokens(model, _input(options), reply_follows=True)
    generate = GenerateOptions(how.max_new_tokens, how.temperature, how.top_p, how.seed)
    return ReplyJob(model, cut.ids, generate)


def _with_reply(options: AnalysisOptions, model: LanguageModel, reply: Reply | None) -> tuple[Cut, dict[str, Any]]:
    cut = cut_tokens(model, _input(options), reply_follows=reply is not None)
    about: dict[str, Any] = {}
    if reply is not None:
        first = len(cut.ids)
        about["reply"] = {"first": first, "tokens": len(reply.token_ids), "text": reply.text, "finish": reply.finish}
        cut = _extended(cut, reply, is_chat=options.messages is not None, is_begun=options.prefill is not None)
    if cut.turns:
        about["turns"] = [turn._asdict() for turn in cut.turns]
    return cut, about


def _extended(cut: Cut, reply: Reply, *, is_chat: bool, is_begun: bool) -> Cut:
    ids = (*cut.ids, *reply.token_ids)
    last = len(ids) - 1 - (reply.finish == "stop")
    first, turns = len(cut.ids), cut.turns
    if is_begun and turns:
        first, turns = turns[-1].first, turns[:-1]
    if is_chat and last >= first:
        turns = (*turns, Turn("assistant", first, last))
    closing = tuple(range(max(last + 1, len(cut.ids)), len(ids))) if is_chat else ()
    return Cut(ids, (*cut.template, *closing), turns)


def _positions(options: AnalysisOptions, cut: Cut, about: dict[str, Any], settings: Settings) -> tuple[int, ...]:
    spans = [(turn.first, turn.last) for turn in cut.turns]
    reply_from = about["reply"]["first"] if "reply" in about else None
    positions = parse_positions(options.positions, len(cut.ids), spans, reply_from)
    if len(positions) > settings.max_positions:
        raise BadPositions(
            f"{len(positions)} positions are asked for; at most {settings.max_positions} are explained in one run. "
            "Choose some with positions, such as 0-199."
        )
    return positions


def _input(options: AnalysisOptions | GenerationOptions) -> AnalysisRequest:
    chat = options.messages
    messages = tuple({"role": m.role, "content": m.content} for m in chat) if chat is not None else None
    return AnalysisRequest(text=options.text, messages=messages, prefill=options.prefill)


def _request(options: AnalysisOptions) -> AnalysisRequest:
    return replace(
        _input(options),
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


def shown_tokens(tokenizer: Any, ids: Sequence[int]) -> tuple[dict[str, Any], ...]:
    """Tokens as a page draws them."""
    if tokenizer is None:
        return tuple({"text": f"<id {token}>"} for token in ids)
    views = display_tokens(tokenizer, ids)
    return tuple({"text": v.text, "is_special": v.is_special, "partial": v.partial} for v in views)


def _key(job: AnalysisJob, record: dict[str, Any], **more: Any) -> str:
    question, request = job.question, job.question.request
    return content_key(
        kind="analysis",
        loupe=importlib.metadata.version("loupe-lab"),
        torch=importlib.metadata.version("torch"),
        positions=list(question.positions),
        template=list(question.template),
        options=[request.best_of, request.temperature, request.top_p, request.seed, request.max_new_tokens],
        measures=[request.kl, request.salience, request.logit_lens_k, request.next_token_k],
        **more,
        **record,
    )
