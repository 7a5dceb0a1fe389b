"""
Keep the engine's lease for a program or unit, and end both together.

`python -m he_fsm.runtime.hypervisors.service.keeper --settings JSON` is what a `LeaseHolder` wraps:
it begins with the lease, as QEMU does, and is the process that the lease manager knows. It never
executes anything itself: that is its `warden`'s, a second process that has the lease as well.

What it obeys:

    SIGTERM   stop what runs in order; end it after the limit, as sanlock's kill and the agent do
    SIGKILL   the warden ends all that runs, at once, and then lets the lease go

It tells of itself in `vm.json` (`vm_file`), as VMs do.
"""

from __future__ import annotations

import argparse
import importlib
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.errors import LockspaceError
from he_fsm.runtime.hypervisors.event_loop import EventLoop
from he_fsm.runtime.hypervisors.service.body import Body
from he_fsm.runtime.hypervisors.service.tree import MARK, adopt_orphans, kill_below
from he_fsm.runtime.hypervisors.service.warden import (
    AGAIN_MAX_S,
    AGAIN_S,
    MESSAGE_BYTES,
    Warden,
)
from he_fsm.runtime.hypervisors.vm_file import Phase, VmFile, VmRecord, started_ticks
from he_fsm.runtime.leases.vm_lock import VmLock

_log = logging.getLogger("he_fsm.keeper")
EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
# A record that can't be written now is written later (seconds).
_WRITE_AGAIN_S: Final = 1.0
# The warden obeys within milliseconds; one that does not is ended with all the rest (seconds).
_OBEYS_S: Final = 5.0


@attrs.frozen(kw_only=True)
class KeeperSettings:
    """
    What to keep the lease for.

    `state` is the record's file, and `lock` the file that is locked while anything is left. `body`
    names a function (`module:function`) that makes the body of *options*. `stop_limit_s`: how long
    it may take to stop in order (seconds).
    """

    state: Path
    lock: Path
    body: str
    options: Mapping[str, Any]
    stop_limit_s: float

    def to_text(self) -> str:
        """Return it as a word of a command line."""
        return json.dumps(attrs.asdict(self, value_serializer=_plain))

    @classmethod
    def from_text(cls, text: str) -> KeeperSettings:
        """Read what `to_text` wrote; raises `ValueError`."""
        plain = json.loads(text)
        plain.update(state=Path(plain["state"]), lock=Path(plain["lock"]))
        return cls(**plain)


def _plain(_instance: Any, _field: Any, value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


class Keeper:
    """The process that has the lease; the warden is the other one, at the end of *channel*."""

    def __init__(
        self,
        settings: KeeperSettings,
        record: VmRecord,
        channel: socket.socket,
        body: Callable[[], Body],
    ) -> None:
        """Begin with `run`; *body* makes what the warden has, to end what it could not."""
        self._settings = settings
        self._make_body = body
        self._record = record
        self._file = VmFile(settings.state)
        self._channel = channel
        self._status = EXIT_FAILED
        self._again_s = AGAIN_S
        # What the warden was to end, where it could not.
        self._body: Optional[Body] = None
        # The warden could start nothing, so there is nothing to end.
        self._has_failed = False
        self._loop = EventLoop()
        self._loop.on_signal(signal.SIGTERM, self._stop)
        self._loop.on_signal(signal.SIGCHLD, _reap)
        # safety: whoever leaves its terminal or its agent must not end a service.
        for number in (signal.SIGHUP, signal.SIGINT):
            self._loop.on_signal(number, lambda: None)
        self._loop.when_readable(channel, self._hear)

    def run(self) -> int:
        """Go on until nothing is left; return the exit status."""
        return self._loop.run()

    def _hear(self) -> None:
        try:
            data = self._channel.recv(MESSAGE_BYTES)
        except OSError:
            data = b""
        if not data:
            self._loop.ignore(self._channel)
            self._end()
            return
        message = json.loads(data)
        if "began" in message:
            self._begin(int(message["began"]))
        elif "failed" in message:
            self._has_failed = True
            self._tell(ending=message["failed"])
        elif self._record.phase is Phase.STOPPING:
            self._status = EXIT_OK
        else:
            _log.error("%s", message["ended"])
            self._tell(ending=message["ended"])

    def _begin(self, pid: int) -> None:
        inner: dict[str, Optional[int]] = {}
        # It may have ended already, of which the warden tells next.
        with suppress(ProcessLookupError):
            if pid:
                inner = {"inner_pid": pid, "inner_ticks": started_ticks(pid)}
        if self._record.phase is Phase.STARTING:
            self._tell(phase=Phase.RUNNING, **inner)
        else:
            # A stop may have been ordered before there was anything to stop.
            self._tell(**inner)

    def _stop(self) -> None:
        if self._record.phase is Phase.STOPPING:
            return
        self._tell(phase=Phase.STOPPING)
        self._order("stop")
        self._loop.at("limit", time.monotonic() + self._settings.stop_limit_s, self._give_up)

    def _give_up(self) -> None:
        _log.error("not stopped within %g s: all is ended", self._settings.stop_limit_s)
        self._order("end")
        self._loop.at("limit", time.monotonic() + _OBEYS_S, self._end)

    def _end(self) -> None:
        """End what is left when the warden has ended, or does not obey; then let the lease go."""
        self._loop.forget("limit")
        _reap()
        self._body = self._body or self._make_body()
        if kill_below(os.getpid()) and (self._has_failed or self._body.end()):
            self._loop.end(self._status)
        else:
            again_s, self._again_s = self._again_s, min(2 * self._again_s, AGAIN_MAX_S)
            self._loop.at("end", time.monotonic() + again_s, self._end)

    def _order(self, word: str) -> None:
        with suppress(OSError):
            self._channel.send(json.dumps({"order": word}).encode())

    def _tell(self, **changes: Any) -> None:
        if "phase" in changes:
            changes["since"] = time.monotonic()
        self._record = attrs.evolve(self._record, **changes)
        self._write()

    def _write(self) -> None:
        try:
            self._file.write(self._record)
        except OSError as error:
            # A folder that is full for a while is no reason to end a service.
            _log.error("%s is not written: %s", self._file.path, error)
            self._loop.at("write", time.monotonic() + _WRITE_AGAIN_S, self._write)


def _reap() -> None:
    """Take the status of those that have ended, so that nothing of them is left."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run as a command; return the exit status."""
    logging.basicConfig(format="%(asctime)s %(process)d %(levelname)s %(message)s", level="INFO")
    parser = argparse.ArgumentParser(prog="keeper", description="Keep the lease for a service.")
    parser.add_argument("--settings", required=True, type=KeeperSettings.from_text)
    settings: KeeperSettings = parser.parse_args(arguments).settings
    record = VmFile(settings.state).read()
    try:
        lock = VmLock(settings.lock).take()
    except LockspaceError as error:
        _log.error("%s", error)
        return EXIT_FAILED
    if lock is None or record is None or record.pid != os.getpid():
        _log.error("something of the last run is left, or this start is not the host's")
        return EXIT_FAILED
    # safety: as with the lease, whatever is left of what runs here holds it.
    os.set_inheritable(lock, True)
    # Loaded now: a release that is installed meanwhile has other code.
    body = _body_of(settings)
    os.environ[MARK] = str(settings.lock)
    adopt_orphans()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if not os.fork():
        ours.close()
        _be_warden(body, theirs)
    theirs.close()
    return Keeper(settings, record, ours, body).run()


def _body_of(settings: KeeperSettings) -> Callable[[], Body]:
    module, _, name = settings.body.partition(":")
    make: Callable[[Mapping[str, Any]], Body] = getattr(importlib.import_module(module), name)
    return lambda: make(settings.options)


def _be_warden(body: Callable[[], Body], channel: socket.socket) -> None:
    """Be the other process, to its end."""
    status = EXIT_FAILED
    try:
        os.setsid()
        adopt_orphans()
        status = Warden(body(), channel).run()
    except BaseException:  # noqa: BLE001 - whatever it is, it is in the log
        _log.exception("the warden ends; the keeper ends what it has begun")
    finally:
        # Not the way of the process that it was forked from.
        logging.shutdown()
        os._exit(status)


if __name__ == "__main__":
    sys.exit(main())
