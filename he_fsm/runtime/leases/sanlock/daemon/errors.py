"""
What sanlock's error numbers mean: an exception class and a sentence for people each.

Source: sanlock 3.8.5, `sanlock_rv.h` (numbers from -200 down) and what its calls answered when they
were tried (the system's numbers, which the Python module gives as positive ones).
"""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Final

from he_fsm.errors import (
    EngineHereError,
    HostIdBusyError,
    HostIdLostError,
    JoinPendingError,
    LeaseDamagedError,
    LeaseForeignError,
    LeaseHeldError,
    LeaseLostError,
    LeaseMissingError,
    LeaseStorageError,
    LockspaceError,
    NotJoinedError,
    OtherIdError,
    SanlockDeniedError,
    SanlockDownError,
    SanlockSilentError,
    WatchdogMissingError,
)
from he_fsm.runtime.service.asking import Asking

Meaning = tuple[type[LockspaceError], str]

# Where sanlock's own numbers begin.
FIRST: Final = -201
AIO_TIMEOUT: Final = -202
LEASE_NOT_THERE: Final = -223
OTHER_SECTORS: Final = -225
HELD_BY_LIVING: Final = -243
HOST_ID_BUSY: Final = -262
NO_WATCHDOG: Final = -203

_FAILED: Final = "the storage can't be read or written"
_SLOW: Final = "the storage did not answer sanlock in time"
_LOST_RACE: Final = "another host takes the lease at this moment"
_DAMAGED: Final = "the lease on the storage is damaged"
_OTHER: Final = "at that place is the lease of another lockspace, resource or layout"
_OVERWRITTEN: Final = "another host has written over this host's id"
_DOWN: Final = "the sanlock daemon does not run; start the service sanlock"
_DENIED: Final = "this user may not use sanlock; it has to be in the group of sanlock's socket"

# Whatever was asked.
EVERYWHERE: Final[Mapping[int, Meaning]] = {
    AIO_TIMEOUT: (LeaseStorageError, _SLOW),
    NO_WATCHDOG: (WatchdogMissingError, "sanlock finds no watchdog; start the service wdmd"),
    -210: (LeaseStorageError, _FAILED),
    -211: (LeaseStorageError, _FAILED),
    -212: (LeaseHeldError, _LOST_RACE),
    -213: (LeaseHeldError, _LOST_RACE),
    -214: (LeaseDamagedError, _DAMAGED),
    -220: (LeaseStorageError, _FAILED),
    -221: (LeaseStorageError, _FAILED),
    -222: (LeaseDamagedError, _DAMAGED),
    LEASE_NOT_THERE: (LeaseMissingError, "there is no lease at that place; it was never set up"),
    -224: (LeaseForeignError, "the lease was set up by a version of sanlock that is not this one"),
    OTHER_SECTORS: (LeaseForeignError, "the lease was set up for sectors of another size"),
    -226: (LeaseForeignError, _OTHER),
    -227: (LeaseForeignError, _OTHER),
    -228: (LeaseForeignError, _OTHER),
    -229: (LeaseDamagedError, _DAMAGED),
    -240: (LeaseHeldError, _LOST_RACE),
    -241: (NotJoinedError, "this host has not joined the lockspace"),
    -242: (LeaseStorageError, "the owner's host id can't be read"),
    HELD_BY_LIVING: (LeaseHeldError, "a living host holds the lease"),
    -244: (LeaseHeldError, "another host holds the lease"),
    -245: (LeaseHeldError, "another host holds the lease"),
    -260: (HostIdLostError, _OVERWRITTEN),
    -261: (HostIdLostError, _OVERWRITTEN),
    HOST_ID_BUSY: (HostIdBusyError, "another living host holds the host id"),
    errno.EIO: (LeaseStorageError, _FAILED),
    errno.EMSGSIZE: (LeaseMissingError, "the file or device is too small"),
    errno.EACCES: (SanlockDeniedError, _DENIED),
    errno.ECONNREFUSED: (SanlockDownError, _DOWN),
    errno.ECONNRESET: (SanlockDownError, _DOWN),
    errno.EPIPE: (SanlockDownError, _DOWN),
}
# The system's numbers mean something else with each call.
_NO_PATH: Final[Meaning] = (LeaseMissingError, "there is no such file or device")
CONNECTING: Final[Mapping[int, Meaning]] = {**EVERYWHERE, errno.ENOENT: (SanlockDownError, _DOWN)}
JOINING: Final[Mapping[int, Meaning]] = {
    **CONNECTING,
    FIRST: (JoinPendingError, "the joining was given up; it is tried again"),
    errno.ENODEV: _NO_PATH,
    errno.EINVAL: (
        OtherIdError,
        "the daemon has it under another host id, name or place already, or there is no such id",
    ),
    errno.EEXIST: (
        JoinPendingError,
        "the daemon has taken it meanwhile, or has lost it and still ends who held leases by it",
    ),
    errno.EINPROGRESS: (JoinPendingError, "the host id is being taken; that takes its time"),
    errno.EAGAIN: (JoinPendingError, "the host id is just being given back; it is tried again"),
}
LEAVING: Final[Mapping[int, Meaning]] = {
    **CONNECTING,
    errno.EBUSY: (EngineHereError, "the engine runs here, or another service of this lockspace"),
    # The daemon runs: that was tested before.
    errno.ENOENT: (NotJoinedError, "this host has not joined, or is leaving already"),
}
ACQUIRING: Final[Mapping[int, Meaning]] = {
    **EVERYWHERE,
    errno.ENOENT: _NO_PATH,
    errno.ENODEV: _NO_PATH,
    errno.ENOSPC: (NotJoinedError, "this host has not joined the lockspace, or has lost its id"),
    errno.EEXIST: (LeaseHeldError, "another process of this host holds the lease"),
    errno.EAGAIN: (LeaseHeldError, _LOST_RACE),
    errno.EBUSY: (LeaseHeldError, _LOST_RACE),
}
_NOT_HELD: Final[Meaning] = (LeaseLostError, "the process does not have the lease")
_NOT_REGISTERED: Final[Meaning] = (LeaseLostError, "sanlock does not know the process")
RELEASING: Final[Mapping[int, Meaning]] = {
    **CONNECTING,
    -250: _NOT_HELD,
    -251: _NOT_HELD,
    errno.EPERM: _NOT_HELD,
    errno.ESRCH: _NOT_REGISTERED,
}
PICKING_UP: Final[Mapping[int, Meaning]] = {**ACQUIRING, errno.ESRCH: _NOT_REGISTERED}
READING: Final[Mapping[int, Meaning]] = {
    **EVERYWHERE,
    errno.ENOENT: _NO_PATH,
    errno.ENODEV: _NO_PATH,
}


def silence(run_dir: str) -> SanlockSilentError:
    """Return the error to raise for a daemon that does not answer in time."""
    msg = f"the sanlock daemon of {run_dir} does not answer: it is stopped, or its storage hangs"
    return SanlockSilentError(msg)


def question_to(run_dir: str, wait_s: float) -> Asking:
    """Return what asks the daemon of *run_dir* by sanlock's module, and waits so many seconds."""
    return Asking("sanlock-question", wait_s, lambda: silence(run_dir))


def refusal(
    what: str, number: int, meanings: Mapping[int, Meaning], detail: str = ""
) -> LockspaceError:
    """
    Return the error to raise for sanlock's *number*, which came out of *what*.

    *detail* is what sanlock itself said; it is quoted where the number has no meaning here.
    """
    kind, sentence = meanings.get(number, (LockspaceError, detail or f"sanlock says {number}"))
    return kind(f"{what}: {sentence} ({number})", number)
