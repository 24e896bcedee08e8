"""Simulated workers: one process that speaks Work Queue's protocol on many connections.

    python simulated_workers.py PORT PASSWORD_FILE WORKERS MEAN_SECONDS BYTES

Protocol 11 of cctools 7.14.5: `link_auth_password` of link_auth.c, `report_worker_ready`,
`do_task`, `do_put`, `report_tasks_complete` and `stream_output_item` of work_queue_worker.c. Each
worker has one core. Instead of running a task, it waits, and answers with the outputs.tar that
runner.sh would have made, with the checksum of the inputs that it received. A job's standard output
is its file value.txt, with a text of BYTES. Waiting times are random, MEAN_SECONDS on average.

They begin when a line is read from standard input, and end when it is closed.

Prints `connected N` while workers connect, and for each result a line `returned VALUE ANNOUNCED
SENT`, with the time at which the worker announced it and that at which the archive was sent
(time.time()).
"""

import asyncio
import hashlib
import io
import math
import random
import resource
import secrets
import sys
import tarfile
import time
from pathlib import Path

_AUTHENTICATION = b"auth password sha1"
# How many workers connect at the same time: the manager's backlog (listen in link.c). The kernel
# tries others again after 1, 3, 7 and 15 seconds.
_CONNECTING_AT_ONCE = 5
_WORKERS_PER_HOST = 10
_REPORTED_EVERY = 100
_RETRY_SECONDS = 1.0


def outputs_of(inputs: bytes, host: str, seconds: float, text: bytes) -> tuple[bytes, list[str]]:
    """The outputs.tar of a task with these inputs, and the values of its jobs."""
    values, files, steps = [], {}, []
    with tarfile.open(fileobj=io.BytesIO(inputs)) as tar:
        for member in tar:
            folder, _, name = member.name.rpartition("/")
            if name == "value.txt":
                content = tar.extractfile(member).read()
                job, _, step = folder.partition(".")
                values.append(content.split()[1].decode())
                files[f"{folder}:stdout"] = content + text
                files[f"{folder}:stderr"] = b""
                steps.append(f"step {job} {step} 0 {round(100 * seconds)} 0")
    lines = ["wqmaster 1", f"host {host}", *steps]
    sums = {**files, "inputs.tar": inputs}
    lines += [f"{hashlib.sha256(content).hexdigest()}  {name}" for name, content in sums.items()]
    manifest = "".join(f"{line}\n" for line in lines).encode()
    manifest += f"end {hashlib.sha256(manifest).hexdigest()}\n".encode()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, content in {"manifest": manifest, **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue(), values


def waiting_time(*, is_first: bool) -> float:
    """How long a task takes, in units of the mean: from 0.5 to 1.5.

    Of the first task of each worker, it is what is left at a random time in its middle, so that the
    rate is even from the beginning.
    """
    if not is_first:
        return random.uniform(0.5, 1.5)  # noqa: S311
    # A random time is in a long task more often: their lengths have a density that grows with them.
    length = math.sqrt(0.25 + 2 * random.random())  # noqa: S311
    return length * random.random()  # noqa: S311


class Worker:
    """One worker, which has at most one task."""

    def __init__(self, number: int, mean: float, text: bytes, begun: asyncio.Event) -> None:
        self._begun = begun
        self._host = f"node{number // _WORKERS_PER_HOST:05d}"
        self._mean = mean
        self._text = text
        self._is_new = True
        self._inputs = b""
        self._task: tuple[int, str, float] | None = None  # id, name of the output, waiting time
        self._announced = 0.0

    async def connect(self, port: int, password: bytes) -> None:
        """Connect, and pass the mutual authentication."""
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", port)
        key = secrets.token_hex(32).encode()
        self._writer.write(_AUTHENTICATION + b"\n" + key + b"\n")
        if await self._line() != _AUTHENTICATION:
            raise ConnectionError("no authentication by password")
        challenge = await self._line()
        self._writer.write(_answer(password, challenge) + b"\n")
        if await self._line() != _answer(password, key):
            raise ConnectionError("the manager has another password")
        self._writer.write(b"ok\n")
        if await self._line() != b"ok":
            raise ConnectionError("the manager refuses the password")
        words = [f"workqueue 11 {self._host} linux x86_64 7.14.5"]
        words += [f"info worker-id worker-{secrets.token_hex(16)}", "alive"]
        totals = {"workers": 1, "disk": 10_000, "memory": 2_000, "gpus": 0, "cores": 1}
        words += [f"resource {name} {total} {total} {total}" for name, total in totals.items()]
        words += ["resource tag 0", "info end_of_resource_update 0", "info worker-end-time 0"]
        self._writer.write("".join(f"{line}\n" for line in words).encode())

    async def serve(self) -> None:
        """Answer the manager until it closes the connection."""
        try:
            while line := await self._line():
                word, _, rest = line.decode().partition(" ")
                if word == "put":
                    name, size, _ = rest.split()
                    content = await self._reader.readexactly(int(size))
                    if name.endswith("inputs.tar"):
                        self._inputs = content
                elif word == "task":
                    await self._take(int(rest))
                elif word == "send_results":
                    self._send_result()
                elif word == "get":
                    self._send_output(rest.split()[0])
                elif word == "check":
                    self._writer.write(b"alive\n")
                elif word == "kill":
                    self._task = None
                elif word in ("exit", "release"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        self._writer.close()

    async def _line(self) -> bytes:
        return (await self._reader.readline()).rstrip(b"\n")

    async def _take(self, task: int) -> None:
        """Read what a task consists of, and begin to wait."""
        output = ""
        while (line := await self._line()) != b"end":
            word, _, rest = line.decode().partition(" ")
            if word in ("cmd", "env"):
                await self._reader.readexactly(int(rest) + (word == "env"))
            elif word == "outfile":
                output = rest.split()[0]
        seconds = waiting_time(is_first=self._is_new) * self._mean
        self._is_new = False
        self._task = task, output, seconds
        self._waiting = asyncio.create_task(self._announce(task, seconds))

    async def _announce(self, task: int, seconds: float) -> None:
        await self._begun.wait()
        await asyncio.sleep(seconds)
        if self._task is not None and self._task[0] == task and not self._writer.is_closing():
            self._announced = time.time()
            self._writer.write(b"available_results\n")

    def _send_result(self) -> None:
        if self._task is not None and self._announced:
            task, _, seconds = self._task
            self._writer.write(f"result 0 0 0 {round(1e6 * seconds)} {task}\n".encode())
        self._writer.write(b"end\n")

    def _send_output(self, name: str) -> None:
        if self._task is None:
            self._writer.write(f"missing {name} 2\nend\n".encode())
            return
        archive, values = outputs_of(self._inputs, self._host, self._task[2], self._text)
        self._writer.write(f"file {name} {len(archive)}\n".encode() + archive + b"end\n")
        for value in values:
            print("returned", value, self._announced, time.time(), flush=True)
        self._task, self._announced = None, 0.0


def _answer(password: bytes, challenge: bytes) -> bytes:
    """SHA-1 of password and challenge, which the protocol asks for."""
    return hashlib.sha1(password + b" " + challenge).hexdigest().encode()  # noqa: S324


async def main() -> None:
    """Run what the command line says."""
    port, count = int(sys.argv[1]), int(sys.argv[3])
    password = Path(sys.argv[2]).read_bytes()
    mean, text = float(sys.argv[4]), (b"some words of an output\n" * 50_000)[: int(sys.argv[5])]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    gate = asyncio.Semaphore(_CONNECTING_AT_ONCE)
    connected = 0
    begun = asyncio.Event()

    async def live(number: int) -> None:
        nonlocal connected
        worker = Worker(number, mean, text, begun)
        async with gate:
            while True:
                try:
                    await worker.connect(port, password)
                    break
                except (ConnectionError, asyncio.IncompleteReadError) as error:
                    print("refused", error, flush=True)
                    await asyncio.sleep(_RETRY_SECONDS)
        connected += 1
        if connected % _REPORTED_EVERY == 0 or connected == count:
            print("connected", connected, flush=True)
        await worker.serve()
        print("left", number, flush=True)

    workers = [asyncio.create_task(live(number)) for number in range(count)]
    loop = asyncio.get_running_loop()
    while await loop.run_in_executor(None, sys.stdin.readline):
        begun.set()
    for worker in workers:
        worker.cancel()


if __name__ == "__main__":
    asyncio.run(main())
