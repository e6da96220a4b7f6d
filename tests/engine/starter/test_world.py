"""The story world: deterministic documents whose marks never tell more than the text has said."""

import random

import pytest

from loupe.engine.starter.world import lexicon
from loupe.engine.starter.world.grammar import Page, TemplateError, expand, render
from loupe.engine.starter.world.plot import Plot
from loupe.engine.starter.world.story import PLOTS, draw_scene, knowledge_along, knowledge_at, write_document

NAMES = {*lexicon.WOMEN, *lexicon.MEN}


def write(template: str, seed: int = 0) -> tuple[Page, object]:
    rng = random.Random(seed)
    scene, page = draw_scene(rng, PLOTS[0]), Page()
    render(template, scene, rng, page)
    return page, scene


def test_a_seed_writes_the_same_document_every_time():
    assert write_document(7) == write_document(7)
    assert write_document(7) != write_document(8)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_every_plot_renders_every_stage(plot: Plot):
    for seed in range(6):
        document = write_document(seed, plot=plot)
        assert not set("{}[]") & set(document.text)
        assert "  " not in document.text
        assert any(mark.kind == "event" for mark in document.marks)


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.name)
def test_every_alternative_of_every_stage_is_valid(plot: Plot):
    rng = random.Random(0)
    scene = draw_scene(rng, plot)
    for stage in plot.stages:
        for template in stage:
            for _ in range(4):
                render(template, scene, rng, Page())


def test_every_name_follows_a_space_so_that_it_is_one_token():
    for seed in range(200):
        document = write_document(seed)
        for mark in document.marks:
            if mark.kind == "name" and mark.start:
                assert document.text[mark.start - 1] == " ", document.text[max(0, mark.start - 20) : mark.end]


def test_knowledge_is_a_fold_over_the_text_so_far_and_nothing_else():
    document = write_document(3, genre="story")
    ends = list(range(1, len(document.text), 5))
    for end, known in zip(ends, knowledge_along(document, ends), strict=True):
        alone = knowledge_at(document, end)
        assert (known.who, known.event, known.thing, known.sentence) == (
            alone.who, alone.event, alone.thing, alone.sentence,
        )  # fmt: skip
        assert all(name in document.text[:end] for name in known.cast)
        for value in (known.thing, known.place, known.food):
            assert value is None or value in document.text[:end]


def test_a_pronoun_tells_who_only_after_the_name():
    page, _ = write("{A.He} waited. {A} waited. {A.He} slept.")
    assert page.text
    known = knowledge_at(_document(page), 2)
    assert known.who is None or known.who in page.text[:2]


def test_an_event_is_unknown_before_the_word_that_gives_it_away():
    page, _ = write("One day {A} lost{!loses} the {O}.")
    document = _document(page)
    before = page.text.index(" lost")
    assert knowledge_at(document, before).event is None
    assert knowledge_at(document, before + len(" lost")).event == "loses"


def test_the_article_agrees_with_the_sound():
    from loupe.engine.starter.world.grammar import Character

    page = Page()
    scene = draw_scene(random.Random(0), PLOTS[0])
    for trait, article in (("honest", "an"), ("old", "an"), ("shy", "a")):
        scene.characters["A"] = Character("Mia", "f", "fox", trait)
        page = Page()
        render("{a:A.trait} {A.kind}", scene, random.Random(0), page)
        assert page.text == f"{article} {trait} fox"


@pytest.mark.parametrize("template", ["[a|b", "a]", "a|b", "{Z}", "{A.nose}", "{!flies}", "{~smug}"])
def test_a_malformed_template_is_refused(template: str):
    with pytest.raises(TemplateError):
        write(template)


def test_choices_nest():
    seen = {expand("[a|[b|c]]d", random.Random(seed)) for seed in range(40)}
    assert seen == {"ad", "bd", "cd"}


def test_a_mood_word_belongs_to_one_mood():
    words = [word for mood in lexicon.MOODS.values() for word in mood]
    assert len(words) == len(set(words))


def _document(page: Page):
    from loupe.engine.starter.world.story import Document

    return Document(page.text, tuple(page.marks), "test", "story", "a test")
