"""Embedded leases whose host id keeps itself renewed."""

from __future__ import annotations

import logging
import threading
import time
from typing import Final, Optional

from he_fsm.errors import LockspaceError
from he_fsm.runtime.leases.files.lockspace import EmbeddedLeases
from he_fsm.runtime.ports import JoinedLeases, LeaseStatus
from he_fsm.runtime.service.supervised import SupervisedThread
from he_fsm.runtime.storage.protocol import StorageSettings

_log = logging.getLogger(__name__)

# A renewal that failed is tried again this many times within one I/O timeout.
_RETRIES_PER_IO_TIMEOUT: Final = 2


class Renewer:
    """Embedded leases, whose host id a thread of its own keeps from the moment it was joined."""

    def __init__(self, leases: EmbeddedLeases) -> None:
        self._leases = leases
        # Held while the files are used, so that leaving is never undone by a joining under way.
        self._guard = threading.Lock()
        self._is_wanted = threading.Event()
        self._trouble: Optional[str] = None
        SupervisedThread("renewer", self._renew_for_ever).start()

    def join(self) -> None:
        """Take the host id, and keep it."""
        with self._guard:
            self._leases.join()
            self._is_wanted.set()

    def leave(self) -> None:
        """Release the host id."""
        with self._guard:
            self._leases.leave()
            self._is_wanted.clear()

    def status(self) -> LeaseStatus:
        """Read who holds what."""
        return self._leases.status()

    @property
    def is_joined(self) -> bool:
        """Whether this host holds its id."""
        return self._leases.is_joined

    def _renew_for_ever(self) -> None:
        rules = self._leases.rules
        while self._is_wanted.wait():
            began = time.monotonic()
            with self._guard:
                is_renewed = not self._is_wanted.is_set() or self._renewed()
            wait_s = rules.renewal_s if is_renewed else rules.io_timeout_s / _RETRIES_PER_IO_TIMEOUT
            time.sleep(max(0.0, began + wait_s - time.monotonic()))

    def _renewed(self) -> bool:
        """Renew, or join again where the id was lost; complain once while it does not work."""
        try:
            if self._leases.is_joined:
                self._leases.renew()
            else:
                self._leases.join()
        except LockspaceError as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                _log.warning("the host id can't be renewed: %s", error)
            return False
        if self._trouble is not None:
            self._trouble = None
            _log.info("the host id is renewed again")
        return True


def make(settings: StorageSettings) -> JoinedLeases:
    """Make what takes and renews the host id, in the process that serves the storage."""
    times = settings.io_timeout_s, settings.watchdog_s
    return Renewer(EmbeddedLeases(settings.leases, settings.host_id, settings.name, *times))
