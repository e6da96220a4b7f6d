"""Files on their way in: whether there is room for them, whose they are, and when nobody wants them any more.

A sender says how large its file is, then sends pieces; after a break it asks how much has arrived and goes on from
there. A complete upload is named where a file is wanted, and removed by whoever has made something of it.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

from loupe.app.errors import ConfirmationNeeded, Conflict, FileTooLarge, Forbidden, UploadBusy, UploadQuota
from loupe.app.settings import Settings
from loupe.storage.errors import NotFound, StoreFull
from loupe.storage.store import Store
from loupe.storage.uploads import UploadRecord

log = logging.getLogger(__name__)

T = TypeVar("T")
SPARE_BYTES = 256 << 20  # what an upload must leave free on the disk


class Uploads:
    """The uploads of this data directory."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self.settings = settings
        self.files = store.uploads
        self._writing: set[str] = set()
        self._beginning = asyncio.Lock()

    async def open(self) -> None:
        """Clear away what a dead process left."""
        await asyncio.to_thread(self.files.sweep)

    @property
    def largest_piece(self) -> int:
        """Bytes that a piece may have."""
        return int(self.settings.upload_piece_mb * 2**20)

    async def begin(self, file: str, size: int, *, author: str = "", fingerprint: str = "") -> UploadRecord:
        """Accept a file of `size` bytes; the unfinished one, where the same sender began with it before.

        Raises FileTooLarge, UploadQuota, StoreFull, each with the numbers, before a byte was sent.
        """
        async with self._beginning:
            known = await asyncio.to_thread(self.files.records)
            wanted = (file, size, author, fingerprint)
            for each in known if fingerprint else ():
                if (each.file, each.size, each.author, each.fingerprint) == wanted:
                    return each
            self._check_room(size, author, known)
            return await asyncio.to_thread(self.files.begin, file, size, author, fingerprint)

    async def append(
        self, id: str, offset: int, checksum: str | None, body: AsyncIterator[bytes], *, by: str = ""
    ) -> UploadRecord:
        """Take in the piece that begins at `offset`: as a whole, or not at all.

        Raises NotFound, Forbidden, UploadBusy, WrongOffset, WrongChecksum, FileTooLarge, StoreFull.
        """
        record = await self.get(id)
        if record.author != by:
            raise Forbidden(f"This is {record.author or 'another person'}'s upload.")
        if id in self._writing:
            raise UploadBusy("Another piece of this upload is being written. Try again in a moment.", retry_after_s=1)
        self._writing.add(id)
        try:
            return await self._append(id, offset, checksum, body)
        finally:
            self._writing.discard(id)

    async def _append(self, id: str, offset: int, checksum: str | None, body: AsyncIterator[bytes]) -> UploadRecord:
        with self.files.piece(id, offset, checksum) as piece:
            async for data in body:
                if piece.size + len(data) > self.largest_piece:
                    raise FileTooLarge(f"A piece may have {self.largest_piece} bytes; send smaller ones.")
                await _to_its_end(piece.write, data)
            return await _to_its_end(piece.finish)

    async def take(self, file: str, size: int, body: AsyncIterator[bytes], *, author: str = "") -> UploadRecord:
        """A whole file in one body, which goes to the disk as it comes. Raises as `begin` and `append`."""
        record = await self.begin(file, size, author=author)
        try:
            with self.files.piece(record.id, 0) as piece:
                async for data in body:
                    await _to_its_end(piece.write, data)
                arrived = await _to_its_end(piece.finish)
            if not arrived.is_complete:
                raise Conflict(f"The file was to have {size} bytes, and {arrived.received} came.")
            return arrived
        except BaseException:
            self.files.remove(record.id)  # at once, and also while the request is being cancelled
            raise

    async def get(self, id: str) -> UploadRecord:
        """An upload. Raises NotFound."""
        return await asyncio.to_thread(self.files.get, id)

    async def records(self) -> list[UploadRecord]:
        """All of them, the latest first."""
        return await asyncio.to_thread(self.files.records)

    async def path(self, id: str) -> Path:
        """Where a complete upload lies; it now counts as used. Raises NotFound, Conflict where something is to come."""
        record = await self.get(id)
        if not record.is_complete:
            raise Conflict(f"{record.left} of its {record.size} bytes are still to come.")
        await asyncio.to_thread(self.files.touch, id)
        return self.files.path(record)

    async def remove(self, id: str, *, by: str = "", confirm: bool = False) -> UploadRecord:
        """Forget an upload. Raises NotFound, UploadBusy, and ConfirmationNeeded for another person's."""
        record = await self.get(id)
        if record.author != by and not confirm:
            raise ConfirmationNeeded(f"This is {record.author or 'another person'}'s upload. Confirm to delete it.")
        if id in self._writing:
            raise UploadBusy("A piece of this upload is being written. Try again in a moment.", retry_after_s=1)
        if record.author != by:
            log.warning("%s deleted an upload of %s", by or "somebody", record.author or "somebody")
        await asyncio.to_thread(self.files.remove, id)
        return record

    async def used_up(self, id: str) -> None:
        """Forget an upload of which something was made."""
        try:
            await asyncio.to_thread(self.files.remove, id)
        except NotFound:
            log.info("an upload that was used is gone already")

    # Room.

    def _check_room(self, size: int, author: str, known: list[UploadRecord]) -> None:
        largest, quota = (int(mb * 2**20) for mb in (self.settings.max_upload_mb, self.settings.upload_quota_mb))
        if size > largest:
            raise FileTooLarge(f"The file has {size} bytes; at most {largest} are accepted. See LOUPE_MAX_UPLOAD_MB.")
        held = sum(each.size for each in known if each.author == author)
        if held + size > quota:
            raise UploadQuota(
                f"Your uploads take {held} bytes; with this one there would be more than the {quota} allowed. "
                "Use or delete one of them: `loupe uploads list`."
            )
        free = self.files.free_bytes()
        needed = sum(each.left for each in known) + size + SPARE_BYTES
        if needed > free:
            raise StoreFull(
                f"The file needs {size} bytes. The disk has {free} free, of which other uploads and a margin take "
                f"{needed - size}. Free some space there and try again.",
                needed=size,
            )

    # What nobody came back to.

    async def sweep(self, now: datetime | None = None) -> int:
        """Remove what nobody touched or used for longer than the setting allows; returns how many went."""
        limit = (now or datetime.now(UTC)) - timedelta(days=self.settings.upload_days)
        old = [r for r in await self.records() if r.touched_at < limit and r.id not in self._writing]
        for record in old:
            await self.used_up(record.id)
        return len(old)


async def _to_its_end(function: Callable[..., T], *args: Any) -> T:
    """Run it in a thread, and wait for it also while being cancelled: it works on a file that is closed afterwards."""
    running = asyncio.ensure_future(asyncio.to_thread(function, *args))
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        await asyncio.wait([running])
        raise


def upload_json(record: UploadRecord) -> dict[str, Any]:
    """An upload for programs."""
    return {
        "id": record.id,
        "file": record.file,
        "size": record.size,
        "received": record.received,
        "state": "complete" if record.is_complete else "receiving",
        "author": record.author,
        "created_at": record.created_at.isoformat(),
        "touched_at": record.touched_at.isoformat(),
    }
