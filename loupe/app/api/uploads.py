"""Uploads: files of up to 10 GB sent in pieces, each with its place and checksum, to go on with after any break."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from loupe.app.api.context import Author, Confirm, Here, Wanted
from loupe.app.api.envelope import Page, Reply
from loupe.app.api.listing import page_from
from loupe.app.services.uploads import upload_json
from loupe.storage.uploads import CHECKSUM

router = APIRouter(prefix="/uploads", tags=["uploads"])
LARGEST = 1 << 50


class NewUpload(BaseModel):
    """A file that is going to be sent."""

    model_config = ConfigDict(extra="forbid")

    file: str = Field(min_length=1, max_length=300, description="Its name; the ending tells what it is.")
    size: int = Field(ge=1, le=LARGEST, description="Its size in bytes.")
    fingerprint: str = Field(
        default="", max_length=200, description="How you know the file again: with the same one an upload goes on."
    )


@router.post("", status_code=201)
async def begin(asked: NewUpload, here: Here, author: Author) -> Reply[dict[str, Any]]:
    """Announce a file. The answer says how much of it is here already, and how large a piece may be.

    Refused with numbers when it is too large, when the disk has no room, or when your uploads take too much together.
    """
    record = await here.uploads.begin(asked.file, asked.size, author=author, fingerprint=asked.fingerprint)
    return Reply(data=upload_json(record) | {"largest_piece": here.uploads.largest_piece})


@router.get("")
async def list_uploads(here: Here, wanted: Wanted) -> Page[dict[str, Any]]:
    """Uploads that nothing was made of yet, the latest first."""
    rows = [upload_json(each) for each in await here.uploads.records()]
    return page_from(rows, wanted, sortable=("file", "size", "created_at", "touched_at", "author"))


@router.get("/{id}")
async def read(id: str, here: Here) -> Reply[dict[str, Any]]:
    """How much has arrived: where to go on after a break."""
    return Reply(data=upload_json(await here.uploads.get(id)))


@router.put("/{id}")
async def append(
    id: str,
    here: Here,
    author: Author,
    request: Request,
    offset: Annotated[int, Query(ge=0, le=LARGEST, description="Where the piece begins: what has arrived so far.")],
    checksum: Annotated[
        str, Query(pattern=f"^{CHECKSUM}$", description="`sha256:` or `crc32:` of the piece, in hexadecimal digits.")
    ],
) -> Reply[dict[str, Any]]:
    """Send the next piece as the body. It counts as a whole or not at all; `wrong_offset` tells where to go on."""
    return Reply(data=upload_json(await here.uploads.append(id, offset, checksum, request.stream(), by=author)))


@router.delete("/{id}")
async def delete(id: str, here: Here, author: Author, confirm: Confirm = False) -> Reply[dict[str, Any]]:
    """Forget an upload and its bytes; another person's asks first."""
    gone = await here.uploads.remove(id, by=author, confirm=confirm)
    return Reply(data=upload_json(gone) | {"state": "deleted"})
