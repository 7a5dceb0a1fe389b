"""The stages of a deployment and of its reverse, as values: what each does, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import attrs

from he_fsm.deploy.asking.conditions import SERVICES
from he_fsm.deploy.asking.question import Machine, Values
from he_fsm.deploy.planning.places import Own, Places

UNITS: Final = ("he-fsm-broker", "he-fsm-agent")


# Where an administrator's units are, and what is added to units.
UNITS_DIR: Final = "/etc/systemd/system"
# The units may write there already.
_USUAL_STORAGE: Final = "/srv/he-fsm"


def drop_in_path(unit: str) -> str:
    """Return the file by which a unit may use the storage."""
    return f"{UNITS_DIR}/{unit}.service.d/storage.conf"


def drop_in(places: Places) -> str:
    """Return what such a file says; empty: the units may use this storage as they are."""
    if places.device is not None:
        devices = [each for each in (places.device, places.disk) if each]
        allowed = "".join(f"DeviceAllow={each} rw\n" for each in devices)
        return f"[Service]\nPrivateDevices=no\n{allowed}"
    if places.folder == _USUAL_STORAGE:
        return ""
    return f"[Service]\nReadWritePaths=-{places.folder}\n"


@attrs.frozen
class Stage:
    """
    One stage.

    `name` is what the code, the journal and tests call it; `title` is shown when it begins; `does`
    says in words, line by line, what it would do.
    """

    name: str
    title: str
    does: tuple[str, ...]


@attrs.frozen(kw_only=True)
class Outline:
    """What the stages depend on, besides the answers."""

    # Passwords are among them.
    values: Values = attrs.field(repr=False)
    places: Places
    own: Own
    machine: Machine
    has_systemd: bool


def first_host(outline: Outline) -> tuple[Stage, ...]:
    """Return the stages of the first host, in their order."""
    return tuple(
        stage
        for stage in (*_storage(outline), *_machine(outline), *_installing(outline))
        if stage.does
    )


def further_host(outline: Outline) -> tuple[Stage, ...]:
    """Return the stages of a host that joins."""
    stages = (_reaching(outline), *_machine(outline), *_joining(outline))
    return tuple(stage for stage in stages if stage.does)


def _reaching(outline: Outline) -> Stage:
    places = outline.places
    does = []
    if places.mounted:
        does.append(f"mount {places.mounted} at {places.folder}, now and at each boot")
    elif outline.values["storage_type"] == "iscsi":
        values = outline.values
        does.append(f"log in to {values['iscsi_target']} at {values['storage']}, at each boot too")
    return Stage("reach", "Connecting the storage", tuple(does))


def _storage(outline: Outline) -> Iterator[Stage]:
    values, places = outline.values, outline.places
    yield _reaching(outline)
    if places.device is None:
        yield Stage("folder", "Preparing the storage", (f"make {places.folder}, if it is missing",))
    else:
        yield Stage("folder", "Preparing the storage", (f"see that {places.device} is empty",))
    yield Stage(
        "leases",
        "Initializing the lockspace and the whiteboard",
        (
            f"write the leases ({values['leases']}) in {places.leases}, and read them back",
            f"write a whiteboard for {values['hosts']} hosts in {places.whiteboard}, all zeroes",
        ),
    )
    yield Stage("disk", "Creating the VM's disk", tuple(_disk(values, places)))


def _disk(values: Values, places: Places) -> Iterator[str]:
    if not places.disk:
        return
    size = f"{values['disk_gb']} GiB"
    if values.get("boot") == "disk":
        yield f"copy {values['image']} to {places.disk}, and let it grow to {size}"
    elif places.device is None:
        yield f"make {places.disk}, {size}"
    else:
        yield f"see that {places.disk} is empty, and has {size}"


def _machine(outline: Outline) -> Iterator[Stage]:
    values, own = outline.values, outline.own
    files = [own.config]
    files += [
        f"{own.ovirt_dir}/{name}" for name in ("answers.conf", "hosted-engine.conf", "vm.conf")
    ]
    if str(values.get("peers", "")).startswith("tcp:"):
        files.append(own.secret)
    if outline.has_systemd and drop_in(outline.places):
        files += [drop_in_path(unit) for unit in UNITS]
    yield Stage("files", "Writing the configuration", tuple(f"write {path}" for path in files))
    yield Stage("bridge", "Configuring the management bridge", tuple(_bridge(outline)))
    firewall = ("let migrations and the console through firewalld",)
    has_firewall = values.get("firewall") is True
    yield Stage("firewall", "Configuring the firewall", firewall if has_firewall else ())


def _bridge(outline: Outline) -> Iterator[str]:
    values = outline.values
    if "bridge_nic" in values:
        yield f"make the bridge {values['bridge']} on {values['bridge_nic']} (NetworkManager)"


def _installing(outline: Outline) -> Iterator[Stage]:
    values, places = outline.values, outline.places
    has_vm = bool(places.disk)
    seed = (f"write {outline.own.seed} for cloud-init", "remove it after the installation")
    yield Stage("seed", "Preparing cloud-init", seed if values.get("cloud_init") else ())
    domain = ("define the domain HostedEngine", "write its definition on the storage")
    is_domain = values["hypervisor"] == "libvirt"
    yield Stage("domain", "Configuring VM", domain if is_domain else ())
    yield Stage(
        "daemons",
        "Starting the daemons, in global maintenance",
        ("start broker and agent of this host", "wait until it has its host id"),
    )
    password = ("give out a temporary console password",) if has_vm else ()
    if values["hypervisor"] in SERVICES:
        yield from _trying(values)
    else:
        yield Stage(
            "install",
            "Creating VM",
            (
                "start the VM, with its lease",
                *password,
                f"wait for {values.get('health_url', 'the health page')}",
            ),
        )
        yield _engine(values)
        yield Stage("shutdown", "Shutting the VM down", ("ask the guest to shut down, and wait",))
    media = "" if values["hypervisor"] in SERVICES else " without install media"
    yield Stage(
        "tell",
        "Updating hosted-engine configuration",
        (
            f"write {outline.own.config}{media}",
            f"write what further hosts need to {places.told}",
        ),
    )
    yield _services(outline)


def _trying(values: Values) -> Iterator[Stage]:
    """Yield the stages in which a service is started and stopped once."""
    well = f"wait until it is well, by {values['service_health']}"
    yield Stage("install", "Starting the service", ("start it, with its lease", well))
    does = f"stop it by {values['stop_by']}, and wait" if "stop_by" in values else "stop the unit"
    yield Stage("shutdown", "Stopping the service", (does,))


def _engine(values: Values) -> Stage:
    name = values.get("host_name")
    does = f"add this host to the engine as {name}, and wait until it is operational"
    is_engine = values.get("ovirt_engine") is True
    title = "Waiting for the host to become operational"
    return Stage("engine", title, (does,) if is_engine else ())


def _joining(outline: Outline) -> Iterator[Stage]:
    domain = ("define the domain HostedEngine",)
    is_domain = outline.values["hypervisor"] == "libvirt"
    yield Stage("domain", "Configuring VM", domain if is_domain else ())
    yield _engine(outline.values)
    yield Stage(
        "enlist",
        "Joining the cluster",
        (f"write what this host can run to {outline.places.told}",),
    )
    yield _services(outline)


def _services(outline: Outline) -> Stage:
    units = " ".join(UNITS)
    does = (
        f"systemctl enable --now {units}"
        if outline.has_systemd
        else f"say that {units} have to be started: systemd does not run here"
    )
    return Stage("services", "Enabling and starting HA services", (does,))


def leaving_stages(own: Own, host_id: int, *, has_systemd: bool) -> tuple[Stage, ...]:
    """Return the stages by which a host leaves."""
    units = " ".join(reversed(UNITS))
    stop = (
        f"systemctl disable --now {units}"
        if has_systemd
        else f"wait until {units} have been stopped: systemd does not run here"
    )
    return (
        Stage(
            "drain",
            "Moving the engine away",
            ("set local maintenance", "wait until the engine has left this host"),
        ),
        Stage("stop", "Stopping the daemons", (stop, "see that the host id was given back")),
        Stage(
            "slot",
            "Clearing the host's slot",
            (f"strike host {host_id} off the list", f"empty slot {host_id} of the whiteboard"),
        ),
        Stage("files", "Removing the configuration", (f"remove {own.config} and oVirt's files",)),
    )
