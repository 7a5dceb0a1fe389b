"""The stages in which the VM executes: its guest is installed, and shut down."""

from __future__ import annotations

import time
from typing import Any, Final, Optional

from he_fsm.deploy.carrying.course import Course, parsed
from he_fsm.deploy.carrying.daemons import broker_of
from he_fsm.errors import BrokerError, DeployError, HeFsmError, HypervisorError
from he_fsm.runtime.config import Config
from he_fsm.runtime.parts import make_access
from he_fsm.runtime.ports import Console
from he_fsm.runtime.vm_orders.asking import by_hand_of
from he_fsm.words import span_text

_LOOK_S: Final = 0.2
# For how long a console password is good (seconds). Source: ovirt-hosted-engine-setup, 10800 s.
_PASSWORD_S: Final = 10800
_GONE: Final = "absent"
_GOOD: Final = "good"
_REPLIED: Final = "Engine replied: the health page is good"
# From the order on, the agent shows a VM at once; a pass that is under way comes before (seconds).
_ENDS_S: Final = 60.0


def install(course: Course) -> None:
    """
    Start the VM with its lease, and wait until its health page is good.

    A guest that is installed from a medium ends when the installation is over, and is started again
    then, from its disk.

    Raises:
        DeployError: the VM ended, or the page was not good in time.
    """
    config = parsed(course.installing_text, course.own)
    by_hand = course.values.get("boot") in ("cdrom", "pxe")
    ends_at = time.monotonic() + course.limits.install_s
    course.journal.will("vm", config=course.own.config)
    _start(course, config)
    if by_hand:
        course.people.text(
            "Please install the OS on the VM.\nWhen the installation is completed reboot or"
            " shutdown the VM: the system will wait until then"
        )
    while True:
        if _await_page(course, ends_at):
            return
        if not by_hand:
            during = "start" if course.is_service else "installation"
            msg = f"the {course.noun} ended during the {during}: {_why(course)}"
            raise DeployError(msg)
        is_done = course.people.confirm(
            "Has the OS installation been completed successfully?\nAnswering no will allow you to"
            " reboot from the previously selected boot media. (Yes, No)",
            default=True,
        )
        # Once from the disk: if it ends then, too, the installation has failed.
        by_hand = not is_done
        _start(course, config)
        if is_done:
            course.people.text("Please install the engine in the VM.")


def _start(course: Course, config: Config) -> None:
    try:
        by_hand_of(config).start()
    except HeFsmError as error:
        msg = f"the {course.noun} can't be started: {error}"
        raise DeployError(msg) from error
    course.people.info(f"The {course.noun} is here: waiting for {_page(course)}")
    if course.places.disk:
        _give_password(course, config)


def _give_password(course: Course, config: Config) -> None:
    """Print a password for the screen; it is in no log, and no word of a command."""
    try:
        console: Console = make_access(config).console(_PASSWORD_S)
    except HypervisorError as error:
        course.people.info(f"The VM has no console: {error}")
        return
    where = f"{console.protocol}://{console.address}:{console.port}"
    course.people.text(
        "You can now connect to the VM with the following command:\n"
        f"/bin/remote-viewer {where}\n"
        f'Use temporary password "{console.password}" to connect to {console.protocol} console.\n'
        "If you need to connect again you can get a new password using the command:\n"
        "he-fsm console"
    )


def _await_page(course: Course, ends_at: float) -> bool:
    """Return whether the engine is good; False: the VM has ended. Raises where the time is over."""
    seen = 0
    while time.monotonic() < ends_at:
        report = _report(course)
        if report is not None:
            if report["health"] == _GOOD:
                said = "The service is well" if course.is_service else _REPLIED
                course.people.info(said)
                return True
            # Two looks: the first may be older than the start.
            seen = seen + 1 if report["vm"] == _GONE else 0
            if seen > 1:
                return False
        time.sleep(_LOOK_S)
    limit = span_text(course.limits.install_s)
    if course.is_service:
        msg = f"the service was not well within {limit}: is {_page(course)} the right way to ask?"
    else:
        msg = (
            f"the health page was not good within {limit}: is"
            f" {course.values.get('health_url', 'it')} the right address, and does the guest run?"
        )
    msg += f" {_why(course)}"
    raise DeployError(msg)


def _page(course: Course) -> str:
    """Return by what it is seen that the engine is well."""
    answers = course.values
    return str(answers.get("health_url") or answers.get("service_health") or "its health page")


def _report(course: Course) -> Optional[dict[str, Any]]:
    try:
        report = dict(broker_of(course).last_report())
    except BrokerError:
        # It may be started again; the limit holds all the same.
        return None
    return report if "vm" in report and "health" in report else None


def _why(course: Course) -> str:
    report = _report(course)
    if report is None:
        return "the agent says nothing"
    events = report.get("events") or [{}]
    last = events[-1].get("text") or report.get("why", "")
    return f"the agent's last words: {last}"


def shut_down(course: Course) -> None:
    """Ask the guest to shut down, and wait; raises `DeployError` where it does not."""
    config = parsed(course.installing_text, course.own)
    by_hand_of(config).shut_down()
    course.people.info(f"The system will wait until the {course.noun} is down")
    if not _ends_within(course, course.limits.shutdown_s):
        limit = span_text(course.limits.shutdown_s)
        who = "The service did not stop" if course.is_service else "The guest did not shut down"
        end = "ended" if course.is_service else "powered off"
        course.people.info(f"{who} within {limit}: the {course.noun} is {end}")
        by_hand_of(config).power_off()
        if not _ends_within(course, _ENDS_S):
            msg = f"the {course.noun} does not end: {_why(course)}"
            raise DeployError(msg)
    course.journal.forget("vm")


def _ends_within(course: Course, limit_s: float) -> bool:
    ends_at = time.monotonic() + limit_s
    while time.monotonic() < ends_at:
        report = _report(course)
        if report is not None and report["vm"] == _GONE:
            return True
        time.sleep(_LOOK_S)
    return False


def end(config: Config) -> None:
    """
    End the VM of this host, as an undo; its process is gone on return.

    Raises:
        DeployError: it is not known whether it runs, or it does not end.
    """
    access = make_access(config)
    ends_at = time.monotonic() + _ENDS_S
    try:
        vm = access.identity()
        while vm is not None and time.monotonic() < ends_at:
            access.kill_now(vm)
            time.sleep(_LOOK_S)
            vm = access.identity()
    except (HeFsmError, OSError) as error:
        msg = f"the VM may run here still: {error} (he-fsm vm poweroff)"
        raise DeployError(msg) from error
    if vm is not None:
        msg = f"the VM runs here still, as process {vm.pid} (he-fsm vm poweroff)"
        raise DeployError(msg)
