"""
How an embedded VM moves: its process makes a receiving one for the other host, and hands over.

The two talk over a pair of sockets, in lines of JSON; the receiving process is started by the
source's process, as the target's libvirtd would, so the target's agent need not live.

    receiver -> source   {"ready": true}       it is in the target's vm.json (arriving)
    receiver -> source   {"refused": why}      and it ends
    source -> receiver   {"take": memory}      the source is paused and has put the lease down
    receiver -> source   {"taken": true}       it has the lease; it runs from now on

Never two execute, whoever dies when:

* Before `take` the receiver executes nothing and has no lease: it ends with the channel.
* A source that receives no `taken` in time kills the receiver first, and goes on only when the
  receiver has not said `taken` by then, and when it has got the lease back.
* A source that dies after `take` is not needed any more; one that dies before leaves a free lease.
"""

from __future__ import annotations

import json
import selectors
import socket
import subprocess
import time
from typing import Any, Optional

import attrs

from he_fsm.runtime.hypervisors.process.faults import LOST, Faults
from he_fsm.runtime.hypervisors.process.vm.lease import HAND_OVER_S
from he_fsm.runtime.hypervisors.process.vm.options import VmOptions
from he_fsm.runtime.hypervisors.vm_process import spawn

# How long the receiving process may take to be ready (seconds).
READY_S = 10.0
_CHUNK = 4096


class ChannelClosedError(Exception):
    """The other side has ended."""


class Channel:
    """One end of the pair: lines of JSON."""

    def __init__(self, end: socket.socket) -> None:
        """Own the socket *end*."""
        self._socket = end
        self._lines: list[bytes] = []
        self._rest = b""

    def fileno(self) -> int:
        """Return the socket's descriptor."""
        return self._socket.fileno()

    def send(self, **message: Any) -> None:
        """
        Send one message.

        Raises:
            ChannelClosedError: nobody listens.
        """
        try:
            self._socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise ChannelClosedError from error

    def receive(self, timeout_s: Optional[float] = None) -> Optional[dict[str, Any]]:
        """
        Return the next message; None: none came within *timeout_s* (None: wait for it).

        Raises:
            ChannelClosedError: there will be none.
        """
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._lines:
            left_s = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not self._fill(left_s):
                return None
        message: dict[str, Any] = json.loads(self._lines.pop(0))
        return message

    def _fill(self, timeout_s: Optional[float]) -> bool:
        self._socket.settimeout(None)
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            if not selector.select(timeout_s):
                return False
        try:
            data = self._socket.recv(_CHUNK)
        except OSError as error:
            raise ChannelClosedError from error
        if not data:
            raise ChannelClosedError
        *whole, self._rest = (self._rest + data).split(b"\n")
        self._lines += whole
        return True

    def close(self) -> None:
        """Close the connection; the other side notices."""
        self._socket.close()


@attrs.define
class Departure:
    """A migration under way, as the source's process sees it."""

    target: int
    channel: Channel
    trial: str
    _receiver: subprocess.Popen[bytes]
    ready_until: float
    is_ready: bool = False

    @classmethod
    def begin(cls, options: VmOptions, target: int, trial: str) -> Departure:
        """
        Start the receiving process for the host *target*; *trial* is how its switch-over goes.

        Raises:
            OSError: the target's run folder is not there, or its hypervisor does not answer.
        """
        run_dir = options.run_dir_of(target)
        if not run_dir.is_dir() or Faults(run_dir).read("hypervisor") == LOST:
            msg = f"host {target} does not answer"
            raise OSError(msg)
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                receiving = options.received_by(target, theirs.fileno())
                receiver = spawn(receiving.command(), run_dir, pass_fds=(theirs.fileno(),))
            except OSError:
                ours.close()
                raise
        return cls(target, Channel(ours), trial, receiver, time.monotonic() + READY_S)

    def hear(self) -> None:
        """
        Take what the receiver has said.

        Raises:
            ChannelClosedError: it has ended, or refuses; the text says why.
        """
        try:
            message = self.channel.receive(0.0)
        except ChannelClosedError:
            msg = f"the receiving process of host {self.target} has ended"
            raise ChannelClosedError(msg) from None
        if message is None:
            return
        if "refused" in message:
            raise ChannelClosedError(message["refused"])
        self.is_ready = True

    def hand_over(self, memory: dict[str, Any]) -> Optional[str]:
        """
        Hand the VM over to the receiver; return why that failed, or None.

        The caller is paused and has put the lease down. After a failure the receiver is dead, and
        has never executed.
        """
        why = f"host {self.target} did not take the lease in time"
        try:
            self.channel.send(take=memory)
            message = self.channel.receive(HAND_OVER_S)
        except ChannelClosedError:
            self._kill()
            return f"the receiving process of host {self.target} has ended"
        if message is None:
            # safety: it is dead before its last words are read; it may have executed since.
            self._kill()
            message = self._last_words()
        if message is not None and "taken" in message:
            return None
        self._kill()
        return why if message is None else str(message["refused"])

    def let_go(self) -> None:
        """Leave the receiver to itself: it is the VM."""
        self.channel.close()
        # Popen warns of a child that outlives it; this one is meant to.
        self._receiver.returncode = 0

    def end(self) -> None:
        """End the receiver, which never executed."""
        self._kill()
        self.channel.close()

    def _kill(self) -> None:
        self._receiver.kill()
        self._receiver.wait()

    def _last_words(self) -> Optional[dict[str, Any]]:
        try:
            return self.channel.receive(0.0)
        except ChannelClosedError:
            return None
