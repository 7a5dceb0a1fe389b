"""The configuration of a host, `he-fsm.yaml`, as the answers make it."""

from __future__ import annotations

import shlex
import signal
from collections.abc import Mapping
from typing import Any, Final

import yaml

from he_fsm.deploy.asking.conditions import SERVICES
from he_fsm.deploy.asking.question import Values
from he_fsm.deploy.planning.places import Own, Places

_HEAD: Final = (
    "# Written by `he-fsm deploy`. What each key means: docs/configuration.md.\n"
    "# All hosts have the same but for `host`.\n"
)


def config_of(values: Values, places: Places, own: Own, host: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return a host's configuration as plain values.

    Args:
        values: the settled answers.
        places: where the storage is.
        own: this host's files.
        host: its id and hostname.
    """
    storage: dict[str, Any] = {"path": places.folder}
    found: dict[str, Any] = {"host": dict(host), "storage": storage, "leases": values["leases"]}
    if places.device is not None:
        storage |= {"whiteboard": places.whiteboard, "offset": places.board_at}
        if values["leases"] == "sanlock":
            found["sanlock"] = {"path": places.leases}
    found["hypervisor"] = _hypervisor(values, places, own)
    memory_mb = values.get("memory_mb", values.get("service_memory_mb"))
    engine: dict[str, Any] = {"memory": memory_mb, "vm_id": values["vm_id"]}
    # None: the process that stands for the VM has its own page, whatever oVirt's file says.
    engine["health"] = {"url": values.get("health_url")}
    monitors: dict[str, Any] = {"network": {"test": "ping", "address": values["gateway"]}}
    if "bridge" in values:
        monitors["bridge"] = {"name": values["bridge"]}
    if values.get("huge_pages"):
        monitors["memory"] = {"huge_pages": True}
    # The policy is named, or oVirt's file beside ours would make it oVirt's.
    policy: Any = "talk"
    if "move_by_restart" in values:
        policy = {"base": "talk", "move_by_restart": values["move_by_restart"]}
    return found | {
        "engine": engine,
        "monitors": monitors,
        "policy": policy,
        "run_dir": own.run_dir,
        "state_dir": own.state_dir,
        "ovirt": {"dir": own.ovirt_dir},
    }


def _hypervisor(values: Values, places: Places, own: Own) -> dict[str, Any]:
    kind = values["hypervisor"]
    if kind == "qemu":
        return {"kind": "qemu", "vm": _vm(values, places), **_move(values, own)}
    if kind == "libvirt":
        found: dict[str, Any] = {"kind": "libvirt"}
        if places.definition:
            found["definition"] = places.definition
        if values.get("peers"):
            found["migrate"] = {"peers": values["peers"]}
        return found
    if kind in SERVICES:
        return {"kind": kind, **_service(values)}
    return {"kind": kind}


def _service(values: Values) -> dict[str, Any]:
    """Return what is known of a program or a unit."""
    health = str(values["service_health"])
    is_page = health.startswith(("http:", "https:"))
    found: dict[str, Any] = {"health": health if is_page else shlex.split(health)}
    if "unit" in values:
        return found | {"unit": values["unit"]}
    stop = str(values["stop_by"])
    found |= {"run": shlex.split(str(values["run"]))}
    found |= {"stop": stop if stop in signal.Signals.__members__ else shlex.split(stop)}
    if values.get("run_directory"):
        found["directory"] = values["run_directory"]
    return found


def _vm(values: Values, places: Places) -> dict[str, Any]:
    card: dict[str, Any] = {"kind": "bridge", "bridge": values["bridge"], "mac": values["mac"]}
    vm: dict[str, Any] = {
        "cpus": values["cpus"],
        "memory": values["memory_mb"],
        "disks": [{"path": places.disk}],
        "nics": [card],
        "console": {"kind": values["console"]},
    }
    if values.get("cpu_model"):
        vm["cpu"] = values["cpu_model"]
    if values.get("emulated"):
        vm["machine"] = values["emulated"]
    if values.get("huge_pages"):
        vm["huge_pages"] = True
    return vm


def _move(values: Values, own: Own) -> dict[str, Any]:
    peers = values.get("peers")
    if not peers:
        return {}
    move: dict[str, Any] = {"peers": peers}
    if str(peers).startswith("tcp:"):
        move["secret_file"] = own.secret
    return {"move": move}


def installing(config: Mapping[str, Any], values: Values, seed: str) -> dict[str, Any]:
    """
    Return the configuration while the guest is installed: with its medium, or from the network.

    *seed*: the medium of cloud-init, where the answers have one.
    """
    if values["hypervisor"] != "qemu":
        return dict(config)
    vm = dict(config["hypervisor"]["vm"])
    if values.get("boot") == "cdrom":
        vm["cdrom"] = values["cdrom"]
    elif values.get("cloud_init"):
        vm["cdrom"] = seed
    elif values.get("boot") == "pxe":
        vm["nics"] = [{**vm["nics"][0], "boot": True}, *vm["nics"][1:]]
    return {**config, "hypervisor": {**config["hypervisor"], "vm": vm}}


def merged(plain: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with others put over them, section by section."""
    found = dict(plain)
    for key, value in changes.items():
        before: Any = found.get(key)
        is_section = isinstance(before, Mapping) and isinstance(value, Mapping)
        found[key] = merged(before, value) if is_section else value
    return found


def as_yaml(config: Mapping[str, Any]) -> str:
    """Return a configuration as the text of its file."""
    return _HEAD + yaml.safe_dump(dict(config), sort_keys=False, allow_unicode=True)


def is_own_config(text: str) -> bool:
    """Whether a deployment has written this file, and nobody has written another one since."""
    return text.startswith(_HEAD)
