"""A relay between workers and a manager that counts bytes, and can be as slow as a wide network."""

import asyncio
import threading
from types import TracebackType

_CHUNK_BYTES = 64 * 1024
_BITS_PER_MEGABIT = 1e6


class Relay:
    """Passes connections to `port` of 127.0.0.1 on, from another port, within a `with` block.

    Toward the manager, it passes at most `megabits` per second, over all connections together.
    Counted is what the connections carry, without the headers of TCP and IP.
    """

    def __init__(self, port: int, megabits: float) -> None:
        self._manager_port = port
        self._bits_per_second = megabits * _BITS_PER_MEGABIT
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self.port = 0  # that workers connect to
        self.to_manager = 0  # bytes
        self.from_manager = 0  # bytes

    def __enter__(self) -> "Relay":
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        self.port = started.result()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> int:
        self._link = asyncio.Lock()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _stop(self) -> None:
        self._server.close()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            manager = await asyncio.open_connection("127.0.0.1", self._manager_port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(
            self._pass(reader, manager[1], upward=True),
            self._pass(manager[0], writer, upward=False),
        )

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, upward: bool
    ) -> None:
        try:
            while content := await reader.read(_CHUNK_BYTES):
                if upward:
                    self.to_manager += len(content)
                    async with self._link:
                        await asyncio.sleep(8 * len(content) / self._bits_per_second)
                else:
                    self.from_manager += len(content)
                writer.write(content)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
