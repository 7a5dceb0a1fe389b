"""The stages of this host's own files, its bridge and its firewall."""

from __future__ import annotations

import os
import pwd
import secrets
from pathlib import Path
from typing import Final

from he_fsm.deploy.carrying.course import PRIVATE, Course, ran
from he_fsm.deploy.carrying.machine import connections
from he_fsm.deploy.planning.ovirt_files import answers_conf, hosted_engine_conf, vm_conf
from he_fsm.deploy.planning.stages import UNITS, drop_in, drop_in_path
from he_fsm.errors import DeployError
from he_fsm.files.whole import write_whole

_SECRET_BYTES: Final = 32
# oVirt's own modes: scripts read these two, and the original sources one.
_CONF: Final = 0o440
_USER: Final = "he-fsm"
# What a migration needs: the agents' own port, and what they choose; see docs/qemu.md.
_PORTS: Final = ("8703/tcp", "32768-60999/tcp")
_LIBVIRT_PORTS: Final = ("16514/tcp", "49152-49215/tcp")


def write_files(course: Course) -> None:
    """Write the configuration and oVirt's files, each as a whole."""
    values, own = course.values, course.own
    for folder in (own.state_dir, own.run_dir, str(Path(own.config).parent)):
        course.make_folder(Path(folder))
    for folder in (own.state_dir, own.run_dir):
        kept = sorted({path.name for path in Path(folder).iterdir()} | {Path(own.journal).name})
        course.journal.will("contents", path=folder, kept=kept)
    course.make_folder(Path(own.ovirt_dir), 0o755)
    if _has_secret(course):
        _write_secret(course)
    text = course.installing_text if course.is_first else course.final_text
    write(course, Path(own.config), text, PRIVATE)
    ovirt = Path(own.ovirt_dir)
    xml = course.domain_xml or None
    write(course, ovirt / "vm.conf", vm_conf(values, course.places.disk, xml), PRIVATE)
    write(course, ovirt / "answers.conf", answers_conf(values), PRIVATE)
    _write_drop_ins(course)
    conf = hosted_engine_conf(values, own, course.host_id)
    write(course, ovirt / "hosted-engine.conf", conf, _CONF)


def write(course: Course, path: Path, text: str, mode: int) -> None:
    """
    Replace a file of this host, for the daemons' group.

    Raises:
        DeployError: it can't be written; what was there stays.
    """
    if not path.exists():
        course.journal.will("file", path=str(path))
    try:
        write_whole(path, text.encode(), mode=mode)
        course.give(path)
    except OSError as error:
        msg = f"{path} can't be written: {error.strerror}"
        raise DeployError(msg) from error


def _write_drop_ins(course: Course) -> None:
    """Allow the units to use the storage, where it is not where they expect it."""
    text = drop_in(course.places)
    if not course.outline.has_systemd or not text:
        return
    for unit in UNITS:
        path = Path(drop_in_path(unit))
        course.make_folder(path.parent, 0o755)
        write(course, path, text, 0o644)
    ran(["systemctl", "daemon-reload"])


def _has_secret(course: Course) -> bool:
    return str(course.values.get("peers", "")).startswith("tcp:")


def _write_secret(course: Course) -> None:
    """Write the secret of migrations: a new one on the first host, and the same on all others."""
    if not course.told.secret:
        new = secrets.token_urlsafe(_SECRET_BYTES)
        course.told = course.told.with_secret(new)
    path = Path(course.own.secret)
    write(course, path, course.told.secret + "\n", 0o600)
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam(_USER)
        except KeyError:
            # The daemons run as root here.
            return
        os.chown(path, user.pw_uid, user.pw_gid)


def make_bridge(course: Course) -> None:
    """Make the management bridge on the card that was named; NetworkManager does it."""
    bridge, card = str(course.values["bridge"]), str(course.values["bridge_nic"])
    port = f"{bridge}-{card}"
    add = ["nmcli", "connection", "add", "type"]
    try:
        # Where NetworkManager does not run, nothing is to be undone.
        _check_new(bridge, port)
        course.journal.will("connection", name=bridge)
        ran([*add, "bridge", "ifname", bridge, "con-name", bridge])
        course.journal.will("connection", name=port)
        ran([*add, "ethernet", "ifname", card, "con-name", port, "master", bridge])
        ran(["nmcli", "connection", "up", bridge])
    except DeployError as error:
        msg = (
            f"the bridge {bridge} can't be made on {card}: {error}; make it by the means of your"
            " system (netplan, systemd-networkd, ifupdown), or give --bridge the one that is there"
        )
        raise DeployError(msg) from error


def _check_new(*names: str) -> None:
    """See that NetworkManager has no connection of these names, which an undo would remove."""
    known = connections()
    for name in names:
        if name in known:
            msg = f"NetworkManager has a connection {name} already"
            raise DeployError(msg)


def open_firewall(course: Course) -> None:
    """Open the ports of migrations in firewalld, now and after a reboot."""
    is_libvirt = course.values["hypervisor"] == "libvirt"
    ports = _LIBVIRT_PORTS if is_libvirt else _PORTS
    for when in ((), ("--permanent",)):
        # What somebody has opened before stays open when this is undone.
        is_open = ran(["firewall-cmd", *when, "--list-ports"], package="firewalld").split()
        closed = [port for port in ports if port not in is_open]
        course.journal.will("ports", ports=closed, when=list(when))
        for port in closed:
            ran(["firewall-cmd", *when, f"--add-port={port}"])
