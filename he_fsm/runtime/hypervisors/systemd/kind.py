"""The hypervisor `systemd`, as a configuration names it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from typing import Final

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.errors import ConfigError, HypervisorError, MissingExtraError
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.hypervisors.service import section as service
from he_fsm.runtime.hypervisors.service.hypervisor import (
    INSIDE,
    ServiceHypervisor,
    ServiceSettings,
)
from he_fsm.runtime.hypervisors.service.keeper import KeeperSettings
from he_fsm.runtime.hypervisors.systemd.section import SystemdConfig
from he_fsm.runtime.hypervisors.vm_access import RecordedVm
from he_fsm.runtime.hypervisors.vm_file import STATE
from he_fsm.runtime.kinds import HypervisorKind
from he_fsm.runtime.ports import Finding, Hypervisor, MovableLease, VmAccess

_BODY: Final = "he_fsm.runtime.hypervisors.systemd.unit:make"
# systemd starts such a unit by itself, at boot or before.
_STARTS_ALONE: Final = {"enabled", "enabled-runtime"}
# All that is looked for takes a second (seconds).
_ANSWER_S: Final = 0.25


def make(config: Config, lease: MovableLease) -> Hypervisor:
    """
    Make the adapter.

    Raises:
        MissingExtraError: the library for the D-Bus is not installed.
        ConfigError: there is no unit.
    """
    section = config.hypervisor
    if not section.unit:
        # The configuration was read with this checked; one that was made by hand may lack it.
        msg = "hypervisor.unit is missing: the unit of kind systemd"
        raise ConfigError(msg)
    try:
        from he_fsm.runtime.hypervisors.systemd.unit import (  # noqa: PLC0415 - optional
            UnitOptions,
            UnitStrays,
        )
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error.name, "systemd", "kind systemd") from error
    keeper = KeeperSettings(
        state=config.run_dir / STATE,
        lock=config.run_dir / INSIDE,
        body=_BODY,
        options={"unit": section.unit, "bus": section.address},
        stop_limit_s=config.policy.stop_timeout_s,
    )
    settings = ServiceSettings(
        run_dir=config.run_dir,
        python=sys.executable,
        keeper=keeper,
        strays=UnitStrays(UnitOptions(unit=section.unit, bus=section.address)),
    )
    return ServiceHypervisor(settings, lease)


def access(config: Config) -> VmAccess:
    """Make what finds the keeper's process by its record."""
    return RecordedVm(config.run_dir, config.hypervisor.called)


def check(config: Config, tree: Tree) -> None:
    """Refuse a unit that is not named, or can't be judged."""
    service.check(config, tree, "unit")


def needs(config: Config) -> Sequence[Finding]:
    """Need the library, the bus, and a unit that nobody else starts."""
    return (*service.needs(config), *_missing(config.hypervisor))


def _missing(section: SystemdConfig) -> Iterator[Finding]:
    if find_spec("jeepney") is None:
        yield Finding(what=str(MissingExtraError.of("jeepney", "systemd", "kind systemd")))
        return
    from he_fsm.runtime.hypervisors.systemd.bus import Bus  # noqa: PLC0415 - optional

    unit = section.unit or ""
    bus = Bus(section.address, _ANSWER_S)
    try:
        state = bus.properties(bus.load(unit), "Unit")["LoadState"]
        is_there = state == "loaded"
        file_state = bus.file_state(unit) if is_there else ""
    except HypervisorError as error:
        mend = "start the agent where systemd runs, as a user that may manage the unit"
        yield Finding(what=str(error), mend=mend)
        return
    finally:
        bus.close()
    if not is_there:
        yield Finding(what=f"systemd has no unit {unit} that it can start: {state}")
    elif file_state in _STARTS_ALONE:
        yield Finding(
            what=f"systemd starts {unit} by itself, without the lease: the unit is {file_state}",
            mend=f"systemctl disable {unit}",
        )


KIND: Final = HypervisorKind(
    section=SystemdConfig,
    make=make,
    access=access,
    check=check,
    needs=needs,
    health=service.health_of,
    can_migrate=False,
)
