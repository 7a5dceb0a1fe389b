"""A QEMU that closes its monitor: most often it ends, which its process shows a moment later."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Optional

import pytest

from he_fsm.runtime.hypervisors.qemu.command import MONITOR
from he_fsm.runtime.hypervisors.qemu.machine import Machine
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord, started_ticks

_GREETING = {"QMP": {"version": {"qemu": {"major": 7, "minor": 2, "micro": 0}}, "capabilities": []}}


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["/bin/sleep", "60"]) as found:
        yield found
        found.kill()


class ClosingMonitor:
    """Answers once how the VM is, says that it shuts down, and closes at the next question."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.server: Optional[asyncio.Server] = None
        self.closed = asyncio.Event()

    async def begin(self) -> None:
        self.server = await asyncio.start_unix_server(self.serve, self.path)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._talk(reader, writer)
        finally:
            writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def say(message: object) -> None:
            writer.write(json.dumps(message).encode() + b"\r\n")
            await writer.drain()

        await say(_GREETING)
        asked = 0
        # The library sends no line ends, and one order at a time.
        while text := await reader.read(4096):
            order = json.loads(text)
            asked += order["execute"] == "query-status"
            if asked > 1:
                # Nobody can connect any more.
                assert self.server is not None
                self.server.close()
                self.path.unlink()
                self.closed.set()
                return
            found = {"status": "running", "running": True} if asked else {}
            await say({"return": found, **{key: order[key] for key in ("id",) if key in order}})
            if asked:
                stamp = {"seconds": 1, "microseconds": 0}
                await say({"event": "SHUTDOWN", "data": {"guest": True}, "timestamp": stamp})


async def answers_of(folder: Path, process: subprocess.Popen[bytes], *, ends: bool) -> list[bool]:
    """Return whether the VM was taken for one that answers, with each change, to its end."""
    monitor = ClosingMonitor(folder / MONITOR)
    await monitor.begin()
    record = VmRecord(
        pid=process.pid,
        started_ticks=started_ticks(process.pid),
        phase=Phase.RUNNING,
        port=1,
        since=time.monotonic(),
    )
    file = VmFile(folder / "vm.json")
    file.write(record)
    seen: list[bool] = []
    over = asyncio.Event()
    machine = Machine(record, file, lambda: seen.append(machine.is_answering), lambda _: over.set())
    await asyncio.wait_for(monitor.closed.wait(), 20)
    if ends:
        process.kill()
        await asyncio.wait_for(over.wait(), 20)
    else:
        deadline = time.monotonic() + 20
        while machine.is_answering and time.monotonic() < deadline:
            await machine.stirs()
    await machine.let_go()
    return seen


def test_a_vm_that_ends_is_not_taken_for_silent(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    assert False not in asyncio.run(answers_of(tmp_path, process, ends=True))


def test_a_vm_that_goes_on_without_its_monitor_is_silent(
    tmp_path: Path, process: subprocess.Popen[bytes]
) -> None:
    assert asyncio.run(answers_of(tmp_path, process, ends=False))[-1] is False
