"""A reverse proxy as labs have them: it strips a path prefix, and cuts connections whatever they are doing."""

import asyncio
import threading
from contextlib import suppress

END_OF_HEAD = b"\r\n\r\n"


class CuttingProxy:
    """Serves `http://127.0.0.1:{port}{prefix}/` from a server on loopback."""

    def __init__(self, target_port: int, prefix: str) -> None:
        self.target_port = target_port
        self.prefix = prefix.encode()
        self.port = 0
        self._open: set[asyncio.Task] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "CuttingProxy":
        self._thread.start()
        self._server = self._call(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> int:
        """End every open connection in the middle, as a proxy does at its time limit; how many there were."""
        return self._call(self._cut())

    async def _cut(self) -> int:
        open_now = list(self._open)
        for task in open_now:
            task.cancel()
        await asyncio.gather(*open_now, return_exceptions=True)
        return len(open_now)

    def _call(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    async def _end(self) -> None:
        self._server.close()
        await self._cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._open.add(task)
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = await reader.readuntil(END_OF_HEAD)
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target_port)
            upstream.write(self._stripped(head))
            try:
                await self._relay(reader, upstream, upstream_reader, writer)
            finally:
                upstream.close()
        writer.close()
        self._open.discard(task)

    async def _relay(self, reader, upstream, upstream_reader, writer) -> None:
        """Both ways until the server has said everything."""
        asking = asyncio.create_task(_pour(reader, upstream))
        try:
            await _pour(upstream_reader, writer)
        finally:
            asking.cancel()

    def _stripped(self, head: bytes) -> bytes:
        """The request as the server sees it: without the prefix, one request to a connection."""
        first, *lines = head.removesuffix(END_OF_HEAD).split(b"\r\n")
        method, path, version = first.split(b" ")
        upgrade = any(line.lower().startswith(b"upgrade:") for line in lines)
        if not upgrade:
            lines = [line for line in lines if not line.lower().startswith(b"connection:")] + [b"Connection: close"]
        return (
            b"\r\n".join([b" ".join([method, path.removeprefix(self.prefix) or b"/", version]), *lines]) + END_OF_HEAD
        )


async def _pour(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while piece := await source.read(65_536):
            sink.write(piece)
            await sink.drain()
