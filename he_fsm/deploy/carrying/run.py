"""Carrying out the stages of a deployment, one after the other; undoing them where one fails."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Final, Optional

from he_fsm.deploy.carrying import daemons, disk, domain, files, storage, telling, vm
from he_fsm.deploy.carrying.course import Course
from he_fsm.deploy.carrying.engine import make_operational
from he_fsm.deploy.carrying.journal import Journal
from he_fsm.deploy.carrying.undo import undo
from he_fsm.deploy.planning.stages import Stage
from he_fsm.errors import DeployError, HeFsmError, cause_of

Deed = Callable[[Course], None]
_STOPS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class InterruptedDeployment(BaseException):
    """A signal has ended the deployment; not an `Exception`, so that nothing takes it for one."""

    def __init__(self, number: int) -> None:
        self.number = number
        super().__init__(signal.Signals(number).name)


def _shut_down_and_stop(course: Course) -> None:
    vm.shut_down(course)
    daemons.stop(course)
    course.journal.forget("processes")
    if course.values["hypervisor"] == "libvirt":
        domain.finish(course)


FIRST: Final[Mapping[str, Deed]] = {
    "reach": storage.reach,
    "folder": storage.prepare,
    "leases": storage.make_leases,
    "disk": disk.make_disk,
    "files": files.write_files,
    "bridge": files.make_bridge,
    "firewall": files.open_firewall,
    "seed": disk.make_seed,
    "domain": domain.define,
    "daemons": daemons.start,
    "install": vm.install,
    "engine": make_operational,
    "shutdown": _shut_down_and_stop,
    "tell": telling.tell,
    "services": daemons.enable,
}
FURTHER: Final[Mapping[str, Deed]] = {
    "reach": storage.reach,
    "files": files.write_files,
    "bridge": files.make_bridge,
    "firewall": files.open_firewall,
    "domain": domain.define,
    "engine": make_operational,
    "enlist": telling.enlist,
    "services": daemons.enable,
}


def carry_out(course: Course, stages: Sequence[Stage], deeds: Mapping[str, Deed]) -> None:
    """
    Carry the stages out.

    Raises:
        DeployError: a stage failed, or a signal came; what was made is undone, but for what the
            message names. After the stage that tells other hosts, nothing is undone.
    """
    stage = stages[0]
    with _signals_interrupt():
        try:
            for stage in stages:
                course.people.info(stage.title)
                deeds[stage.name](course)
        except (HeFsmError, OSError) as error:
            raise _ended(course, stage, cause_of(error)) from error
        except InterruptedDeployment as error:
            raise _ended(course, stage, f"interrupted by {error}") from error


def _ended(course: Course, stage: Stage, why: str) -> DeployError:
    said = f"{stage.title}: {why}"
    if course.is_committed:
        return DeployError(
            f"{said}\nThis host is deployed, and stays so; only this last step is missing:"
            f" {'; '.join(stage.does)}"
        )
    course.people.info("Undoing what was made")
    left = undone(course.journal)
    if left:
        said += "\nWhat is left:\n" + "\n".join(f"  {line}" for line in left)
        return DeployError(f"{said}\nThe next run of this command tries again to undo that")
    return DeployError(f"{said}\nNothing is left of this deployment; it can be started again")


def undone(journal: Journal) -> list[str]:
    """Undo what a journal says; return what is left. No signal interrupts it."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in _STOPS}
    try:
        return journal.undo(undo)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Make the signals that end a command raise an error in it, so that it can undo."""

    def stop(number: int, _frame: Optional[FrameType]) -> None:
        raise InterruptedDeployment(number)

    before = {number: signal.signal(number, stop) for number in _STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
