"""
Keep the engine's lease for a domain of libvirt's, and end both together.

`python -m he_fsm.runtime.hypervisors.libvirt.holder.process --settings JSON` is begun by the agent,
with a socket to it as standard input. It is two processes, the holder and its warden. Both have the
lease's descriptor open, and both have the domain's process by a descriptor of the kernel's, so that
no other process of its number is ever meant. Neither asks libvirt for anything.

* The holder is the process that the lease manager knows. SIGTERM (the lease is lost, or somebody
  wants the domain to end) makes it kill the domain's process at once. It lets the lease go when
  that process has ended, and not before.
* When one of the two dies, the other one kills the domain's process at once, and lets the lease go
  when that has ended.
* When the lease manager ends, the holder kills the domain's process: nobody renews the lease.

What is said, as JSON objects. The agent to the holder:

    {"take": {"is_moved": bool, "within_s": seconds}}   take the lease
    {"keep": true}                                      go on without the agent

The holder to the agent: {"ready": true}; {"taken": version} with the lease's descriptor; or
{"refused": text} (there is no lease) or {"failed": text}, after which it ends. Once the lease was
asked for, the domain ends with it.

An agent that ends before the lease is asked for leaves the domain as it is. One that ends between
the two orders has not let the domain execute, and the domain is ended.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import pkgutil
import signal
import socket
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress
from typing import Any, Final, Optional

from he_fsm.errors import LeaseHeldError, LockspaceError
from he_fsm.runtime.hypervisors.event_loop import EventLoop
from he_fsm.runtime.hypervisors.libvirt.holder.settings import (
    MESSAGE_BYTES,
    HolderSettings,
    MovedNote,
)
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord
from he_fsm.runtime.hypervisors.vm_process import OtherProcess
from he_fsm.runtime.ports import OwnLease
from he_fsm.runtime.service.asking import Asking

_log = logging.getLogger("he_fsm.holder")
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
# A process that can't be killed now is tried again (seconds).
_KILL_AGAIN_S: Final = 0.5
# A source's lease is asked for so often, until its domain has ended (seconds).
_TAKE_AGAIN_S: Final = 0.02
# For so long a domain that was moving is waited for: whether it has moved is the agent's to know,
# who writes it in the record; and how often that is read (seconds).
_MOVED_S: Final = 5.0
_READ_S: Final = 0.01
# The lease manager takes a note within milliseconds (seconds).
_LEAVE_S: Final = 2.0


class _Half:
    """What both processes do: they end the domain's, and end when it has ended."""

    def __init__(self, vm: OtherProcess) -> None:
        self._vm = vm
        self._loop = EventLoop()
        # safety: whoever leaves its terminal or its agent must not end a VM.
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            self._loop.on_signal(number, lambda: None)
        self._loop.when_readable(vm, self._see_end)

    def run(self) -> int:
        """Go on until the domain's process has ended; return the exit status."""
        return self._loop.run()

    def _end_vm(self, why: str) -> None:
        """Kill the domain's process; it is gone when `_see_end` is called."""
        if not self._vm.has_ended:
            _log.critical("the domain's process %d is ended: %s", self._vm.pid, why)
            self._kill()

    def _kill(self) -> None:
        try:
            self._vm.send(signal.SIGKILL)
        except PermissionError as error:
            # safety: the lease stays until somebody who may end it has done so.
            _log.error("process %d can't be ended: %s", self._vm.pid, error.strerror)
            self._loop.at("kill", time.monotonic() + _KILL_AGAIN_S, self._kill)

    def _see_end(self) -> None:
        self._loop.end(EXIT_OK)


class Warden(_Half):
    """The second process; *channel* leads to the holder, who says when there is a lease to keep."""

    def __init__(self, vm: OtherProcess, channel: socket.socket) -> None:
        """Begin with `run`."""
        super().__init__(vm)
        self._channel = channel
        self._guards = False
        self._loop.when_readable(channel, self._hear)

    def _hear(self) -> None:
        if _received(self._channel):
            self._guards = True
            return
        self._loop.ignore(self._channel)
        if self._guards:
            self._end_vm("the holder of its lease has ended")
        else:
            self._loop.end(EXIT_OK)


class Holder(_Half):
    """The process that has the lease; *control* leads to the agent, *channel* to the warden."""

    def __init__(
        self,
        settings: HolderSettings,
        vm: OtherProcess,
        lease: OwnLease,
        control: socket.socket,
        channel: socket.socket,
    ) -> None:
        """Begin with `run`."""
        super().__init__(vm)
        self._settings = settings
        self._lease = lease
        self._control = control
        self._channel = channel
        # The lease was asked for: from now on whatever ends this process ends the domain.
        self._is_taking = False
        # Its version; None: it has not been taken.
        self._version: Optional[int] = None
        self._is_kept = False
        self._answer: Future[int] = Future()
        # The thread that takes the lease says by it that it is done.
        self._done, self._done_out = socket.socketpair()
        self._loop.on_signal(signal.SIGTERM, lambda: self._end_vm("its holder was told to end"))
        self._loop.when_readable(control, self._obey)
        self._loop.when_readable(channel, self._see_warden_end)
        self._loop.when_readable(self._done, self._see_taken)
        self._tell(ready=True)

    def _obey(self) -> None:
        data = _received(self._control)
        order = json.loads(data) if data else {}
        if "take" in order:
            self._begin_to_take(**order["take"])
        elif "keep" in order:
            self._is_kept = True
        elif not data:
            self._see_agent_end()

    def _see_agent_end(self) -> None:
        self._loop.ignore(self._control)
        if self._is_kept:
            return
        if self._is_taking:
            self._end_vm("its agent has ended before it let the domain execute")
        else:
            self._loop.end(EXIT_OK)

    def _see_warden_end(self) -> None:
        self._loop.ignore(self._channel)
        # It ends with the domain, too.
        self._end_vm("the warden of its lease has ended")

    # Take.

    def _begin_to_take(self, *, is_moved: bool, within_s: float) -> None:
        try:
            # safety: the warden knows of the lease before there is one.
            self._channel.send(b"guard")
        except OSError as error:
            self._tell(failed=f"the warden has ended: {error.strerror}")
            self._loop.end(EXIT_FAILED)
            return
        self._is_taking = True
        until = time.monotonic() + within_s
        # It waits as long as an owner takes to die, and can't be given up; this process can.
        thread = threading.Thread(
            target=self._take, args=(is_moved, until), name="take", daemon=True
        )
        thread.start()

    def _take(self, is_moved: bool, until: float) -> None:
        """Take the lease, in a thread of its own; what comes of it is for `_see_taken`."""
        try:
            version = self._asked_for(until if is_moved else 0.0)
            if is_moved:
                self._check_note(version)
        except Exception as error:  # noqa: BLE001 - it is raised where the answer is asked for
            self._answer.set_exception(error)
        else:
            self._answer.set_result(version)
        self._done_out.send(b"!")

    def _asked_for(self, until: float) -> int:
        """Take the lease, and return its version; the source of a move may still have it."""
        while True:
            try:
                return self._lease.take()
            except LeaseHeldError:
                if time.monotonic() > until:
                    raise
            time.sleep(_TAKE_AGAIN_S)

    def _check_note(self, version: int) -> None:
        """
        Refuse a lease that was not left for a domain which has moved here.

        safety: a source that did not hear how its move went lets its domain go on. When that ends,
        the lease is free, and the memory that has arrived here is older than the disk.
        """
        note = MovedNote.from_bytes(self._lease.note())
        if note is None or not note.is_for(self._settings.host_id, version):
            msg = "the source has not left the lease for the domain that has arrived here"
            raise LeaseHeldError(msg)

    def _see_taken(self) -> None:
        self._loop.ignore(self._done)
        try:
            self._version = self._answer.result()
        except LockspaceError as error:
            self._tell(refused=str(error))
            self._end_vm(f"there is no lease for it: {error}")
            return
        self._loop.when_readable(self._lease, self._see_manager_end)
        _log.info("the lease is kept for process %d", self._vm.pid)
        with suppress(OSError):
            message = json.dumps({"taken": self._version}).encode()
            socket.send_fds(self._control, [message], [self._lease.fileno()])

    def _see_manager_end(self) -> None:
        self._loop.ignore(self._lease)
        self._end_vm("the lease manager has ended")

    # Let go.

    def _see_end(self) -> None:
        self._loop.ignore(self._vm)
        if self._version is None:
            self._loop.end(EXIT_FAILED)
        else:
            self._put_down(self._version, time.monotonic() + _MOVED_S)

    def _put_down(self, version: int, until: float) -> None:
        """Release the lease; a domain that was moving leaves a note when it has moved."""
        record = self._record()
        if record is not None and record.is_leaving and time.monotonic() < until:
            again_at = time.monotonic() + _READ_S
            self._loop.at("moved", again_at, lambda: self._put_down(version, until))
            return
        if record is not None and record.phase is Phase.MIGRATED and record.leaving_to is not None:
            self._leave(MovedNote(to=record.leaving_to, version=version))
        _log.info("the domain's process %d has ended, the lease is let go", self._vm.pid)
        self._loop.end(EXIT_OK)

    def _record(self) -> Optional[VmRecord]:
        """Return what the agent has written of the domain's process, and of no other one."""
        try:
            record = VmFile(self._settings.state).read()
        except (OSError, ValueError) as error:
            _log.error("%s", error)
            return None
        if record is None or record.pid != self._vm.pid:
            return None
        return record

    def _leave(self, note: MovedNote) -> None:
        late = LockspaceError("the lease manager does not answer")
        asking = Asking("leave", _LEAVE_S, lambda: late)
        try:
            asking.ask(lambda: self._lease.leave(note.to_bytes()))
        except LockspaceError as error:
            _log.error("the domain that has moved will not execute: %s", error)

    def _tell(self, **message: Any) -> None:
        # An agent that has ended is noticed by the end of the socket.
        with suppress(OSError):
            self._control.send(json.dumps(message).encode())


def _received(end: socket.socket) -> bytes:
    """Return the message that has come; empty: nobody is at the other end any more."""
    try:
        return end.recv(MESSAGE_BYTES)
    except OSError:
        return b""


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run as a command; return the exit status."""
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level="INFO")
    parser = argparse.ArgumentParser(prog="holder", description="Keep the lease for a domain.")
    parser.add_argument("--settings", required=True, type=HolderSettings.from_text)
    settings: HolderSettings = parser.parse_args(arguments).settings
    control = _control()
    try:
        vm = OtherProcess(settings.pid, settings.ticks)
        # safety: whoever can't end it must not keep the lease for it.
        vm.send(0)
        lease: OwnLease = pkgutil.resolve_name(settings.own)(settings.lease)
    except LockspaceError as error:
        return _refuse(control, "refused", str(error))
    except ProcessLookupError:
        return _refuse(control, "failed", f"the domain's process {settings.pid} has ended")
    except PermissionError:
        what = f"this user may not end the domain's process {settings.pid}"
        mend = "give the service AmbientCapabilities=CAP_KILL"
        return _refuse(control, "failed", f"{what}; {mend}")
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        ours.close()
        control.close()
        return _be_warden(vm, theirs)
    theirs.close()
    return Holder(settings, vm, lease, control, ours).run()


def _refuse(control: socket.socket, word: str, why: str) -> int:
    _log.error("no lease is kept: %s", why)
    with suppress(OSError):
        control.send(json.dumps({word: why}).encode())
    return EXIT_FAILED


def _control() -> socket.socket:
    """Return the socket to the agent, which is standard input; nobody else has it any more."""
    control = socket.socket(fileno=os.dup(0))
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    return control


def _be_warden(vm: OtherProcess, channel: socket.socket) -> int:
    os.setsid()
    return Warden(vm, channel).run()


def _end(status: int) -> None:
    """End at once: a thread that still waits for the lease must not keep this process."""
    logging.shutdown()
    os._exit(status)


if __name__ == "__main__":
    try:
        _end(main())
    except SystemExit as error:
        _end(error.code if isinstance(error.code, int) else EXIT_FAILED)
    except BaseException:  # noqa: BLE001 - whatever it is, it is in the log
        # safety: the other process ends the domain.
        _log.exception("this half of the holder ends")
        _end(EXIT_FAILED)
