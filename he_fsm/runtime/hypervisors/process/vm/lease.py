"""The engine's lease in the process of an embedded VM: kept, put down, taken back."""

from __future__ import annotations

import os
from typing import Optional

from he_fsm.errors import LockspaceError
from he_fsm.runtime.hypervisors.process.vm.options import VmOptions
from he_fsm.runtime.leases.files.engine_lease import EngineLease, Held
from he_fsm.runtime.leases.files.hold import LEASE_FD_VARIABLE
from he_fsm.runtime.leases.files.keeper import LeaseKeeper

# How long a migration's target may take to pick the lease up, and until when it is kept for the
# source to take back (seconds). After that anybody may have it: the source may be dead.
HAND_OVER_S = 2.0
_IN_THE_AIR_S = 3.0
_TAKE_BACK_S = 0.5


class VmLease:
    """The lease that this process holds, by an open descriptor."""

    def __init__(self, options: VmOptions, descriptor: Optional[int]) -> None:
        """Use a descriptor that holds it; None: it is not held yet."""
        self._io_timeout_s = options.io_timeout_s
        self._lease = EngineLease(
            options.leases,
            options.host_id,
            io_timeout_s=options.io_timeout_s,
            watchdog_s=options.watchdog_s,
        )
        self._descriptor = descriptor
        self._keeper: Optional[LeaseKeeper] = None

    @classmethod
    def inherited(cls, options: VmOptions) -> VmLease:
        """
        Use the lease that was taken before this process became the VM.

        Raises:
            LockspaceError: there is none.
        """
        text = os.environ.pop(LEASE_FD_VARIABLE, None)
        if text is None:
            msg = f"no VM runs without the engine's lease: {LEASE_FD_VARIABLE} is not set"
            raise LockspaceError(msg)
        descriptor = int(text)
        # safety: a process that this one starts must not hold it beyond its end.
        os.set_inheritable(descriptor, False)
        lease = cls(options, descriptor)
        lease._keep()
        return lease

    @classmethod
    def handed_over(cls, options: VmOptions) -> VmLease:
        """
        Take the lease that another host's VM has put down for this one.

        Raises:
            LockspaceError: it did not, or too long ago.
        """
        lease = cls(options, None)
        lease._hold(lease._lease.pick_up(HAND_OVER_S).descriptor)
        return lease

    def put_down(self, target: int) -> None:
        """
        Put it down for the host *target*; whoever holds it runs the VM.

        Raises:
            LockspaceError: it can't be; it is still held.
        """
        if self._descriptor is None:
            return
        self._stop_keeping()
        try:
            self._lease.hand_over(self._descriptor, target, _IN_THE_AIR_S)
        except LockspaceError:
            self._keep()
            raise
        os.close(self._descriptor)
        self._descriptor = None

    def take_back(self) -> None:
        """
        Hold it again, after a target that has not taken it, or has died since.

        Raises:
            LockspaceError: another has it now.
        """
        if self._descriptor is not None:
            return
        try:
            taken = self._lease.pick_up(_TAKE_BACK_S)
        except LockspaceError:
            answer = self._lease.take()
            if isinstance(answer, Held):
                raise
            taken = answer
        self._hold(taken.descriptor)

    def _hold(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._keep()

    def _keep(self) -> None:
        if self._descriptor is not None:
            self._keeper = LeaseKeeper(self._descriptor, self._lease.folder, self._io_timeout_s)
            self._keeper.start()

    def _stop_keeping(self) -> None:
        if self._keeper is not None:
            self._keeper.stop()
            self._keeper = None
