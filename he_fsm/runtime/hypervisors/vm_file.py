"""
What is known of the engine VM of one host: the file `vm.json` of the host's run folder.

It outlives the agent, so that a restarted one finds the VM that its predecessor started. The file
is the VM's: it is made by who begins one (an order to start, or a migration that arrives), and
changed by the VM's own process alone. A record whose process has ended says how far it came.
"""

from __future__ import annotations

import enum
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.runtime.service.files import replace_json
from he_fsm.runtime.service.lock import locked

# The file's name, in the host's run folder.
STATE: Final = "vm.json"
# A process's entry in /proc: the state's letter, the parent, how many threads there are, and when
# the process was started.
_STATE, _PARENT, _THREADS, _STARTED = 0, 1, 17, 19
# The state of a process that was stopped, as /proc has it.
STOPPED: Final = "T"
# They say nothing where they are empty; releases that do not know them can read the others.
_LATER: Final = {"ending", "inner_pid", "inner_ticks", "holder_pid", "holder_ticks"}
# It is shorter than that.
_STAT_BYTES: Final = 4096


class Phase(enum.Enum):
    """How far a VM has come."""

    # From the order until it runs.
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    # The receiving side of a migration, which does not execute yet.
    ARRIVING = "arriving"
    # The VM runs on another host now.
    MIGRATED = "migrated"


@attrs.frozen(kw_only=True)
class VmRecord:
    """
    One VM as its own process reports it; times are on the machine's monotonic clock (seconds).

    `started_ticks`: when the process was started, in clock ticks since the machine's boot; with it
    a reused *pid* is told apart. `leaving_*`: the migration under way, or the one that has ended
    well. `failed_migrations` counts; `failure` says why the last one failed. `ending`: what the
    guest reported of its own death, after which the process ends. `inner_*`: the process that does
    the work where that is another one than *pid*, which looks after it. `lease_version`: the
    engine's lease when the VM took it, where another daemon takes it for the VM (`LeaseSeen`);
    `is_paused`: it has put that lease down, and executes nothing before it has taken it again.
    `holder_*`: the process that has the lease for it, where that is not the VM's own.
    """

    pid: int
    started_ticks: int
    phase: Phase
    port: int
    since: float
    leaving_to: Optional[int] = None
    leaving_since: Optional[float] = None
    leaving_until: Optional[float] = None
    failed_migrations: int = 0
    failure: str = ""
    ending: str = ""
    inner_pid: Optional[int] = None
    inner_ticks: Optional[int] = None
    lease_version: Optional[int] = None
    is_paused: bool = False
    holder_pid: Optional[int] = None
    holder_ticks: Optional[int] = None

    @property
    def has_holder(self) -> bool:
        """Whether another process has the lease for it, or had it."""
        return self.holder_pid is not None

    @property
    def lease_pid(self) -> int:
        """The process that has the lease, or should have it."""
        return self.pid if self.holder_pid is None else self.holder_pid

    @property
    def holder_lives(self) -> bool:
        """Whether the process that has the lease for it lives."""
        if self.holder_pid is None or self.holder_ticks is None:
            return False
        return process_state(self.holder_pid, self.holder_ticks) is not None

    @property
    def is_here(self) -> bool:
        """Whether the VM, or one that arrives, takes this host's place; its process lives."""
        return self.phase is not Phase.MIGRATED and self.process_state is not None

    @property
    def is_leaving(self) -> bool:
        """Whether a migration away from here is under way."""
        return self.phase is Phase.RUNNING and self.leaving_to is not None

    @property
    def is_stopped(self) -> bool:
        """Whether the process that does the work was stopped by a signal."""
        if self.inner_pid is None or self.inner_ticks is None:
            return self.process_state == STOPPED
        return process_state(self.inner_pid, self.inner_ticks) == STOPPED

    @property
    def process_state(self) -> Optional[str]:
        """The letter of the process's state, as `ps` shows it; None: it has ended."""
        return process_state(self.pid, self.started_ticks)


def process_state(pid: int, started_at_ticks: int) -> Optional[str]:
    """Return the letter of the state of the process that was started then; None: it has ended."""
    fields = _process_fields(pid)
    if fields is None or int(fields[_STARTED]) != started_at_ticks:
        return None
    return None if _is_dead(fields) else fields[_STATE]


def started_ticks(pid: int) -> int:
    """
    Return when a process was started, in clock ticks since boot.

    psutil's creation times follow steps of the wall clock: a VM would seem to be another process.

    Raises:
        ProcessLookupError: there is none.
    """
    fields = _process_fields(pid)
    if fields is None:
        raise ProcessLookupError(pid)
    return int(fields[_STARTED])


def parent_of(pid: int) -> Optional[tuple[int, int]]:
    """Return a process's parent, and when the process was started; None: it has ended."""
    fields = _process_fields(pid)
    if fields is None or _is_dead(fields):
        return None
    return int(fields[_PARENT]), int(fields[_STARTED])


def _is_dead(fields: Sequence[str]) -> bool:
    """Whether nothing of a process executes any more, and its parent has not asked for it yet."""
    # safety: Z is what the first thread shows, while another may be at its last write to a disk.
    return fields[_STATE] in "ZX" and int(fields[_THREADS]) <= 1


def _process_fields(pid: int) -> Optional[list[str]]:
    # Asked ten times a second, so without what a text file takes.
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        text = os.read(descriptor, _STAT_BYTES).decode(errors="replace")
    except ProcessLookupError:
        return None
    finally:
        os.close(descriptor)
    # The name stands in parentheses and may hold anything.
    return text.rpartition(")")[2].split()


class VmFile:
    """
    The file `vm.json` of one run folder; it is replaced as a whole.

    Raises `OSError` where the folder can't be used, and `ValueError` where the file is damaged.
    """

    def __init__(self, path: Path) -> None:
        """Use *path*; its folder exists."""
        self.path = path

    @property
    def signature(self) -> Optional[tuple[int, int]]:
        """Something that changes whenever the file does; None: there is none."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def read(self) -> Optional[VmRecord]:
        """Return the record, whether its process lives or not."""
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            plain = json.loads(text)
            return VmRecord(**{**plain, "phase": Phase(plain["phase"])})
        except (KeyError, TypeError, ValueError) as error:
            msg = f"{self.path} is damaged: {error}"
            raise ValueError(msg) from error

    def claim(self, record: VmRecord) -> bool:
        """Write the first record of a VM, unless one is here; say whether it was written."""
        with self._lock():
            before = self.read()
            if before is not None and before.is_here:
                return False
            self.write(record)
            return True

    def write(self, record: VmRecord) -> None:
        """Replace the record; for the process that it is about."""
        replace_json(self.path, attrs.asdict(record, filter=_is_said, value_serializer=_plain))

    def clear(self, record: VmRecord) -> None:
        """Remove *record* of a process that has ended; another's stays."""
        with self._lock():
            if self.read() == record:
                self.path.unlink()
                # What a writer has left that was killed while it wrote.
                for half in self.path.parent.glob(f".{self.path.name}.*.new"):
                    half.unlink(missing_ok=True)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        with locked(self.path.with_suffix(".lock")):
            yield


def _is_said(field: attrs.Attribute[Any], value: Any) -> bool:
    """Leave out what older releases do not know, where it says nothing."""
    return field.name not in _LATER or bool(value)


def _plain(_instance: Any, _field: Any, value: Any) -> Any:
    return value.value if isinstance(value, enum.Enum) else value
