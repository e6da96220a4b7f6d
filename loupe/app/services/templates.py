"""Templates: recipes of trainings by name, to begin from. Those that ship cannot be changed; favourites come first.

A template is an entry of the library table; being a favourite is one of its own, so that what ships can be one.
"""

from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from loupe.app.errors import Conflict, NotFound
from loupe.app.services.recipes import BUILT_IN
from loupe.app.services.training_request import Recipe
from loupe.storage.paths import new_id
from loupe.storage.repos.library import Library, LibraryEntry

TEMPLATE, FAVOURITE = "template", "favourite-template"
ANY_WIDTH, ANY_DEPTH = 1024, 100_000  # a template is checked without a model


class NewTemplate(BaseModel):
    """A template to be kept; also the file that one is exported to and imported from."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", max_length=200, description="What it is called; unset names it by its SAEs.")
    about: str = Field(default="", max_length=1000, description="What it is for.")
    recipe: Recipe = Field(description="SAEs and options, without model and token rows.")


@dataclass(frozen=True, slots=True)
class Template:
    """A recipe with its name. `is_built_in` ones ship, have no author and no date."""

    id: str
    name: str
    about: str
    recipe: Recipe
    is_favourite: bool = False
    is_built_in: bool = False
    author: str = ""
    changed_at: datetime | None = None


class Templates:
    """The templates of this data directory, and those that ship."""

    def __init__(self, library: Library) -> None:
        self.rows = library

    async def list(self) -> list[Template]:
        """All of them: favourites, then people's own by name, then those that ship."""
        liked = {entry.id for entry in await self.rows.list(FAVOURITE)}
        own = sorted(map(_template, await self.rows.list(TEMPLATE)), key=lambda each: each.name.casefold())
        every = [replace(each, is_favourite=each.id in liked) for each in (*own, *_built_in())]
        return sorted(every, key=lambda each: not each.is_favourite)

    async def get(self, id: str) -> Template:
        """One of them. Raises NotFound."""
        found = next((each for each in await self.list() if each.id == id), None)
        if found is None:
            raise NotFound(f"There is no template {id!r}.")
        return found

    async def add(self, new: NewTemplate, *, author: str = "") -> Template:
        """Keep a recipe. Raises BadOption for one that no model could be trained by."""
        new.recipe.plan(ANY_WIDTH, ANY_DEPTH)
        id = new_id()
        await self._put(id, new.name.strip() or new.recipe.summary, new.about, new.recipe, author)
        return await self.get(id)

    async def change(self, id: str, *, name: str | None = None, about: str | None = None) -> Template:
        """Another name or description. Raises NotFound, Conflict for one that ships."""
        old = await self._own(id)
        await self._put(id, (name or "").strip() or old.name, old.about if about is None else about, old.recipe, "")
        return await self.get(id)

    async def favour(self, id: str, *, is_favourite: bool) -> Template:
        """Let it come first, for everyone here, or not. Raises NotFound."""
        found = await self.get(id)
        if found.is_favourite is not is_favourite:
            await (self.rows.put(FAVOURITE, id, {}) if is_favourite else self.rows.delete(FAVOURITE, id))
        return await self.get(id)

    async def delete(self, id: str) -> Template:
        """Put it into the bin. Raises NotFound, Conflict for one that ships."""
        found = await self._own(id)
        await self.rows.delete(TEMPLATE, id)
        return found

    async def restore(self, id: str) -> Template:
        """Take it out of the bin. Raises NotFound."""
        await self.rows.restore(TEMPLATE, id)
        return await self.get(id)

    async def _own(self, id: str) -> Template:
        found = await self.get(id)
        if found.is_built_in:
            raise Conflict(f"{found.name} ships with Loupe and cannot be changed. Save it under another name.")
        return found

    async def _put(self, id: str, name: str, about: str, recipe: Recipe, author: str) -> None:
        body = {"about": about, "recipe": recipe.model_dump(mode="json")}
        await self.rows.put(TEMPLATE, id, body, name=name, author=author)


def template_json(template: Template) -> dict[str, Any]:
    """A template for programs; absent values are left out."""
    told = asdict(template) | {
        "recipe": template.recipe.model_dump(mode="json"),
        "summary": template.recipe.summary,
        "changed_at": template.changed_at.isoformat() if template.changed_at else None,
        "author": template.author or None,
    }
    return {name: value for name, value in told.items() if value is not None}


def file_of(template: Template) -> NewTemplate:
    """What is exported, and can be imported elsewhere."""
    return NewTemplate(name=template.name, about=template.about, recipe=template.recipe)


def _template(entry: LibraryEntry) -> Template:
    body = entry.body
    recipe = Recipe.model_validate(body["recipe"])
    return Template(entry.id, entry.name, body["about"], recipe, author=entry.author, changed_at=entry.changed_at)


def _built_in() -> list[Template]:
    return [Template(each.id, each.name, each.about, each.recipe, is_built_in=True) for each in BUILT_IN]
