"""The stages of the storage: it is reached, prepared, and has leases and a whiteboard."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from he_fsm.deploy.asking.about_storage import NFS
from he_fsm.deploy.asking.question import Values
from he_fsm.deploy.carrying.course import Course, ran
from he_fsm.deploy.carrying.journal import Journal
from he_fsm.deploy.planning.places import Places
from he_fsm.errors import DeployError, LeaseMissingError
from he_fsm.runtime import registry
from he_fsm.runtime.kinds import LeaseKind
from he_fsm.runtime.storage.direct_file import DirectFile
from he_fsm.runtime.storage.set_up import set_up
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile

FSTAB: Final = Path("/etc/fstab")
# A server that is not there is given up by mount after two minutes.
_MOUNT_S: Final = 150.0
# sanlock and libvirt have users of their own, which go through it; the files in it are private.
_SHARED: Final = 0o2775
_PROBE: Final = ".he-fsm-probe"
_GIB: Final = 1 << 30
# Room for leases, whiteboard and definitions beside the VM's disk.
_BESIDE_BYTES: Final = 64 << 20
_ISCSI: Final = "open-iscsi (iscsi-initiator-utils)"


def reach(course: Course) -> None:
    """Mount or log in, where the storage is another machine's and that was not done yet."""
    connect(course.values, course.places, course.journal)


def connect(values: Values, places: Places, journal: Journal) -> None:
    """
    Mount or log in, where the storage is another machine's; nothing happens where it is there.

    Raises:
        DeployError: the server refuses, or what is needed for it is not installed.
    """
    if places.mounted:
        _mount(values, places, journal)
    if values["storage_type"] == "iscsi" and not Path(str(places.device)).exists():
        _log_in(values, journal)
    if values["storage_type"] in ("iscsi", "fc"):
        for path in filter(None, (places.device, places.disk)):
            if not Path(path).is_block_device():
                msg = f"the LUN is not visible here: there is no {path}"
                raise DeployError(msg)


def _mount(values: Values, places: Places, journal: Journal) -> None:
    folder = Path(places.folder)
    if folder.is_mount():
        return
    for each in reversed([each for each in (folder, *folder.parents) if not each.exists()]):
        journal.will("folder", path=str(each))
        each.mkdir(mode=0o755)
    kind = "nfs" if values["storage_type"] in NFS else "glusterfs"
    version = {"nfs3": "vers=3", "nfs4": "vers=4"}.get(str(values["storage_type"]), "")
    options = ",".join(filter(None, (version, str(values.get("mount_options", "")), "_netdev")))
    package = "nfs-common (nfs-utils)" if kind == "nfs" else "glusterfs-client (glusterfs-fuse)"
    journal.will("mount", path=str(folder))
    words = ["mount", "-t", kind, "-o", options, places.mounted, str(folder)]
    ran(words, within_s=_MOUNT_S, package=package)
    line = f"{places.mounted} {folder} {kind} {options} 0 0\n"
    journal.will("line", path=str(FSTAB), line=line)
    with FSTAB.open("a", encoding="utf-8") as file:
        file.write(line)


def _log_in(values: Values, journal: Journal) -> None:
    target, port = str(values["iscsi_target"]), values["iscsi_port"]
    for address in str(values["storage"]).split(","):
        portal = f"{address}:{port}"
        found = ran(
            ["iscsiadm", "-m", "discovery", "-t", "sendtargets", "-p", portal], package=_ISCSI
        )
        if target not in found.split():
            msg = f"the portal {portal} has no target {target}; it has {found.strip() or 'none'}"
            raise DeployError(msg)
        node = ["iscsiadm", "-m", "node", "-T", target, "-p", portal]
        journal.will("login", target=target, portal=portal)
        ran([*node, "--login"], package=_ISCSI)
        ran([*node, "--op", "update", "-n", "node.startup", "-v", "automatic"], package=_ISCSI)


def prepare(course: Course) -> None:
    """Make the folder, or see that the device is empty; there must be no deployment yet."""
    if course.places.device is not None:
        _check_device(course, course.places.device)
        return
    folder = Path(course.places.folder)
    course.make_folder(folder, _SHARED)
    _check_folder(course, folder)


def _check_folder(course: Course, folder: Path) -> None:
    places = course.places
    for path in (places.whiteboard, places.leases, places.disk, places.told, places.definition):
        if path and Path(path).exists():
            msg = (
                f"{path} is there already, and no first host has told what it is: remove it if"
                " nobody needs it, or take another folder"
            )
            raise DeployError(msg)
    probe = folder / _PROBE
    course.journal.will("file", path=str(probe))
    try:
        probe.write_bytes(b"he-fsm".ljust(4096, b"\0"))
        if not DirectFile(probe).read_beginning(4096).startswith(b"he-fsm"):
            msg = f"{folder}: what was written is not read again"
            raise DeployError(msg)
        probe.unlink()
        room = os.statvfs(folder)
    except OSError as error:
        msg = f"{folder} can't be written: {error.strerror}"
        raise DeployError(msg) from error
    free, needed = room.f_bavail * room.f_frsize, _BESIDE_BYTES
    if places.disk:
        needed += int(course.values["disk_gb"]) * _GIB
    if free < needed:
        msg = (
            f"{folder} has {free / _GIB:.1f} GiB free, and {needed / _GIB:.1f} GiB are needed: take"
            " a smaller --disk-gb, or make room"
        )
        raise DeployError(msg)


def _check_device(course: Course, device: str) -> None:
    wanted = course.places.device_bytes(int(course.values["hosts"]))
    check_empty(device, wanted, wanted)


def check_empty(device: str, wanted: int, looked_at: int) -> None:
    """
    See that a block device is large enough, and that its beginning holds nothing.

    Raises:
        DeployError: it is smaller, or holds something that somebody may need.
    """
    try:
        with Path(device).open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(0)
            begins = file.read(min(looked_at, size))
    except OSError as error:
        msg = f"{device} can't be read: {error.strerror}"
        raise DeployError(msg) from error
    if size < wanted:
        msg = f"{device} has {size >> 20} MiB, and {-(-wanted >> 20)} MiB are needed"
        raise DeployError(msg)
    if begins.strip(b"\0"):
        msg = (
            f"{device} holds something: if nobody needs it, wipefs --all {device} and"
            f" dd if=/dev/zero of={device} bs=1M count={-(-looked_at >> 20)}"
        )
        raise DeployError(msg)


def make_leases(course: Course) -> None:
    """Write leases and whiteboard, in global maintenance, and read them again."""
    places, config = course.places, course.config
    if places.device is not None:
        used = places.device_bytes(int(course.values["hosts"]))
        course.journal.will("blank", path=places.device, bytes=used)
    else:
        kind = "tree" if course.values["leases"] == "embedded" else "file"
        course.journal.will(kind, path=places.leases)
        course.journal.will("file", path=places.whiteboard)
    if course.values["hypervisor"] == "embedded":
        course.journal.will("file", path=f"{places.folder}/witness.log")
        course.journal.will("file", path=f"{places.folder}/witness")
    for line in set_up(config, int(course.values["hosts"])):
        course.people.info(f"  {line}")
    # Until the engine is installed, no agent may act by itself.
    WhiteboardFile(config.storage.whiteboard, config.storage.offset).write_global(True)
    _verify(course)


def _verify(course: Course) -> None:
    kind: LeaseKind = registry.load(registry.LEASES, course.config.leases)
    if kind.stored is None:
        return
    stored = kind.stored(course.config)
    holder = stored.engine()
    if holder is not None:
        msg = f"the engine's lease, just written, is held by host {holder[0]}: somebody else writes"
        raise DeployError(msg)
    try:
        mark = stored.host_id(course.host_id)
    except LeaseMissingError:
        # Embedded leases make the file of a host id when it is taken.
        return
    if mark is not None:
        msg = f"host id {course.host_id}, just written, is held: somebody else writes there"
        raise DeployError(msg)
