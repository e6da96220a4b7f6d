"""What every route may ask for: the workspace, whether paths are allowed, and which page of a list is wanted."""

from typing import Annotated, Literal

from fastapi import Depends, Query, Request
from pydantic import BaseModel

from loupe.app.errors import NotReady
from loupe.app.security.guard import OPERATOR
from loupe.app.workspace import Workspace


def workspace(request: Request) -> Workspace:
    """The open workspace. Raises NotReady while the server starts or stops."""
    found = request.app.state.workspace
    if found is None:
        raise NotReady("The server is starting or stopping. Try again in a moment.")
    return found


def paths_allowed(request: Request) -> bool:
    """Whether the caller may name folders by path."""
    return bool(request.app.state.paths_allowed or request.scope.get(OPERATOR))


class Listing(BaseModel):
    """Which page of a list."""

    page: int
    limit: int
    search: str
    sort_by: str
    order: str


def listing(
    page: Annotated[int, Query(ge=1, le=1_000_000)] = 1,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    search: Annotated[str, Query(max_length=200)] = "",
    sort_by: Annotated[str, Query(alias="sortBy", max_length=40)] = "created_at",
    order: Literal["asc", "desc"] = "desc",
) -> Listing:
    """`page, limit, search, sortBy, order`."""
    return Listing(page=page, limit=limit, search=search, sort_by=sort_by, order=order)


Here = Annotated[Workspace, Depends(workspace)]
PathsAllowed = Annotated[bool, Depends(paths_allowed)]
Wanted = Annotated[Listing, Depends(listing)]
