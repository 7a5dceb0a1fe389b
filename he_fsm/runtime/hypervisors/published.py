"""What an adapter shows of its VM, and the threads in which it does what takes long."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Optional

import attrs

from he_fsm.runtime.ports import Observation
from he_fsm.snapshot import LocalVm, Outcome, Result, VmState

_log = logging.getLogger(__name__)

_STARTS: Final = (Outcome.START_REFUSED, Outcome.START_FAILED)
# They belong to the end of the VM.
_OF_THE_END: Final = (*_STARTS, Outcome.GUEST_DIED)


class Published:
    """
    The VM as it was last seen, and the results of deeds, each told with its consequence.

    One thread looks, each deed that takes long has one, and the agent's observes and orders. What
    they share is under `guard`: nobody sees half of a change.
    """

    def __init__(self, detail: str) -> None:
        """Know nothing yet; *detail* says why."""
        self.guard = threading.RLock()
        self.wake: Callable[[], None] = lambda: None
        self.stirred = threading.Event()
        # No deed goes on any more; and then nobody looks.
        self.closing = threading.Event()
        self.closed = threading.Event()
        self._seen = Observation(vm=LocalVm(VmState.UNKNOWN), detail=detail)
        self._results: list[Result] = []
        # Results whose consequence has not been seen yet.
        self._owed: list[Result] = []
        self._threads: set[threading.Thread] = set()

    @property
    def observed(self) -> Observation:
        """The VM as it was last published, without results."""
        return self._seen

    @property
    def state(self) -> VmState:
        """The state of the VM as it was last published."""
        return self._seen.vm.state

    def observation(self) -> Observation:
        """Return the VM and each result once."""
        with self.guard:
            results, self._results = tuple(self._results), []
            return attrs.evolve(self._seen, results=results)

    def publish(self, state: VmState, detail: str = "", progress: Optional[float] = None) -> None:
        """Show another state, with the results that belong to it."""
        with self.guard:
            is_other = state is not self._seen.vm.state
            since = time.monotonic() if is_other else self._seen.since
            self._seen = Observation(
                vm=LocalVm(state), detail=detail, progress=progress, since=since
            )
            if state is VmState.UP:
                # Somebody else's start went well: there is nothing left to tell of ours.
                self._owed = [each for each in self._owed if each.outcome not in _STARTS]
            due = [each for each in self._owed if _is_due(each, state)]
            self._results += due
            self._owed = [each for each in self._owed if each not in due]
        if is_other or due:
            self.wake()

    def tell(self, outcome: Outcome, detail: str) -> None:
        """Add a result that changes nothing about the VM."""
        with self.guard:
            self._results.append(Result(outcome, detail))
        self.wake()

    def owe(self, outcome: Outcome, detail: str) -> None:
        """Add a result that is told together with its consequence."""
        with self.guard:
            self._owed.append(Result(outcome, detail))
        self.stir()

    def stir(self) -> None:
        """Have the VM looked at now."""
        self.stirred.set()

    # Threads.

    def begin(self, name: str, work: Callable[[], None]) -> None:
        """Do what takes long in a thread of its own; what it raises is logged, and it ends."""

        def run() -> None:
            try:
                work()
            except Exception:  # noqa: BLE001 - see below
                # A bug: whoever waits for its result learns from the VM how it went.
                _log.exception("thread %s failed", name)
            finally:
                self._threads.discard(threading.current_thread())
                self.stir()

        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.add(thread)
        thread.start()

    def join(self, within_s: float) -> None:
        """Wait for the deeds under way."""
        ends_at = time.monotonic() + within_s
        for thread in tuple(self._threads):
            if thread is not threading.current_thread():
                thread.join(max(0.0, ends_at - time.monotonic()))


def _is_due(result: Result, state: VmState) -> bool:
    """Whether a state is the consequence of a result."""
    if state in (VmState.UNKNOWN, VmState.STARTING, VmState.LEAVING):
        return False
    if result.outcome in _OF_THE_END:
        return state in (VmState.ABSENT, VmState.ARRIVING)
    return result.outcome is not Outcome.MIGRATION_DONE or state is VmState.ABSENT
