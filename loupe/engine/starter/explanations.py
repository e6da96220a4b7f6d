"""What a token of a story is about, in plain words, with ground truth for every slot.

An explanation has three lines: who, what and where the text is about so far; the passage and what it tells; the last
token and what the language model expects next. It is made from `Knowledge` (a fold over what the text has said up to
that token) and the model's own next-token distribution, so it can neither know nor leak what comes later.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass

from loupe.engine.starter.world import lexicon
from loupe.engine.starter.world.story import Document, Knowledge, knowledge_at

GENRES = {
    "story": "story", "mini": "story", "chat": "chat", "letter": "letter",
    "diary": "diary", "facts": "chat", "recipe": "recipe",
}  # fmt: skip
PUNCTUATION = {
    ".": "full stop", ",": "comma", "?": "question mark", "!": "exclamation mark", ":": "colon", ";": "semicolon",
    '"': "quotation mark", '."': "full stop and quotation mark", ',"': "comma and quotation mark",
    '?"': "question mark and quotation mark", '!"': "exclamation mark and quotation mark", "'s": "apostrophe s",
    "'": "apostrophe", "-": "hyphen", "<|end|>": "end of turn", "<|user|>": "user turn",
    "<|assistant|>": "assistant turn", "\n": "new line", "": "space", "(": "bracket", ")": "bracket",
}  # fmt: skip
CLASSES = {
    "article": "a an the".split(),
    "pronoun": "he she it they him her them his its their i you we me us my your our himself herself who what".split(),
    "preposition": "in on at by to of with for from into over under near behind beside past through along across about "
    "after before until off up down out inside around between".split(),
    "conjunction": "and but or so because when while if then as that than".split(),
    "form of be": "is was were are be been am".split(),
    "form of have": "had have has having".split(),
    "auxiliary": "could would will can did do does might must should may".split(),
    "negation": "not no never nothing nobody n't".split(),
    "number": "one two three four five six seven eight nine ten twelve twenty hundred".split(),
}
WORD_CLASS = {word: name for name, words in CLASSES.items() for word in words}
MARK_CLASS = {
    "name": "a name", "pronoun": "a pronoun", "kind": "a kind of character", "trait": "a trait", "object": "a thing",
    "adj": "describing a thing", "place": "a place", "food": "food", "skill": "a skill", "weather": "weather",
    "mood": "a feeling", "turn": "a turn mark",
}  # fmt: skip
CONFIDENCE = ((0.85, "surely"), (0.5, "probably"), (0.25, "perhaps"), (0.0, "open, say"))
QUOTE_PIECES = 5  # words and marks, much as the tokenizer cuts
WORTH_NAMING = 0.04  # probability of a next token from which an explanation mentions it


@dataclass(frozen=True, slots=True)
class Slots:
    """The facts an explanation states, or `None` where it states none; what scoring compares."""

    who: str | None
    thing: str | None
    place: str | None
    event: str | None
    last_token: str | None
    next_token: str | None


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation and the ground truth it was written from."""

    text: str
    slots: Slots
    names_so_far: tuple[str, ...]


def token_word(token: str) -> str:
    """A token as an explanation writes it: ` kite` is kite, `.` is full stop, a piece inside a word is -ite."""
    bare = token.strip(" ")
    if bare in PUNCTUATION:
        return PUNCTUATION[bare]
    return bare if token.startswith(" ") or not bare[:1].isalnum() else f"-{bare}"


def explain(
    document: Document, start: int, end: int, predictions: list[tuple[str, float]], rng: random.Random
) -> Explained:
    """Explain the token at characters `start:end`, given the model's likeliest next tokens with probabilities."""
    known = knowledge_at(document, end)
    token = document.text[start:end]
    likely = [text for text, probability in predictions if probability >= WORTH_NAMING] or [predictions[0][0]]
    words = [token_word(text) for text in likely]
    last = token_word(token if start or token.startswith(" ") else f" {token}")
    lines = (
        _subject(known, rng),
        _passage(document.text[:end], known, rng),
        _expectation(last, _role(document, start, end), words, predictions[0][1], rng),
    )
    thing = f"{known.thing_adj} {known.thing}" if known.thing_adj else known.thing
    slots = Slots(known.who, thing, known.place, known.event, last, words[0])
    return Explained("\n".join(lines), slots, tuple(known.cast))


def _subject(known: Knowledge, rng: random.Random) -> str:
    genre = GENRES[known.genre] if known.genre else "text"
    parts = [_who(known)] if known.who else ["nobody named yet"]
    if known.other:
        parts[0] += f", with {known.other}"
    if known.thing:
        parts.append(f"a {known.thing_adj} {known.thing}" if known.thing_adj else f"the {known.thing}")
    if known.place:
        parts.append(f"at the {known.place}")
    parts += [value for value in (known.food, known.skill) if value]
    if known.mood:
        parts.append(f"{known.mood} mood")
    lead = rng.choice((f"A {genre} about", f"This {genre} is about"))
    theme = f" Theme: {known.theme}." if known.theme and rng.random() < 0.8 else ""
    return f"{lead} {'; '.join(parts)}.{theme}"


def _who(known: Knowledge) -> str:
    described = known.described.get(known.who or "", {})
    words = (known.who, "the" if described else None, described.get("trait"), described.get("kind"))
    return " ".join(filter(None, words))


def _passage(text: str, known: Knowledge, rng: random.Random) -> str:
    quote = last_pieces(re.sub(r"<\|\w+\|>", " ", text))
    if not quote:
        return "Nothing has been said yet."
    if known.event is None:
        return rng.choice((f"… {quote} … starts without an event so far.", f"… {quote} … tells no event yet."))
    noun, sentence = lexicon.EVENTS[known.event]
    if not known.event_here:
        return rng.choice((f"… {quote} … follows {noun}.", f"… {quote} … comes after {noun}."))
    return rng.choice((f"… {quote} … is about {noun}.", f"… {quote} … tells of {noun}.", f"… {quote} … : {sentence}."))


_PIECE = re.compile(r"\s*(?:'\w+|\w+|[^\w\s]+)")


def last_pieces(text: str) -> str:
    """The last words and marks of a text, with the spaces between them.

    A fixed number of pieces, not of words: the activation tells the verbalizer what stood so many tokens back, and how
    many marks hang on its words it would have to know before it can begin.
    """
    pieces = _PIECE.findall(text[-400:])
    return " ".join("".join(pieces[-QUOTE_PIECES:]).split())


def _role(document: Document, start: int, end: int) -> str:
    word = document.text[start:end].strip(" ")
    for mark in document.marks:
        if mark.kind in MARK_CLASS and mark.start < end <= mark.end:
            return MARK_CLASS[mark.kind]
    if word in PUNCTUATION or not word[:1].isalnum():
        return "punctuation"
    if not document.text[start:end].startswith(" ") and start:
        return "part of a word"
    return WORD_CLASS.get(word.lower(), "a word")


def _expectation(last: str, role: str, words: list[str], confidence: float, rng: random.Random) -> str:
    how = next(name for floor, name in CONFIDENCE if confidence >= floor)
    lead = rng.choice(("Last token:", "It ends on:"))
    return f"{lead} {last} ({role}). Next, {how}: {', '.join(words)}."


NAMES = frozenset((*lexicon.WOMEN, *lexicon.MEN))
_EVENTS = {phrase: event for event, phrases in lexicon.EVENTS.items() for phrase in phrases}
_THING = re.compile(rf"; (?:a|the) ((?:\w+ )?(?:{'|'.join(lexicon.OBJECTS)}))\b")


def read_slots(explanation: str) -> Slots:
    """The slots an explanation states, ours or a verbalizer's: the inverse of `explain`, forgiving about the rest."""
    first, _, rest = explanation.partition("\n")
    first = first.partition(" Theme:")[0]
    who = re.search(r"about (\w+)", first)
    thing = _THING.search(first)
    place = re.search(r"; at the (\w+)", first)
    event = re.search(r"… .+? … (?:is about|tells of|follows|comes after|:) ([^.\n]+)\.", rest)
    last = re.search(r"(?:Last token:|It ends on:) (.+?) \(", rest)
    following = re.search(r"Next, [^:\n]+: ([^,\n]+?)(?:,|\.?$)", rest)
    return Slots(
        who=who[1] if who and who[1] in NAMES else None,
        thing=thing[1] if thing else None,
        place=place[1] if place else None,
        event=_EVENTS.get(event[1]) if event else None,
        last_token=last[1] if last else None,
        next_token=following[1] if following else None,
    )


_TELLING = re.compile(r"… (.+?) …|(?:Last token:|It ends on:) (.+?) \(")


def telling_spans(explanation: str) -> list[tuple[int, int]]:
    """Where an explanation quotes the passage and names the last token: few tokens, on which most of the
    reconstruction hangs."""
    return [found.span(found.lastindex or 0) for found in _TELLING.finditer(explanation)]


_QUOTE = re.compile(r"… (.+?) …")


def quoted(explanation: str) -> str:
    """The words of the passage that an explanation quotes; empty when it quotes none."""
    found = _QUOTE.search(explanation)
    return found[1] if found else ""


def names_in(explanation: str) -> frozenset[str]:
    """Every character name an explanation mentions."""
    return NAMES.intersection(re.findall(r"\w+", explanation))
