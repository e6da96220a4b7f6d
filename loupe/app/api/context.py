"""What every route may ask for: the workspace, whether paths are allowed, who asks, and which page of a list."""

from typing import Annotated

from fastapi import Depends, Query
from starlette.requests import HTTPConnection

from loupe.app.api.listing import Listing, Wanted
from loupe.app.errors import NotReady
from loupe.app.security.guard import OPERATOR, PERSON
from loupe.app.workspace import Workspace


def workspace(request: HTTPConnection) -> Workspace:
    """The open workspace. Raises NotReady while the server starts or stops."""
    found = request.app.state.workspace
    if found is None:
        raise NotReady("The server is starting or stopping. Try again in a moment.")
    return found


def paths_allowed(request: HTTPConnection) -> bool:
    """Whether the caller may name folders by path."""
    return bool(request.app.state.paths_allowed or request.scope.get(OPERATOR))


def author(request: HTTPConnection) -> str:
    """The name the caller signed in under; empty when nobody has to sign in."""
    return str(request.scope.get(PERSON, ""))


Here = Annotated[Workspace, Depends(workspace)]
PathsAllowed = Annotated[bool, Depends(paths_allowed)]
Author = Annotated[str, Depends(author)]
Confirm = Annotated[bool, Query(description="Meant, although it is another person's work.")]

__all__ = ["Author", "Confirm", "Here", "Listing", "PathsAllowed", "Wanted"]
