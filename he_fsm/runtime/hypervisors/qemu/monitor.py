"""QEMU's monitor (QMP), by the QEMU project's own library: orders, answers, events."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Optional, cast

from qemu.qmp import ExecuteError, QMPClient, QMPError, Runstate

from he_fsm.errors import HypervisorError

# An answer takes milliseconds; a QEMU that does not give one in this time hangs (seconds).
ANSWER_S: Final = 5.0
# What the library raises where there is no connection (any more).
_TROUBLE: Final = (QMPError, OSError, EOFError, asyncio.TimeoutError)
# From QEMU's start to its monitor: it is looked for this often (seconds).
_LOOK_S: Final = 0.02


class MonitorLostError(HypervisorError):
    """QEMU's monitor is gone, or gives no answer: it is not known whether an order was obeyed."""


class RefusedError(HypervisorError):
    """QEMU understood an order, and refuses it."""


class Monitor:
    """One connection to a QEMU; made by `connect`, used in one event loop."""

    def __init__(self, client: QMPClient) -> None:
        """Use a connected client."""
        self._client = client

    @classmethod
    async def connect(cls, path: Path, is_wanted: Callable[[], bool]) -> Optional[Monitor]:
        """
        Connect as soon as QEMU listens.

        Args:
            path: the monitor's socket.
            is_wanted: asked before each try; None is given where it says no.
        """
        while is_wanted():
            # A client that could not connect can't be used again.
            client = QMPClient("engine")
            # safety: at its lowest levels it logs orders as they are sent, passwords too; what
            # goes wrong is raised here.
            client.logger.setLevel(logging.CRITICAL + 1)
            try:
                await asyncio.wait_for(client.connect(str(path)), ANSWER_S)
            except _TROUBLE:
                await asyncio.sleep(_LOOK_S)
                continue
            return cls(client)
        return None

    async def execute(self, command: str, **arguments: Any) -> Any:
        """
        Send an order, and return QEMU's answer.

        Underscores stand for the dashes of the arguments' names.

        Raises:
            RefusedError: QEMU says no, and why.
            MonitorLostError: nothing was heard.
        """
        return await self.order(
            command, {name.replace("_", "-"): value for name, value in arguments.items()}
        )

    async def order(self, command: str, arguments: Mapping[str, Any]) -> Any:
        """Do the same as `execute`, with the arguments as QEMU names them."""
        try:
            return await asyncio.wait_for(
                self._client.execute(command, dict(arguments) or None), ANSWER_S
            )
        except ExecuteError as error:
            msg = f"QEMU refuses {command}: {error}"
            raise RefusedError(msg) from error
        except _TROUBLE as error:
            msg = f"QEMU does not answer to {command}"
            raise MonitorLostError(msg) from error

    async def give_file(self, name: str, descriptor: int) -> None:
        """Pass QEMU a copy of an open file, under a name; raises as `execute`."""
        try:
            self._client.send_fd_scm(descriptor)
        except _TROUBLE as error:
            msg = "QEMU can't be given a file"
            raise MonitorLostError(msg) from error
        await self.execute("getfd", fdname=name)

    async def events(self) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
        """Return each event's name and data, until the connection ends."""
        while True:
            waiting = asyncio.ensure_future(self._client.events.get())
            # The library does not end who waits for an event when the connection ends.
            ended = asyncio.ensure_future(self._ended())
            try:
                await asyncio.wait({waiting, ended}, return_when=asyncio.FIRST_COMPLETED)
                if not waiting.done():
                    return
                message = waiting.result()
            finally:
                waiting.cancel()
                ended.cancel()
            yield str(message["event"]), cast("Mapping[str, Any]", message.get("data", {}))

    @property
    def is_connected(self) -> bool:
        """Whether QEMU is still at the other end, as far as that is known."""
        return bool(self._client.runstate is Runstate.RUNNING)

    async def close(self) -> None:
        """Disconnect; QEMU runs on."""
        with suppress(*_TROUBLE):
            await asyncio.wait_for(self._client.disconnect(), ANSWER_S)

    async def _ended(self) -> None:
        while self._client.runstate is Runstate.RUNNING:
            await self._client.runstate_changed()
