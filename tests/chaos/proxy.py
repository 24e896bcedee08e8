"""A TCP proxy that can refuse connections, and cut them in the middle of what they carry."""

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Iterator

_CHUNK_BYTES = 1 << 16


class Proxy:
    """Passes connections to 127.0.0.1:`target` on.

    `cut(n)` ends the next connections that transfer data in one direction after n bytes.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._refuses = False
        self._cuts: list[tuple[str, int]] = []
        self.cuts_made = 0
        self._closed = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while not self._closed:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refuses:
                _reset(client)
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target), timeout=5)
                server.settimeout(None)
            except OSError:
                _reset(client)
                continue
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._pass, args=(client, server), daemon=True).start()

    def _pass(self, client: socket.socket, server: socket.socket) -> None:
        """Pass data on until one side ends or the connection is cut."""
        other = {client: (server, "up"), server: (client, "down")}
        with contextlib.suppress(OSError, ValueError), selectors.DefaultSelector() as selector:
            for one in other:
                selector.register(one, selectors.EVENT_READ)
            while True:
                for key, _ in selector.select(1.0):
                    source = key.fileobj
                    assert isinstance(source, socket.socket)
                    sink, direction = other[source]
                    data = source.recv(_CHUNK_BYTES)
                    if not data:
                        raise OSError("the end")
                    left = self._allowed(direction, len(data))
                    if left is not None:
                        sink.sendall(data[:left])
                        raise OSError("cut")
                    sink.sendall(data)
        with self._lock:
            self._open -= {client, server}
        _reset(client)
        _reset(server)

    def _allowed(self, direction: str, size: int) -> int | None:
        """How many of these bytes may pass before the connection is cut; None: all."""
        with self._lock:
            for place, (wanted, left) in enumerate(self._cuts):
                if wanted != direction:
                    continue
                if size > left:
                    del self._cuts[place]
                    self.cuts_made += 1
                    return left
                self._cuts[place] = (wanted, left - size)
                return None
        return None

    def cut(self, direction: str, after: int) -> None:
        """Cut a connection once `after` more bytes have passed ("up": to the target, "down")."""
        with self._lock:
            self._cuts.append((direction, after))

    def forget_cuts(self) -> None:
        """Do not cut what has not been cut."""
        with self._lock:
            self._cuts.clear()

    @contextlib.contextmanager
    def refusing(self) -> Iterator[None]:
        """End all connections and refuse new ones for the duration of a `with`."""
        self._refuses = True
        self.end_connections()
        try:
            yield
        finally:
            self._refuses = False

    def end_connections(self) -> None:
        """End all connections."""
        with self._lock:
            found = list(self._open)
        for one in found:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Stop listening, and end all connections."""
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.end_connections()


def _reset(one: socket.socket) -> None:
    """Close a connection as if its host had died: the other side sees a reset."""
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()
