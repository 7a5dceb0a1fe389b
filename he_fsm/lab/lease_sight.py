"""Who has the engine's lease, as a sanlock daemon sees it that belongs to no host."""

from __future__ import annotations

import subprocess
import threading
import time
from typing import Final, Optional

from he_fsm.errors import HeFsmError, LockspaceError
from he_fsm.lab.sanlock.release import program
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.lockspace import SanlockLeases
from he_fsm.runtime.leases.sanlock.settings import RUN_DIR_VARIABLE, SanlockSettings
from he_fsm.snapshot import LeaseView, OwnerState

# A look is three commands of 4 ms each (seconds).
_PERIOD_S: Final = 0.1
# An id that no host of a lab has.
OUTSIDER: Final = 2000


def set_up(settings: SanlockSettings, io_timeout: int) -> None:
    """
    Write the lockspace and the engine's lease; *io_timeout* is in seconds of the daemons.

    By sanlock's command: the module would bind this process to one daemon for ever.

    Raises:
        HeFsmError: they can't be written.
    """
    size = settings.resource_offset + settings.align_bytes
    with open(settings.path, "wb") as file:  # noqa: PTH123 - a text as sanlock has it
        file.truncate(size)
    space = f"{settings.lockspace}:0:{settings.path}:{settings.offset}"
    lease = f"{settings.resource}:{settings.resource_path}:{settings.resource_offset}"
    _run(settings, "direct", "init", "-s", space, "-o", str(io_timeout))
    _run(settings, "direct", "init", "-r", f"{settings.lockspace}:{lease}")


def join(settings: SanlockSettings, io_timeout: int) -> None:
    """Join the lockspace as nobody's host; raises `HeFsmError` where that fails."""
    space = f"{settings.lockspace}:{OUTSIDER}:{settings.path}:{settings.offset}"
    _run(settings, "client", "add_lockspace", "-s", space, "-o", str(io_timeout))


class LeaseSight:
    """Looks at the engine's lease ten times a second, in a thread of its own."""

    def __init__(self, settings: SanlockSettings, rules: Rules) -> None:
        """Begin to look; the daemon of *settings* has joined."""
        self._leases = SanlockLeases(settings, OUTSIDER, rules, vm_is_gone=lambda: True)
        self._view: Optional[LeaseView] = None
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._look, name="lease-sight", daemon=True)
        self._thread.start()

    def owner(self) -> Optional[int]:
        """
        Return who has the lease; None: it can be had.

        Raises:
            HeFsmError: it was not seen.
        """
        view = self._view
        if view is None:
            msg = "the engine's lease can't be seen"
            raise HeFsmError(msg)
        is_over = view.free_at is not None and time.monotonic() >= view.free_at
        return None if view.owner_state is OwnerState.FAILING and is_over else view.owner

    def close(self) -> None:
        """Stop observing."""
        self._ends.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ends.wait(_PERIOD_S):
            try:
                self._view = self._leases.status().view
            except LockspaceError:
                self._view = None


def _run(settings: SanlockSettings, *words: str) -> None:
    done = subprocess.run(  # noqa: S603 - a list of words, and no shell
        [str(program()), *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
        env={RUN_DIR_VARIABLE: settings.run_dir},
    )
    # Its status does not tell; what it prints does.
    if done.returncode or "done 0" not in done.stdout:
        msg = f"sanlock {' '.join(words)}: {(done.stdout + done.stderr).strip()}"
        raise HeFsmError(msg)
