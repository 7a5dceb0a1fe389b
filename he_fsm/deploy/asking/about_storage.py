"""Questions about what runs the VM, and about the storage that the hosts share."""

from __future__ import annotations

from typing import Final

from he_fsm.deploy.asking import readers
from he_fsm.deploy.asking.conditions import SERVICES, has_vm, unless, when
from he_fsm.deploy.asking.question import Look, Machine, Question, Section, Values
from he_fsm.deploy.asking.readers import Reader, Value

HYPERVISORS: Final = ("qemu", "libvirt", *SERVICES, "vdsm", "embedded")
NFS: Final = ("nfs", "nfs3", "nfs4")
NETWORKED: Final = (*NFS, "glusterfs")
STORAGES: Final = ("glusterfs", "nfs", "iscsi", "fc", "directory", "block")
_MOUNT_POINT: Final = "/srv/he-fsm"
_CONNECTIONS: Final = {
    **dict.fromkeys(NFS, readers.remote_path),
    "glusterfs": readers.gluster_path,
    "directory": readers.path,
    "block": readers.device,
    "iscsi": readers.portals,
}


def _connection_of(values: Values) -> Reader:
    return _CONNECTIONS.get(str(values["storage_type"]), readers.path)


def _leases(values: Values, _: Machine) -> Value:
    return "embedded" if values["hypervisor"] == "embedded" else "sanlock"


OF_HOST: Final = (
    Question(
        key="host_id",
        section=Section.STORAGE,
        prompt="Please specify the host id of this host",
        read=readers.whole(1, 2000),
        default="",
        is_optional=True,
        is_asked=False,
        ovirt="OVEHOSTED_STORAGE/hostID",
    ),
    Question(
        key="hostname",
        section=Section.STORAGE,
        prompt="Please specify the name by which other hosts reach this one",
        read=readers.hostname,
        default=lambda _, machine: machine.hostname,
        is_asked=False,
        label="Host name",
    ),
    Question(
        key="hypervisor",
        section=Section.STORAGE,
        prompt="Please specify what runs the VM, or the service, on this host (qemu, libvirt,"
        " command, systemd)",
        read=readers.one_of(*HYPERVISORS),
        default=lambda _, machine: machine.hypervisors[0] if machine.hypervisors else "qemu",
        label="Hypervisor",
    ),
    Question(
        key="leases",
        section=Section.STORAGE,
        prompt="Please specify the leases (embedded, sanlock)",
        read=readers.one_of("embedded", "sanlock"),
        default=_leases,
        is_asked=False,
        label="Leases",
    ),
)
OF_STORAGE: Final = (
    Question(
        key="storage_type",
        section=Section.STORAGE,
        prompt=f"Please specify the storage you would like to use ({', '.join(STORAGES)})",
        read=readers.one_of(*STORAGES, "nfs3", "nfs4"),
        default="directory",
        ovirt="OVEHOSTED_STORAGE/domainType",
        label="Storage type",
    ),
    Question(
        key="storage",
        section=Section.STORAGE,
        prompt="Please specify the full shared storage connection path to use"
        " (example: host:/path)",
        read_by=_connection_of,
        ovirt="OVEHOSTED_STORAGE/storageDomainConnection",
        label="Storage connection",
        look=Look.DEVICE,
        look_if=when("storage_type", "block"),
        applies=unless("storage_type", "fc"),
    ),
    Question(
        key="iscsi_port",
        section=Section.STORAGE,
        prompt="Please specify the iSCSI portal's port",
        read=readers.whole(1, 65535),
        default=3260,
        ovirt="OVEHOSTED_STORAGE/iSCSIPortalPort",
        applies=when("storage_type", "iscsi"),
    ),
    Question(
        key="iscsi_target",
        section=Section.STORAGE,
        prompt="Please specify the iSCSI target",
        read=readers.target,
        ovirt="OVEHOSTED_STORAGE/iSCSITargetName",
        label="iSCSI target",
        applies=when("storage_type", "iscsi"),
    ),
    Question(
        key="lun",
        section=Section.STORAGE,
        prompt="Please specify the LUN for leases and whiteboard, by its id",
        read=readers.word,
        ovirt="OVEHOSTED_STORAGE/LunID",
        label="LUN of the leases",
        applies=when("storage_type", "iscsi", "fc"),
    ),
    Question(
        key="vm_lun",
        section=Section.STORAGE,
        prompt="Please specify another LUN for the VM's disk, by its id",
        read=readers.word,
        label="LUN of the VM",
        applies=when("storage_type", "iscsi", "fc"),
    ),
    Question(
        key="vm_device",
        section=Section.STORAGE,
        prompt="Please specify another block device for the VM's disk",
        read=readers.device,
        label="Device of the VM",
        look=Look.DEVICE,
        applies=lambda values, machine: (
            values.get("storage_type") == "block" and has_vm(values, machine)
        ),
    ),
    Question(
        key="mount_point",
        section=Section.STORAGE,
        prompt="Please specify where it is mounted, the same on every host",
        read=readers.path,
        default=_MOUNT_POINT,
        label="Mount point",
        applies=when("storage_type", *NETWORKED),
    ),
    Question(
        key="mount_options",
        section=Section.STORAGE,
        prompt="Please specify mount options",
        read=readers.line,
        default="",
        is_optional=True,
        is_asked=False,
        ovirt="OVEHOSTED_STORAGE/mntOptions",
        applies=when("storage_type", *NETWORKED),
    ),
    Question(
        key="hosts",
        section=Section.STORAGE,
        prompt="Please specify for how many hosts the whiteboard has room",
        read=readers.whole(1, 2000),
        default=64,
        is_asked=False,
    ),
)
