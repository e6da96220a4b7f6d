"""Templates: recipes of trainings, to begin from."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field

from loupe.app.api.context import Author, Here, Wanted
from loupe.app.api.envelope import Page, Reply
from loupe.app.api.listing import page_from
from loupe.app.plain import download_name
from loupe.app.services.templates import TEMPLATE, NewTemplate, file_of, template_json

router = APIRouter(prefix="/templates", tags=["templates"])


class TemplateChange(BaseModel):
    """What may be changed about a template."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(default=None, max_length=200, description="Another name.")
    about: str | None = Field(default=None, max_length=1000, description="Another description.")
    favourite: bool | None = Field(default=None, description="Whether it comes first, for everyone here.")


@router.get("")
async def list_templates(
    here: Here, wanted: Wanted, deleted: Annotated[bool, Query(description="Those in the bin.")] = False
) -> Page[dict[str, Any]]:
    """Favourites first, then people's own, then those that ship."""
    if deleted:
        gone = await here.store.library.list(TEMPLATE, deleted=True)
        rows = [{"id": e.id, "name": e.name, "deleted_at": e.deleted_at} for e in gone]
        return page_from(rows, wanted, sortable=("name", "deleted_at"))
    rows = [template_json(each) for each in await here.templates.list()]
    return page_from(rows, wanted, sortable=("name", "summary", "author", "changed_at"))


@router.post("", status_code=201)
async def add(new: NewTemplate, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Keep a recipe under a name; also how an exported one is imported."""
    return Reply(data=template_json(await here.templates.add(new, author=author)))


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """One template with its whole recipe."""
    return Reply(data=template_json(await here.templates.get(id)))


@router.get("/{id}/export", response_class=Response)
async def export(id: str, here: Here) -> Response:
    """The template as a file: what `POST /templates` takes."""
    found = await here.templates.get(id)
    headers = {"Content-Disposition": f'attachment; filename="{download_name(found.name)}.json"'}
    body = file_of(found).model_dump_json(indent=1)
    return Response(body, media_type="application/json", headers=headers)


@router.patch("/{id}")
async def change(id: str, wanted: TemplateChange, here: Here) -> Reply[dict[str, Any]]:
    """Another name or description, or whether it is a favourite."""
    found = await here.templates.get(id)
    if wanted.name is not None or wanted.about is not None:
        found = await here.templates.change(id, name=wanted.name, about=wanted.about)
    if wanted.favourite is not None:
        found = await here.templates.favour(id, is_favourite=wanted.favourite)
    return Reply(data=template_json(found))


@router.delete("/{id}")
async def delete(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Put it into the bin."""
    return Reply(data=template_json(await here.templates.delete(id)))


@router.post("/{id}/restore")
async def restore(id: str, here: Here) -> Reply[dict[str, Any]]:
    """Take it out of the bin."""
    return Reply(data=template_json(await here.templates.restore(id)))
