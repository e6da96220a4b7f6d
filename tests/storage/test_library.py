"""Entries of the library: one of a kind and id, gone and back again, purged when their time is over."""

from datetime import UTC, datetime, timedelta

import pytest

from loupe.storage.database import Database
from loupe.storage.errors import NotFound
from loupe.storage.repos.library import Library


@pytest.fixture
def clock() -> list[datetime]:
    return [datetime(2026, 1, 1, tzinfo=UTC)]


@pytest.fixture
def library(database: Database, clock: list[datetime]) -> Library:
    return Library(database, lambda: clock[0])


async def test_an_entry_is_replaced_by_the_next_of_its_kind_and_id(library: Library) -> None:
    await library.put("pair", "a", {"layer": 1}, name="First", author="Ada")
    again = await library.put("pair", "a", {"layer": 2}, name="Second", author="Bo")
    other = await library.put("group", "a", {"base": "x"})
    assert await library.list("pair") == (again,)
    assert (again.body, again.name, again.author, other.name) == ({"layer": 2}, "Second", "Ada", "a")


async def test_what_was_deleted_can_be_restored_once(library: Library) -> None:
    await library.put("pair", "a", {})
    await library.delete("pair", "a")
    assert await library.find("pair", "a") is None and await library.list("pair") == ()
    assert [entry.id for entry in await library.list("pair", deleted=True)] == ["a"]
    await library.restore("pair", "a")
    assert await library.find("pair", "a") is not None
    with pytest.raises(NotFound):
        await library.restore("pair", "a")
    with pytest.raises(NotFound):
        await library.delete("pair", "b")


async def test_the_bin_is_emptied_of_what_lies_in_it_too_long(library: Library, clock: list[datetime]) -> None:
    await library.put("pair", "old", {})
    await library.put("pair", "new", {})
    await library.delete("pair", "old")
    clock[0] += timedelta(days=8)
    await library.delete("pair", "new")
    assert await library.purge(timedelta(days=7)) == 1
    assert [entry.id for entry in await library.list("pair", deleted=True)] == ["new"]
