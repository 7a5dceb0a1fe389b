"""Taking a host with vdsm over from oVirt's agents; its VM, storage and files stay as they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import psutil

from he_fsm.deploy.asking.question import Machine
from he_fsm.deploy.carrying import daemons
from he_fsm.deploy.carrying.course import PRIVATE, Course, Limits, People, parsed, ran
from he_fsm.deploy.carrying.files import write
from he_fsm.deploy.carrying.journal import Journal
from he_fsm.deploy.planning.config import as_yaml, merged
from he_fsm.deploy.planning.places import Own, Places
from he_fsm.deploy.planning.stages import UNITS, Outline
from he_fsm.deploy.planning.takeover import THEIR_UNITS, config_of_ovirt
from he_fsm.deploy.planning.told import Fitness, Told
from he_fsm.document.nodes import refused_as
from he_fsm.errors import ConfigError, DeployError, HeFsmError
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime.config import Config
from he_fsm.runtime.config.outside import OvirtConfig
from he_fsm.runtime.config.ovirt.files import deployment_of
from he_fsm.runtime.parts import findings
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile


def takeover_of(  # noqa: PLR0913 - one for each part
    own: Own,
    settings: Mapping[str, Any],
    journal: Journal,
    people: People,
    limits: Limits,
    *,
    has_systemd: bool,
) -> Course:
    """
    Return the course of a takeover; nothing is touched yet.

    Raises:
        HeFsmError: oVirt's installer has not finished here, or something is missing.
    """
    with refused_as(ConfigError):
        found = deployment_of(OvirtConfig(setup_dir=Path(own.ovirt_dir)))
    plain = config_of_ovirt({key: value.text for key, value in found.items()}, own)
    plain = merged(plain, settings.get("config", {}))
    config = parsed(as_yaml(plain), own)
    _check(config, people)
    values = {"hypervisor": "vdsm", "hostname": config.host.hostname}
    storage = Places(
        folder=str(config.storage.path),
        whiteboard=str(config.storage.whiteboard),
        leases="",
        told="",
    )
    return Course(
        outline=Outline(
            values=values, places=storage, own=own, machine=Machine(), has_systemd=has_systemd
        ),
        host_id=config.host.id,
        plain=plain,
        settings=dict(settings),
        told=Told(answers="", settings={}, hosts={}),
        fitness=Fitness(hostname=config.host.hostname),
        journal=journal,
        people=people,
        limits=limits,
        # Nobody is installed: our agent adopts a VM that is here.
        is_first=False,
    )


def _check(config: Config, people: People) -> None:
    """See that vdsm, the VM's definition and the whiteboard are there, and this host's slot."""
    fatal = []
    for finding in findings(config):
        if finding.is_fatal:
            fatal.append(str(finding))
        else:
            people.info(f"note: {finding}")
    try:
        data = WhiteboardFile(config.storage.whiteboard, config.storage.offset).read()
        board = Whiteboard.parse(data)
    except HeFsmError as error:
        fatal.append(str(error))
    else:
        if config.host.id not in board.records:
            fatal.append(
                f"oVirt's agents have never written slot {config.host.id} of the whiteboard: start"
                " them once (systemctl start ovirt-ha-agent), and see hosted-engine --vm-status"
            )
    if fatal:
        raise DeployError("this host can't be taken over: " + "; ".join(fatal))


def write_config(course: Course) -> None:
    """Write our configuration; oVirt's files stay."""
    own = course.own
    for folder in (own.state_dir, own.run_dir, str(Path(own.config).parent)):
        course.make_folder(Path(folder))
    write(course, Path(own.config), course.final_text, PRIVATE)


def stop_theirs(course: Course) -> None:
    """
    Stop and disable oVirt's agents; the VM is vdsm's, and runs on.

    Raises:
        DeployError: they run still.
    """
    if course.outline.has_systemd:
        course.journal.will("theirs", units=list(THEIR_UNITS))
        words = ["systemctl", "disable", "--now", *reversed(THEIR_UNITS)]
        ran(words, within_s=daemons.ENDS_S)
    running = sorted(set(_running()))
    if running:
        # safety: two agents would write one slot, and order the same vdsm about.
        msg = f"{' and '.join(running)} run here still: stop them first"
        raise DeployError(msg)


def _running() -> list[str]:
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
        names = {Path(word).name for word in words[:2]}
        found += [unit for unit in THEIR_UNITS if unit in names]
    return found


def start_ours(course: Course) -> None:
    """Start our daemons, and wait until the agent has reported; if it does not, all is undone."""
    if course.outline.has_systemd:
        course.journal.will("enabled", units=list(UNITS))
    daemons.enable(course)
    course.is_committed = True
    course.journal.close()


DEEDS: Final = {"files": write_config, "theirs": stop_theirs, "services": start_ours}
