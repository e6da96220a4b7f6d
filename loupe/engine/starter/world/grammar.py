"""The template language of the story world: text with slots, choices and marks that say what has just been revealed.

    [one|two|three]            one of the alternatives (may nest)
    {A} {A.he} {A.his} ...     a character's name, or a pronoun that some documents replace by the name
    {A.kind} {A.trait}         fox, shy
    {O} {O.adj}                kite, red              {P} {P.at} {P.to}   harbour, at the harbour, to the harbour
    {F} {K} {K.ing} {K.past}   bread; swim, swimming, swam           {W}   rainy
    {a:A.trait}                the value with its article: a shy, an old
    {~sad}                     a feeling word of that mood, and from here on the mood is known
    {!loses}                   prints nothing: from here on the reader knows what this sentence is about
    {#}                        prints nothing: from here on the reader knows the plot's theme
    {user} {assistant}         turns of a chat

Rendering returns the text and one `Mark` for everything a reader has learnt, at the character where it was learnt. What
is known at a token is therefore a fold over the marks that end at or before it, and nothing else: no explanation can
know more than the text has said.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field
from typing import NamedTuple

from loupe.engine.starter.world import lexicon

PIECE = re.compile(r"\{[^{}]*\}|\[|\]|\||[^\[\]|{}]+")
VOWEL_SOUNDS = (*"aeiou", "hones")


@dataclass(frozen=True, slots=True)
class Character:
    """Someone in a story: a name, a pronoun set, what they are and how they are."""

    name: str
    gender: str
    kind: str
    trait: str


@dataclass(frozen=True, slots=True)
class Thing:
    noun: str
    adj: str


@dataclass(frozen=True, slots=True)
class Place:
    noun: str
    preposition: str


@dataclass(frozen=True, slots=True)
class Skill:
    base: str
    ing: str
    past: str


class Mark(NamedTuple):
    """Something the reader learns: `kind` of knowledge, its `value`, and the characters it was read from."""

    start: int
    end: int
    kind: str
    value: str


@dataclass(slots=True)
class Scene:
    """Who and what fills the slots of one document."""

    characters: dict[str, Character]
    things: dict[str, Thing]
    places: dict[str, Place]
    food: str
    skill: Skill
    weather: str
    theme: str
    name_rate: float = 0.35


@dataclass(slots=True)
class Page:
    """The document as it is being written."""

    text: str = ""
    marks: list[Mark] = field(default_factory=list)

    def write(self, text: str, kind: str | None = None, value: str | None = None) -> None:
        start = len(self.text)
        self.text += text
        if kind is not None:
            self.marks.append(Mark(start, len(self.text), kind, text if value is None else value))


class TemplateError(ValueError):
    """A template that cannot be rendered: unknown slot, unbalanced bracket, unknown event or mood."""


def expand(template: str, rng: random.Random) -> str:
    """Resolve every `[a|b]`, innermost alternatives included; slots stay."""
    pieces = PIECE.findall(template)
    text, rest = _alternatives(pieces, 0, rng, depth=0)
    if rest != len(pieces):
        raise TemplateError(f"unbalanced brackets in {template!r}")
    return text


def _alternatives(pieces: list[str], at: int, rng: random.Random, depth: int) -> tuple[str, int]:
    options, text = [], ""
    while at < len(pieces):
        piece = pieces[at]
        if piece == "[":
            inner, at = _alternatives(pieces, at + 1, rng, depth + 1)
            text += inner
        elif piece == "|" and depth:
            options.append(text)
            text, at = "", at + 1
        elif piece == "]" and depth:
            return rng.choice([*options, text]), at + 1
        elif piece in "[]|":
            raise TemplateError(f"stray {piece!r}")
        else:
            text, at = text + piece, at + 1
    if depth:
        raise TemplateError("a '[' is never closed")
    return text, at


def render(template: str, scene: Scene, rng: random.Random, page: Page) -> None:
    """Write one template onto the page. Raises `TemplateError` for an unknown slot."""
    named_here: set[str] = set()
    for piece in PIECE.findall(expand(template, rng)):
        if piece.startswith("{"):
            _slot(piece[1:-1], scene, rng, page, named_here)
        else:
            page.write(piece)


def _slot(slot: str, scene: Scene, rng: random.Random, page: Page, named: set[str]) -> None:
    if slot.startswith("a:"):
        inner = Page()
        _slot(slot[2:], scene, rng, inner, named)
        page.write("an " if inner.text.lower().startswith(VOWEL_SOUNDS) else "a ")
        base = len(page.text)
        page.text += inner.text
        page.marks += [Mark(m.start + base, m.end + base, m.kind, m.value) for m in inner.marks]
    elif slot.startswith("!"):
        if slot[1:] not in lexicon.EVENTS:
            raise TemplateError(f"unknown event {slot!r}")
        page.write("", "event", slot[1:])
    elif slot.startswith("~"):
        if slot[1:] not in lexicon.MOODS:
            raise TemplateError(f"unknown mood {slot!r}")
        page.write(rng.choice(lexicon.MOODS[slot[1:]]), "mood", slot[1:])
    elif slot == "#":
        page.write("", "theme", scene.theme)
    elif slot in ("user", "assistant"):
        page.write(("<|end|>" if page.text else "") + f"<|{slot}|>", "turn", slot)
    else:
        _value(slot, scene, rng, page, named)


def _value(slot: str, scene: Scene, rng: random.Random, page: Page, named: set[str]) -> None:
    key, _, form = slot.partition(".")
    if key in scene.characters:
        _character(key, form, scene, rng, page, named)
    elif key in scene.things:
        thing = scene.things[key]
        text, kind = (thing.adj, "adj") if form == "adj" else (thing.noun, "object")
        page.write(text, kind)
    elif key in scene.places:
        place = scene.places[key]
        page.write({"": "", "at": f"{place.preposition} the ", "to": "to the "}[form])
        page.write(place.noun, "place")
    elif key == "F":
        page.write(scene.food, "food")
    elif key == "K":
        page.write(
            {"": scene.skill.base, "ing": scene.skill.ing, "past": scene.skill.past}[form], "skill", scene.skill.ing
        )
    elif key == "W":
        page.write(scene.weather, "weather")
    else:
        raise TemplateError(f"unknown slot {{{slot}}}")


def _character(key: str, form: str, scene: Scene, rng: random.Random, page: Page, named: set[str]) -> None:
    who = scene.characters[key]
    if form == "":
        named.add(key)
        page.write(who.name, "name")
    elif form in ("kind", "trait"):
        page.write(getattr(who, form), form, f"{who.name}|{getattr(who, form)}")
    elif form.lower() in lexicon.PRONOUNS[who.gender]:
        by_name = form.lower() != "self" and key not in named and rng.random() < scene.name_rate
        if by_name:
            named.add(key)
            page.write(who.name, "name")
            page.write("'s" if form.lower() == "his" else "")
            return
        pronoun = lexicon.PRONOUNS[who.gender][form.lower()]
        page.write(pronoun.capitalize() if form[0].isupper() else pronoun, "pronoun", who.name)
    else:
        raise TemplateError(f"unknown form {{{key}.{form}}}")
