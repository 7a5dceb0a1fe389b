"""Where things are: on the storage that the hosts share, and on this host."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Final, Optional

import attrs

from he_fsm.deploy.asking.about_storage import NETWORKED
from he_fsm.deploy.asking.question import Values
from he_fsm.metadata.definition import AREA_BYTES, AREAS
from he_fsm.metadata.layout import SLOT_BYTES

MIB: Final = 1 << 20
# On a block device: two areas of leases, then what is told to further hosts, then the whiteboard.
_LEASES_BYTES: Final = 2 * MIB
_TOLD_AT: Final = _LEASES_BYTES
_BOARD_AT: Final = _TOLD_AT + AREAS * AREA_BYTES


@attrs.frozen(kw_only=True)
class Places:
    """
    The storage that the hosts share.

    `folder`: what the configuration calls `storage.path`. `device`: the block device of leases,
    whiteboard and what is told; None: they are files in the folder. `told` and `told_at` (bytes):
    what further hosts read. `disk`: the VM's; empty: it has none of ours. `definition`: that of a
    domain of libvirt. `mounted`: what is mounted at the folder; empty: nothing.
    """

    folder: str
    device: Optional[str] = None
    whiteboard: str
    board_at: int = 0
    leases: str
    told: str
    told_at: int = 0
    disk: str = ""
    definition: str = ""
    mounted: str = ""

    def device_bytes(self, hosts: int) -> int:
        """Return how many bytes of the block device are used; 0: there is none."""
        return 0 if self.device is None else self.board_at + SLOT_BYTES * (hosts + 1)


def lun_path(lun: str) -> str:
    """Return the path of a LUN, by multipath or without it, as udev names it."""
    return f"/dev/disk/by-id/scsi-{lun}"


def places_of(values: Values, state_dir: str) -> Places:
    """
    Return where everything is.

    Args:
        values: the settled answers.
        state_dir: this host's own folder; where leases and whiteboard are on a block device, it
            stands for the folder that a configuration has to name.
    """
    kind = str(values["storage_type"])
    has_vm = values["hypervisor"] in ("qemu", "libvirt")
    if kind in ("block", "iscsi", "fc"):
        is_lun = kind != "block"
        device = lun_path(str(values["lun"])) if is_lun else str(values["storage"])
        disk = str(values.get("vm_device", ""))
        if is_lun and "vm_lun" in values:
            disk = lun_path(str(values["vm_lun"]))
        return Places(
            folder=state_dir,
            device=device,
            whiteboard=device,
            board_at=_BOARD_AT,
            leases=device,
            told=device,
            told_at=_TOLD_AT,
            disk=disk if has_vm else "",
        )
    mounted = str(values["storage"]) if kind in NETWORKED else ""
    folder = PurePosixPath(str(values.get("mount_point") or values["storage"]))
    is_embedded = values["leases"] == "embedded"
    return Places(
        folder=str(folder),
        whiteboard=str(folder / "whiteboard"),
        leases=str(folder / ("leases" if is_embedded else "sanlock")),
        told=str(folder / "deployment"),
        disk=str(folder / "engine.raw") if has_vm else "",
        definition=str(folder / "vm.definition") if values["hypervisor"] == "libvirt" else "",
        mounted=mounted,
    )


def told_beside(places: Places, board_at: int) -> Places:
    """Return places on a block device, whose whiteboard begins at *board_at* (bytes)."""
    told_at = board_at - AREAS * AREA_BYTES
    device = places.whiteboard
    return attrs.evolve(places, device=device, told=device, told_at=told_at, board_at=board_at)


@attrs.frozen(kw_only=True)
class Own:
    """This host's own files and folders; all are absolute."""

    config: str = "/etc/he-fsm/he-fsm.yaml"
    run_dir: str = "/run/he-fsm"
    state_dir: str = "/var/lib/he-fsm"
    ovirt_dir: str = "/etc/ovirt-hosted-engine"

    @property
    def secret(self) -> str:
        """Return the file of the secret that all hosts have, for migrations."""
        return str(PurePosixPath(self.config).with_name("move.secret"))

    @property
    def journal(self) -> str:
        """Return the file that says what a deployment has made so far."""
        return str(PurePosixPath(self.state_dir) / "deployment.json")

    @property
    def answers(self) -> str:
        """Return the file that keeps the answers of a dialogue until its deployment has ended."""
        return str(PurePosixPath(self.state_dir) / "deployment.answers")

    @property
    def seed(self) -> str:
        """Return the file of the medium by which cloud-init configures the VM, once."""
        return str(PurePosixPath(self.run_dir) / "seed.iso")
