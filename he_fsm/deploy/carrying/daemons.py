"""Broker and agent of this host during a deployment, and the units after it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import psutil

from he_fsm.deploy.carrying.course import Course, ran
from he_fsm.deploy.planning.stages import UNITS
from he_fsm.errors import BrokerError, DeployError, HeFsmError, cause_of
from he_fsm.files.whole import write_whole
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.words import span_text

_LOOK_S: Final = 0.2
_ANSWERS_S: Final = 10.0
# A daemon ends within seconds; the agent waits for a pass that is under way.
ENDS_S: Final = 60.0
_START: Final = "from he_fsm.cli.daemons import {0}; {0}()"
_NAMES: Final = ("broker", "agent")
_LOG: Final = "deploy-{}.log"
_LOG_MODE: Final = 0o640


def broker_of(course: Course) -> BrokerClient:
    """Return the client of this host's broker."""
    return BrokerClient(str(course.config.broker_socket), _ANSWERS_S)


def start(course: Course) -> None:
    """
    Start broker and agent, and wait until this host has its id.

    Global maintenance is on, so they start nothing. Where systemd runs, it starts them, with the
    user and the rights that the units name; elsewhere they are this user's processes until the
    deployment is over.

    Raises:
        DeployError: they don't come up in time; with what they have said last.
    """
    if course.outline.has_systemd:
        course.journal.will("units", units=list(UNITS))
        ran(["systemctl", "start", *UNITS])
        _await_joined(course, {})
    else:
        course.journal.will("processes", config=course.own.config)
        _await_joined(course, {name: _spawn(course, name) for name in _NAMES})


def _spawn(course: Course, name: str) -> subprocess.Popen[bytes]:
    path = log_path(course, name)
    if not path.exists():
        course.journal.will("file", path=str(path))
    try:
        write_whole(path, b"", mode=_LOG_MODE)
        with path.open("ab") as log:
            return subprocess.Popen(  # noqa: S603 - this interpreter and this package
                [sys.executable, "-c", _START.format(name), "--config", course.own.config],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                # Ctrl-C is for the deployment, which ends them in their order.
                start_new_session=True,
            )
    except OSError as error:
        msg = f"the {name} can't be started: {cause_of(error)}"
        raise DeployError(msg) from error


def log_path(course: Course, name: str) -> Path:
    """Return where a daemon logs during the deployment, where systemd does not run."""
    return Path(course.own.state_dir) / _LOG.format(name)


def _await_joined(course: Course, ours: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """Wait until the agent reports and this host has its id; *ours*: what was started here."""
    broker = broker_of(course)
    ends_at = time.monotonic() + course.limits.join_s
    said = "nothing yet"
    while time.monotonic() < ends_at:
        try:
            status = broker.status()
        except HeFsmError as error:
            said = str(error)
        else:
            said = _why_not_joined(status)
            if not said:
                return
        _see_that_they_live(course, ours)
        time.sleep(_LOOK_S)
    limit = span_text(course.limits.join_s)
    msg = f"this host did not get its host id {course.host_id} within {limit}: {said}"
    raise DeployError(msg)


def _why_not_joined(status: dict[str, Any]) -> str:
    lease, agent = status["lease"], status["agent"]
    if lease is None:
        return "the lease manager does not answer"
    if lease["held_by_other"]:
        return f"host id {status['host_id']} is held by another host"
    if not lease["joined"]:
        return "the host id is not held yet"
    if agent.get("state") is None or agent.get("age_s") is None:
        return "the agent has not reported yet"
    return ""


def _see_that_they_live(course: Course, ours: Mapping[str, subprocess.Popen[bytes]]) -> None:
    """
    Raise an error where a daemon of ours has ended by itself; its log says why.

    The table of processes is not asked: one that has just begun has no command line there yet.
    """
    for name, process in ours.items():
        if process.poll() is not None:
            said = log_path(course, name).read_text(encoding="utf-8", errors="replace").split("\n")
            last = next((line for line in reversed(said) if line.strip()), "it says nothing")
            msg = f"the {name} has ended: {last.strip()}"
            raise DeployError(msg)


def stop(course: Course) -> None:
    """End the daemons of the deployment, the agent first; a VM would run on."""
    if course.outline.has_systemd:
        ran(["systemctl", "stop", *reversed(UNITS)], within_s=ENDS_S)
    else:
        end_processes(course.own.config)


def end_processes(config: str) -> None:
    """
    End the daemons that run with a configuration, the agent first.

    Raises:
        DeployError: one does not end.
    """
    found = dict(_processes(config))
    for name in reversed(_NAMES):
        process = found.get(name)
        if process is None:
            continue
        try:
            process.terminate()
            process.wait(ENDS_S)
        except psutil.NoSuchProcess:
            continue
        except psutil.TimeoutExpired as error:
            msg = f"the {name} does not end: kill {process.pid}"
            raise DeployError(msg) from error


def _processes(config: str) -> Iterator[tuple[str, psutil.Process]]:
    """Yield the daemons that run with a configuration: ours, and those of an earlier run."""
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            lives = process.status() != psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        for name in _NAMES:
            if lives and _START.format(name) in words and config in words:
                yield name, process


def enable(course: Course) -> None:
    """Have systemd start the daemons, now and at each boot; or say what has to be started."""
    if course.outline.has_systemd:
        ran(["systemctl", "enable", "--now", *UNITS], within_s=ENDS_S)
        _await_takeover(course)
        return
    config = course.own.config
    course.people.text(
        "systemd does not run here: start the daemons by your own means, now and at each boot:\n"
        f"    he-fsm-broker --config {config}\n    he-fsm-agent --config {config}"
    )


def _await_takeover(course: Course) -> None:
    """Wait until the agent has the engine up; nothing is undone where it takes longer."""
    broker = broker_of(course)
    ends_at = time.monotonic() + course.limits.takeover_s
    said = "the agent has not reported"
    while time.monotonic() < ends_at:
        try:
            report = broker.last_report()
        except BrokerError as error:
            said = str(error)
        else:
            said = f"{report.get('state')}: {report.get('why')}"
            if not course.is_first and report.get("state") is not None:
                return
            if report.get("health") == "good":
                course.people.info("The engine is up, as a monitored service")
                return
        time.sleep(_LOOK_S)
    limit = span_text(course.limits.takeover_s)
    msg = f"the engine is not up after {limit}: {said} (he-fsm status, he-fsm doctor)"
    raise DeployError(msg)
