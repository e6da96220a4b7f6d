"""Model folders: one record each, the last used first."""

import pytest

from loupe.storage.errors import NotFound
from loupe.storage.repos.models import NewModel


async def test_a_folder_is_remembered_once_and_brought_up_to_date(store):
    first = await store.models.remember(NewModel(kind="model", name="tiny", path="/m", size=5, details={"d_model": 32}))
    again = await store.models.remember(NewModel(kind="model", name="tiny", path="/m", size=6, fingerprint="f" * 64))
    assert again.id == first.id
    assert (again.size, again.fingerprint, again.details) == (6, "f" * 64, {})
    assert (first.created_at, first.details) == (again.created_at, {"d_model": 32})
    assert await store.models.get(first.id) == again


async def test_models_are_listed_by_last_use_and_kind(store):
    for path, kind in [("/a", "model"), ("/b", "verbalizer"), ("/c", "model")]:
        await store.models.remember(NewModel(kind=kind, name=path, path=path))
    await store.models.remember(NewModel(kind="model", name="/a", path="/a"))
    assert [model.path for model in await store.models.list()] == ["/a", "/c", "/b"]
    assert [model.path for model in await store.models.list("verbalizer")] == ["/b"]


async def test_a_forgotten_model_is_not_found(store):
    model = await store.models.remember(NewModel(kind="model", name="m", path="/m"))
    await store.models.forget(model.id)
    for attempt in (store.models.get(model.id), store.models.forget(model.id)):
        with pytest.raises(NotFound, match="no model"):
            await attempt
