"""A host that oVirt's installer has set up with vdsm: what he_fsm's agents need there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from he_fsm.deploy.planning.places import Own
from he_fsm.deploy.planning.stages import UNITS, Stage
from he_fsm.errors import DeployError

# oVirt's own agents, which have to stand still while ours run.
THEIR_UNITS: Final = ("ovirt-ha-broker", "ovirt-ha-agent")
# What `hosted-engine.conf` says of the volume that is the whiteboard.
_PLACE: Final = ("sdUUID", "metadata_image_UUID", "metadata_volume_UUID")
_NEEDED: Final = ("host_id", "vmid", "fqdn", *_PLACE)
_VOLUMES: Final = "/run/vdsm/storage"


def config_of_ovirt(deployment: Mapping[str, str], own: Own) -> dict[str, Any]:
    """
    Return the configuration of such a host, as plain values; oVirt's files say all else.

    *deployment*: the values of `hosted-engine.conf`, by key.

    Raises:
        DeployError: oVirt's installer has not finished here.
    """
    missing = [key for key in _NEEDED if not deployment.get(key)]
    if missing:
        msg = (
            f"{own.ovirt_dir}/hosted-engine.conf has no {', '.join(missing)}: a host with vdsm is"
            " set up by oVirt's own installer first (hosted-engine --deploy of"
            " ovirt-hosted-engine-setup); then this command takes it over. qemu and libvirt need"
            " no vdsm"
        )
        raise DeployError(msg)
    volume = "/".join((_VOLUMES, *(deployment[key] for key in _PLACE)))
    return {
        "hypervisor": {"kind": "vdsm"},
        "leases": "vdsm",
        "storage": {"path": f"{own.state_dir}/shared", "whiteboard": volume},
        "run_dir": own.run_dir,
        "state_dir": own.state_dir,
        "ovirt": {"dir": own.ovirt_dir},
    }


def takeover_stages(own: Own, *, has_systemd: bool) -> tuple[Stage, ...]:
    """Return the stages by which our agents take over from oVirt's."""
    theirs, ours = " ".join(reversed(THEIR_UNITS)), " ".join(UNITS)
    stop = f"systemctl disable --now {theirs}"
    start = f"systemctl enable --now {ours}"
    if not has_systemd:
        stop = f"see that {theirs} do not run: systemd does not run here"
        start = f"say that {ours} have to be started"
    return (
        Stage("files", "Writing the configuration", (f"write {own.config}",)),
        Stage("theirs", "Stopping oVirt's agents; the engine runs on", (stop,)),
        Stage("services", "Enabling and starting HA services", (start,)),
    )
