"""Text to ids, and ids back to the bytes they stand for.

A token is bytes, not text: byte-level vocabularies cut characters in two, sentencepiece ones fall back to `<0xF0>`.
`display_tokens` keeps the bytes, so that joining them gives the text back, and shows every stray byte instead of a
replacement mark. Three kinds of vocabulary are told apart by the tokenizer's own decoder:

- byte-level (GPT-2, Llama 3, Qwen): each character of a token stands for one byte;
- sentencepiece (Llama 2, Gemma): `▁` is a space, `<0xNN>` one byte, and some put a space before the text that is not
  in it, which is taken off the first token again;
- anything else: the tokenizer decodes the token alone, as well as it can.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from loupe.engine.errors import BrokenText, EmptyText, TextTooLong

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_METASPACE = "▁"


@dataclass(frozen=True, slots=True)
class TokenView:
    """One token as shown: `raw_bytes` as it stands in the text, `text` the same for reading.

    A byte that is no whole character by itself shows as `<0xF0>` in `text`, and `partial` is True.
    """

    text: str
    raw_bytes: bytes
    is_special: bool
    partial: bool


def encode_text(
    tokenizer: PreTrainedTokenizerBase, text: str, *, add_special_tokens: bool = True, max_tokens: int | None = None
) -> list[int]:
    """The ids of a text, never truncated.

    Raises EmptyText (nothing to look at), BrokenText (half of a surrogate pair), TextTooLong (more than `max_tokens`).
    """
    if not text:
        raise EmptyText("The text is empty: at least one token is needed.")
    ids = tokenizer.encode(whole_text(text), add_special_tokens=add_special_tokens)
    if not ids:
        raise EmptyText(f"The tokenizer makes no token of these {len(text)} characters.")
    if max_tokens is not None and len(ids) > max_tokens:
        raise TextTooLong(f"The text has {len(ids)} tokens; the limit is {max_tokens}. Shorten it.")
    return ids


def whole_text(text: str) -> str:
    """The text with surrogate pairs joined into the characters they mean. Raises BrokenText for half a pair."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        at = next(i for i, pair in enumerate(_neighbours(text)) if _is_lone(*pair))
        raise BrokenText(
            f"Character {at} is U+{ord(text[at]):04X}, half of a surrogate pair: this is not text. Remove it."
        ) from None


def display_tokens(
    tokenizer: PreTrainedTokenizerBase, ids: Sequence[int], *, from_start: bool = True
) -> list[TokenView]:
    """Every token as bytes and as something to read. `b"".join` of the bytes of a text's tokens is the text.

    `from_start=False` for ids that do not begin a text (a slice, a list of candidates): no invented space is then taken
    off the first. An id beyond the vocabulary (a padded row of the embedding table) shows as `<id 151999>`, no bytes.
    """
    vocabulary = Vocabulary.of(tokenizer)
    views = [_view(vocabulary, int(token)) for token in ids]
    if from_start and vocabulary.invents_a_space:
        first = next((i for i, view in enumerate(views) if not view.is_special), None)
        if first is not None and views[first].raw_bytes.startswith(b" "):
            views[first] = _readable(views[first].raw_bytes[1:], special=False)
    return views


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What is asked of a tokenizer for every token, asked once: hold on to it, since asking is dear for some."""

    tokenizer: PreTrainedTokenizerBase
    kind: Literal["byte_level", "sentencepiece", "other"]
    invents_a_space: bool
    added: dict[int, str]
    special: frozenset[int]
    size: int

    @classmethod
    def of(cls, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
        steps = _decoder_steps(tokenizer)
        added = {int(token): entry.content for token, entry in tokenizer.added_tokens_decoder.items()}
        special = frozenset(tokenizer.all_special_ids)
        return cls(tokenizer, _kind(steps), _invents_a_space(steps), added, special, len(tokenizer))

    def bytes_of(self, token: int) -> bytes:
        """The bytes one id stands for in the middle of a text; empty for an id the tokenizer does not have."""
        if token in self.added:
            return self.added[token].encode("utf-8", "surrogatepass")
        piece = self.tokenizer.convert_ids_to_tokens(token) if 0 <= token < self.size else None
        if not isinstance(piece, str):
            return b""
        match self.kind:
            case "byte_level":
                return b"".join(_byte_of(character) for character in piece)
            case "sentencepiece":
                return _sentencepiece_bytes(piece)
            case _:
                alone = self.tokenizer.decode([token], clean_up_tokenization_spaces=False)
                return str(alone).encode("utf-8", "surrogatepass")


def _view(vocabulary: Vocabulary, token: int) -> TokenView:
    raw, special = vocabulary.bytes_of(token), token in vocabulary.special
    if raw or 0 <= token < vocabulary.size:
        return _readable(raw, special=special)
    return TokenView(f"<id {token}>", b"", is_special=special, partial=False)


def _readable(raw: bytes, *, special: bool) -> TokenView:
    try:
        return TokenView(raw.decode("utf-8"), raw, special, partial=False)
    except UnicodeDecodeError:
        return TokenView("".join(_with_stray_bytes(raw)), raw, special, partial=True)


def _with_stray_bytes(raw: bytes) -> Iterator[str]:
    while raw:
        try:
            yield raw.decode("utf-8")
            return
        except UnicodeDecodeError as error:
            yield raw[: error.start].decode("utf-8")
            yield "".join(f"<0x{byte:02X}>" for byte in raw[error.start : error.end])
            raw = raw[error.end :]


def _kind(steps: list[dict[str, Any]]) -> Literal["byte_level", "sentencepiece", "other"]:
    decoders = {step.get("type") for step in steps}
    if "ByteLevel" in decoders:
        return "byte_level"
    return "sentencepiece" if decoders & {"ByteFallback", "Metaspace"} else "other"


def _invents_a_space(steps: list[dict[str, Any]]) -> bool:
    """Whether decoding takes a space off the front, because encoding put one there."""
    for step in steps:
        if step.get("type") == "Strip" and step.get("content") == " " and step.get("start", 0) > 0:
            return True
        if step.get("type") == "Metaspace" and step.get("prepend_scheme", "always") != "never":
            return True
    return False


def _decoder_steps(tokenizer: PreTrainedTokenizerBase) -> list[dict[str, Any]]:
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    if decoder is None:
        return []
    state = json.loads(decoder.__getstate__())
    return state.get("decoders", [state])


def _sentencepiece_bytes(piece: str) -> bytes:
    if len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">"):
        return bytes.fromhex(piece[3:5])
    return piece.replace(_METASPACE, " ").encode("utf-8", "surrogatepass")


@lru_cache(maxsize=1)
def _byte_alphabet() -> dict[str, int]:
    """The 256 characters of byte-level vocabularies: printable Latin-1 as itself, other bytes moved past 255."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    moved = [byte for byte in range(256) if byte not in set(printable)]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(moved)}


def _byte_of(character: str) -> bytes:
    byte = _byte_alphabet().get(character)
    return character.encode("utf-8", "surrogatepass") if byte is None else bytes([byte])


def _neighbours(text: str) -> Iterator[tuple[str, str, str]]:
    for i, character in enumerate(text):
        yield text[i - 1 : i] if i else "", character, text[i + 1 : i + 2]


def _is_lone(before: str, character: str, after: str) -> bool:
    if "\ud800" <= character <= "\udbff":
        return not "\udc00" <= after <= "\udfff"
    return "\udc00" <= character <= "\udfff" and not "\ud800" <= before <= "\udbff"
