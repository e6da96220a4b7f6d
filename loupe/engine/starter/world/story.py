"""Documents of the story world: a plot, a scene drawn from a seed, and what the reader knows after every character.

A document is a pure function of its seed. `knowledge_at(document, end)` folds the marks up to a character and is the
only source of ground truth: explanations, feature labels and probes all read it.
"""

from __future__ import annotations

import argparse
import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from loupe.engine.starter.world import lexicon, plots_home, plots_out, plots_short
from loupe.engine.starter.world.grammar import Character, Mark, Page, Place, Scene, Skill, Thing, render
from loupe.engine.starter.world.plot import Plot

PLOTS: tuple[Plot, ...] = plots_out.PLOTS + plots_home.PLOTS + plots_short.PLOTS
NAME_RATES = (0.0, 0.35, 0.7, 1.0)
SENTENCE_START = re.compile(r'(?:[.!?]"?\s+|<\|\w+\|>\s*)')

# Shares of the corpus by genre; stories in full, and many short name-dense texts that teach to carry a name.
MIXTURE = {"story": 0.40, "mini": 0.36, "chat": 0.11, "letter": 0.05, "diary": 0.02, "facts": 0.03, "recipe": 0.03}


@dataclass(frozen=True, slots=True)
class Document:
    """One text with all a reader learns from it, in order; `stage` marks say where the plot chose what comes next."""

    text: str
    marks: tuple[Mark, ...]
    plot: str
    genre: str
    theme: str


@dataclass(slots=True)
class Knowledge:
    """What a reader knows at one place of a document; `None` or empty where the text has not said it yet."""

    genre: str | None = None
    theme: str | None = None
    who: str | None = None
    cast: list[str] = field(default_factory=list)  # everyone named so far, the latest last
    described: dict[str, dict[str, str]] = field(default_factory=dict)
    thing: str | None = None
    thing_adj: str | None = None
    place: str | None = None
    food: str | None = None
    skill: str | None = None
    weather: str | None = None
    mood: str | None = None
    event: str | None = None
    event_at: int = 0
    sentence: int = 0

    @property
    def event_here(self) -> bool:
        """Whether the event belongs to the sentence being read."""
        return self.event is not None and self.event_at > self.sentence

    @property
    def other(self) -> str | None:
        """The latest named character who is not `who`."""
        return next((name for name in reversed(self.cast) if name != self.who), None)


def write_document(seed: int, *, genre: str | None = None, plot: Plot | None = None) -> Document:
    """The document of a seed. `genre` or `plot` narrow the choice."""
    rng = random.Random(seed)  # noqa: S311 - stories, not secrets
    plot = plot or draw_plot(rng, genre)
    scene, page = draw_scene(rng, plot), Page()
    for stage in plot.stages:
        template = rng.choice(stage)
        if template:
            if page.text and not page.text.endswith("\n") and not template.startswith(("{user}", "{assistant}", "\n")):
                page.write(" ")
            page.write("", "stage", "")
            render(template, scene, rng, page)
    if any(mark.kind == "turn" for mark in page.marks):
        page.write("<|end|>")
    return Document(page.text, tuple(page.marks), plot.name, plot.genre, plot.theme)


def draw_plot(rng: random.Random, genre: str | None = None) -> Plot:
    genre = genre or rng.choices(list(MIXTURE), list(MIXTURE.values()))[0]
    plots = [plot for plot in PLOTS if plot.genre == genre]
    return rng.choices(plots, [plot.weight for plot in plots])[0]


def draw_scene(rng: random.Random, plot: Plot) -> Scene:
    traits, kinds = rng.sample(lexicon.TRAITS, 3), rng.sample(lexicon.KINDS, 3)
    characters: dict[str, Character] = {}
    for key, trait, kind in zip("ABC", traits, kinds, strict=True):
        taken = {who.name for who in characters.values()}
        gender = rng.choice("fm")
        names = [name for name in (lexicon.WOMEN if gender == "f" else lexicon.MEN) if name not in taken]
        characters[key] = Character(rng.choice(names), gender, kind, trait)
    nouns, adjectives = rng.sample(lexicon.OBJECTS, 2), rng.sample(lexicon.OBJECT_ADJECTIVES, 2)
    places = rng.sample(lexicon.PLACES, 2)
    return Scene(
        characters=characters,
        things={key: Thing(noun, adj) for key, noun, adj in zip("OX", nouns, adjectives, strict=True)},
        places={key: Place(*place) for key, place in zip("PQ", places, strict=True)},
        food=rng.choice(lexicon.FOODS),
        skill=Skill(*rng.choice(lexicon.SKILLS)),
        weather=rng.choice(lexicon.WEATHER),
        theme=plot.theme,
        name_rate=rng.choice(NAME_RATES),
    )


def knowledge_at(document: Document, end: int) -> Knowledge:
    """What the first `end` characters of the document have told."""
    return next(knowledge_along(document, [end]))


def knowledge_along(document: Document, ends: Iterable[int]) -> Iterator[Knowledge]:
    """What is known at each of the ascending `ends`; one object, updated in place between yields."""
    known, adjective, at = Knowledge(), None, 0
    starts = [match.end() for match in SENTENCE_START.finditer(document.text)]
    for end in ends:
        while at < len(document.marks) and document.marks[at].end <= end:
            mark = document.marks[at]
            _learn(known, mark, document, adjective)
            adjective, at = mark if mark.kind == "adj" else adjective, at + 1
        while starts and starts[0] < end:
            known.sentence = starts.pop(0)
        yield known


def _learn(known: Knowledge, mark: Mark, document: Document, adjective: Mark | None) -> None:
    if mark.kind == "name":
        known.who = mark.value
        known.cast = [name for name in known.cast if name != mark.value] + [mark.value]
    elif mark.kind == "pronoun":  # a pronoun tells who only once the name has been read
        known.who = mark.value if mark.value in known.cast else known.who
    elif mark.kind in ("kind", "trait"):  # kept under the name, shown only when that name is in the cast
        name, value = mark.value.split("|")
        known.described.setdefault(name, {})[mark.kind] = value
    elif mark.kind == "object":
        described = adjective is not None and adjective.end + 1 == mark.start
        known.thing, known.thing_adj = mark.value, adjective.value if described and adjective else None
    elif mark.kind == "event":
        known.event, known.event_at = mark.value, mark.end
        known.genre = document.genre
    elif mark.kind == "turn":
        known.genre = "chat"
    elif mark.kind in ("place", "food", "skill", "weather", "mood", "theme"):
        setattr(known, mark.kind, mark.value)


def main() -> None:
    parser = argparse.ArgumentParser(description="Print documents of the story world.")
    parser.add_argument("--show", metavar="PLOT", default=None)
    parser.add_argument("--genre", default=None)
    parser.add_argument("-n", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    plots = {plot.name: plot for plot in PLOTS}
    for index in range(options.n):
        document = write_document(options.seed + index, genre=options.genre, plot=plots.get(options.show))
        print(f"[{document.genre}/{document.plot}] {document.text}\n")


if __name__ == "__main__":
    main()
