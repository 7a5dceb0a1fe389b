"""The reverse of a deployment: a host gives back what it has of its cluster."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final

from he_fsm.deploy.carrying.course import People, ran
from he_fsm.deploy.carrying.daemons import ENDS_S
from he_fsm.deploy.carrying.telling import read_told, write_told
from he_fsm.deploy.planning.config import is_own_config
from he_fsm.deploy.planning.ovirt_files import is_own_answers
from he_fsm.deploy.planning.places import Own, Places, told_beside
from he_fsm.deploy.planning.stages import UNITS, drop_in_path
from he_fsm.errors import DeployError, HeFsmError, LeaseMissingError
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime import registry
from he_fsm.runtime.config import Config
from he_fsm.runtime.kinds import LeaseKind
from he_fsm.runtime.parts import make_access
from he_fsm.runtime.service.lock import Claim
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile

_LOOK_S: Final = 0.2
_OVIRT: Final = ("hosted-engine.conf", "vm.conf", "answers.conf")
_LOCKS: Final = ("agent", "broker")


def check_stopped(config: Config) -> None:
    """
    See that neither the daemons nor the VM run here.

    Raises:
        DeployError: they do, or nobody knows.
    """
    try:
        for name in _LOCKS:
            if config.run_dir.is_dir():
                Claim.take(config.run_dir / f"{name}.lock", name).release()
        vm = make_access(config).identity()
    except HeFsmError as error:
        msg = f"this host can't be taken out: {error}"
        raise DeployError(msg) from error
    if vm is not None:
        msg = f"the VM runs here, as process {vm.pid}: start the agent, or he-fsm vm poweroff"
        raise DeployError(msg)


def is_last(config: Config) -> bool:
    """Whether no other host has a slot."""
    board = WhiteboardFile(config.storage.whiteboard, config.storage.offset)
    found = Whiteboard.parse(board.read())
    return {*found.records, *found.problems} <= {config.host.id}


def leave(config: Config, own: Own, people: People, *, has_systemd: bool) -> None:
    """
    Stop the daemons, empty the slot, and remove this host's files; the engine has left before.

    Raises:
        DeployError: a step failed; what was done stays, and the command can be repeated.
    """
    people.info("Stopping the daemons")
    if has_systemd:
        ran(["systemctl", "disable", "--now", *reversed(UNITS)], within_s=ENDS_S)
    _await_stopped(config, people)
    people.info("Clearing the host's slot")
    _clear(config, _places(config))
    people.info("Removing the configuration")
    _remove(own, people)


def _await_stopped(config: Config, people: People) -> None:
    """Wait until the daemons have ended; where systemd does not run, somebody has to end them."""
    has_told = False
    ends_at = time.monotonic() + ENDS_S
    while time.monotonic() < ends_at:
        try:
            check_stopped(config)
        except DeployError as error:
            if not has_told:
                people.info(f"waiting: {error}: stop the agent first, then the broker")
                has_told = True
        else:
            break
        time.sleep(_LOOK_S)
    else:
        msg = (
            "the daemons run still: stop he-fsm-agent, then he-fsm-broker, and repeat this command"
        )
        raise DeployError(msg)
    _check_id(config)


def _check_id(config: Config) -> None:
    """See that the host id was given back."""
    kind: LeaseKind = registry.load(registry.LEASES, config.leases)
    if kind.stored is None:
        return
    try:
        mark = kind.stored(config).host_id(config.host.id)
    except LeaseMissingError:
        return
    if mark is not None:
        msg = (
            f"host id {config.host.id} is held still: it is given back by an agent that stops"
            " cleanly; sanlock client status says who holds it"
        )
        raise DeployError(msg)


def _clear(config: Config, places: Places) -> None:
    number = config.host.id
    board = WhiteboardFile(config.storage.whiteboard, config.storage.offset)
    told = read_told(places)
    if told is not None and number in told.hosts:
        write_told(places, told.without_host(number))
    board.write_slot(number, bytes(SLOT_BYTES))


def _places(config: Config) -> Places:
    path = config.storage.path / "deployment"
    whiteboard = str(config.storage.whiteboard)
    places = Places(
        folder=str(config.storage.path), whiteboard=whiteboard, leases="", told=str(path)
    )
    return told_beside(places, config.storage.offset) if config.storage.offset else places


def _remove(own: Own, people: People) -> None:
    """
    Remove the files that a deployment has written here, the configuration last.

    oVirt's own files, and a configuration that somebody has written, stay.
    """
    paths = [Path(own.state_dir) / "memory.json"]
    paths += [path for path in map(Path, map(drop_in_path, UNITS)) if path.exists()]
    try:
        if is_own_answers(_text(Path(own.ovirt_dir) / "answers.conf")):
            paths += [Path(own.ovirt_dir) / name for name in _OVIRT]
        if is_own_config(_text(Path(own.config))):
            paths += [Path(own.secret), Path(own.config)]
        else:
            people.info(f"{own.config} was not written by he-fsm deploy: it stays")
        for path in paths:
            path.unlink(missing_ok=True)
    except OSError as error:
        msg = f"{os.fsdecode(error.filename)} can't be removed: {error.strerror}"
        raise DeployError(msg) from error


def _text(path: Path) -> str:
    """Return the text of a file; empty: there is none."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
