"""
What somebody who answers for a VM has to know of the daemon behind its lease.

Without a watchdog a VM survives the death of its sanlock daemon: its lease is then others' to take
8 x io_timeout + 60 s later, while it still runs. So whoever runs it has to notice, and to end it.
"""

from __future__ import annotations

import errno
import os
import select
import threading
from collections.abc import Callable
from typing import Final, Optional

from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.sanlock.daemon.command import SanlockDaemon
from he_fsm.runtime.leases.sanlock.daemon.module import call, register
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.service.supervised import SupervisedThread

NO_WATCHDOG: Final = (
    "no watchdog stands behind sanlock (it runs with -w 0): a VM outlives a sanlock daemon that"
    " hangs or is killed, and a second one may be started; start sanlock with -w 1, and wdmd"
)


class DaemonWatch:
    """
    Notices the end of the sanlock daemon at once, by a connection of its own to it.

    *on_gone* is called once, in a thread of this watch; a daemon that was only stopped has not
    ended. To watch the next daemon, make another.

    Raises:
        LockspaceError: the daemon can't be talked to, see `daemon.errors`.
    """

    def __init__(self, settings: SanlockSettings, on_gone: Callable[[], object]) -> None:
        self._descriptor = register(settings.run_dir)
        self._on_gone = on_gone
        self._gone = threading.Event()
        self._ending, self._end = os.pipe()
        self._thread = SupervisedThread("sanlock-watch", self._watch)
        self._thread.start()

    @property
    def is_gone(self) -> bool:
        """Whether the daemon has ended."""
        return self._gone.is_set()

    def close(self) -> None:
        """Watch no more; not to be called by *on_gone*."""
        os.close(self._end)
        self._thread.close()
        self._thread.join()
        os.close(self._ending)
        os.close(self._descriptor)

    def _watch(self) -> None:
        poll = select.poll()
        # The daemon sends nothing by itself: whatever comes is the end. Only the end comes by the
        # other, too.
        poll.register(self._descriptor, select.POLLIN)
        poll.register(self._ending, 0)
        if self._descriptor in {descriptor for descriptor, _ in poll.poll()}:
            self._gone.set()
            self._on_gone()


def holds_lease(settings: SanlockSettings, pid: int) -> bool:
    """
    Whether the daemon that runs now has given the engine's lease to the process *pid*.

    A VM whose answer is no must not run on: its daemon has ended, and another may have begun.

    Raises:
        LockspaceError: the daemon can't be talked to, see `daemon.errors`.
    """
    what = f"ask sanlock for the leases of process {pid}"
    try:
        held = call(settings.run_dir, "inquire", pid=pid, what=what)
    except LockspaceError as error:
        if error.errno == errno.ESRCH:
            return False
        raise
    wanted = settings.lockspace.encode(), settings.resource.encode()
    return wanted in [(lease["lockspace"], lease["resource"]) for lease in held]


def watchdog_warning(settings: SanlockSettings) -> Optional[str]:
    """
    Return what people should be warned of where no watchdog stands behind sanlock; None: one does.

    Raises:
        LockspaceError: the daemon can't be asked.
    """
    return None if SanlockDaemon(settings).status().has_watchdog else NO_WATCHDOG
