"""A plot: the stages of a kind of document, each with alternative templates in the language of `grammar`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plot:
    """What can be written, stage by stage; one alternative of every stage is chosen.

    genre:   story, mini, letter, diary, chat, facts, recipe
    theme:   what it is about, as an explanation names it once the text has revealed it (`{#}`)
    stages:  each a tuple of alternatives; an empty string among them makes a stage optional
    weight:  how often this plot is drawn, relative to the others of its genre
    """

    name: str
    genre: str
    theme: str
    stages: tuple[tuple[str, ...], ...]
    weight: float = 1.0
