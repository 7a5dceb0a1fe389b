"""Beginning a deployment: what is there already, and the course that follows from the answers."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Optional

import attrs

from he_fsm.deploy.asking.question import Machine, Values
from he_fsm.deploy.carrying import domain
from he_fsm.deploy.carrying.course import Course, Limits, People, parsed
from he_fsm.deploy.carrying.journal import Journal
from he_fsm.deploy.planning.config import as_yaml, config_of, merged
from he_fsm.deploy.planning.joining import Applicant, HostIds, refusals
from he_fsm.deploy.planning.ovirt_files import answers_conf, hosted_engine_conf
from he_fsm.deploy.planning.places import Own, Places, places_of
from he_fsm.deploy.planning.stages import Outline
from he_fsm.deploy.planning.told import Fitness, Told
from he_fsm.errors import ConfigError, DeployError, HeFsmError, LeaseMissingError, LockspaceError
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.metadata.text import told_utc_s
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime import registry
from he_fsm.runtime.config import Config
from he_fsm.runtime.kinds import LeaseKind
from he_fsm.runtime.parts import findings
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile

_LOOK_S: Final = 0.2
# A living host writes its slot each loop; so long is waited for one of them (loops).
_LOOPS: Final = 2.5


@attrs.frozen(kw_only=True)
class Start:
    """What a deployment begins from, whoever has answered."""

    # Passwords are among them.
    values: Values = attrs.field(repr=False)
    settings: Mapping[str, Any]
    machine: Machine
    fitness: Fitness
    own: Own
    has_systemd: bool
    people: People
    limits: Limits = attrs.field(factory=Limits)


def check_own(own: Own) -> None:
    """
    See that this host has not been deployed.

    Raises:
        DeployError: it has.
    """
    for path in (own.config, f"{own.ovirt_dir}/hosted-engine.conf"):
        if Path(path).exists():
            msg = (
                f"this host is deployed already: {path} exists (he-fsm undeploy takes it out; one"
                " that was written by hand has to be moved away)"
            )
            raise DeployError(msg)


def first(start: Start) -> Course:
    """
    Return the course of a first host; nothing is touched yet.

    Raises:
        HeFsmError: the answers make no configuration that can be used, or something is missing.
    """
    host_id = int(start.values.get("host_id") or 1)
    told = Told(answers=answers_conf(start.values), settings=start.settings, hosts={})
    course = _course(start, host_id, told, is_first=True)
    hosted_engine_conf(course.values, course.own, host_id)
    parsed(course.installing_text, course.own)
    return course


def further(start: Start, told: Told) -> Course:
    """
    Return the course of a host that joins; raises `DeployError` where it may not, and why.

    *told*: by the first host. `start.values` are its answers, with this host's own.
    """
    places = places_of(start.values, start.own.state_dir)
    probe = _course(start, 1, told, is_first=False)
    ids = HostIds(
        board=_board(probe.config),
        told=told,
        held=_held(probe.config, places, int(start.values["hosts"])),
        room=_room(places, int(start.values["hosts"])),
    )
    wanted = start.values.get("host_id")
    host_id = int(wanted) if wanted else ids.next()
    applicant = Applicant(fitness=start.fitness, clock_off_s=clock_off(probe.config, told))
    name = probe.config.host.hostname
    refused = [*filter(None, [ids.why_not(host_id, name), ids.why_not_named(name, host_id)])]
    refused += refusals(start.values, applicant, told.hosts)
    if refused:
        raise DeployError("this host can't join: " + "; ".join(refused))
    return _course(start, host_id, told, is_first=False)


def _course(start: Start, host_id: int, told: Told, *, is_first: bool) -> Course:
    values, own = start.values, start.own
    places = places_of(values, own.state_dir)
    host = {"id": host_id, "hostname": values["hostname"]}
    plain = merged(config_of(values, places, own, host), start.settings.get("config", {}))
    try:
        config = parsed(as_yaml(plain), own)
    except ConfigError as error:
        msg = f"the answers and settings make no configuration that can be used: {error}"
        raise ConfigError(msg) from error
    # The settings may have moved them.
    own = attrs.evolve(own, run_dir=str(config.run_dir), state_dir=str(config.state_dir))
    course = Course(
        outline=Outline(
            values=values,
            places=places,
            own=own,
            machine=start.machine,
            has_systemd=start.has_systemd,
        ),
        host_id=host_id,
        plain=plain,
        settings=dict(start.settings),
        told=told,
        fitness=attrs.evolve(start.fitness, hostname=config.host.hostname),
        journal=Journal(Path(own.journal)),
        people=start.people,
        limits=start.limits,
        is_first=is_first,
    )
    if values["hypervisor"] == "libvirt":
        course.domain_xml = told.domain or domain.xml_of(course, is_installing=False)
    return course


def check_machine(course: Course) -> None:
    """
    See that this machine has what the configuration needs; a warning is said and passed by.

    Raises:
        DeployError: something is missing.
    """
    config = parsed(course.installing_text, course.own)
    fatal = []
    for finding in findings(config):
        # What the deployment makes is missing still.
        if (
            finding.path is not None
            and not finding.path.exists()
            and _is_made(course, finding.path)
        ):
            continue
        if finding.is_fatal:
            fatal.append(str(finding))
        elif finding.path is None:
            course.people.info(f"note: {finding}")
    if fatal:
        raise DeployError("; ".join(fatal))


def _is_made(course: Course, path: Path) -> bool:
    places, own = course.places, course.own
    return str(path) in (places.disk, own.secret, own.seed, places.leases, places.definition, "")


def _board(config: Config) -> Whiteboard:
    try:
        board = WhiteboardFile(config.storage.whiteboard, config.storage.offset)
        return Whiteboard.parse(board.read())
    except HeFsmError as error:
        msg = f"this host can't join, because it does not see the storage: {error}"
        raise DeployError(msg) from error


def _room(places: Places, hosts: int) -> int:
    if places.device is not None:
        return hosts
    return Path(places.whiteboard).stat().st_size // SLOT_BYTES - 1


def _held(config: Config, places: Places, hosts: int) -> frozenset[int]:
    """Return the host ids whose leases are held, as they stand on the storage."""
    kind: LeaseKind = registry.load(registry.LEASES, config.leases)
    if kind.stored is None:
        return frozenset()
    stored = kind.stored(config)
    found = set()
    for number in range(1, _room(places, hosts) + 1):
        try:
            if stored.host_id(number) is not None:
                found.add(number)
        except LeaseMissingError:
            continue
        except LockspaceError as error:
            msg = f"this host can't join, because it can't read the leases: {error}"
            raise DeployError(msg) from error
    return frozenset(found)


def clock_off(config: Config, told: Told) -> Optional[float]:
    """
    Return how far this host's wall clock is ahead of the others'; None: no host is alive.

    A host writes its wall-clock time beside each heartbeat, so the first slot that grows tells its
    clock at this moment. It takes two loops at most.
    """
    before = _board(config).records
    ends_at = time.monotonic() + _LOOPS * config.policy.loop_s
    while before and time.monotonic() < ends_at:
        time.sleep(_LOOK_S)
        for number, record in _board(config).records.items():
            was = before.get(number)
            if number in told.hosts and was is not None and record.timestamp > was.timestamp:
                written = told_utc_s(record.text)
                if written is not None:
                    return time.time() - written
    return None
