"""The hypervisor `command`, as a configuration names it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.errors import ConfigError
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.hypervisors.command.section import CommandConfig
from he_fsm.runtime.hypervisors.service import section as service
from he_fsm.runtime.hypervisors.service.hypervisor import (
    INSIDE,
    ServiceHypervisor,
    ServiceSettings,
)
from he_fsm.runtime.hypervisors.service.keeper import KeeperSettings
from he_fsm.runtime.hypervisors.vm_access import RecordedVm
from he_fsm.runtime.hypervisors.vm_file import STATE
from he_fsm.runtime.kinds import HypervisorKind
from he_fsm.runtime.ports import Finding, Hypervisor, MovableLease, VmAccess

_BODY: Final = "he_fsm.runtime.hypervisors.command.program:make"
# What they start is a daemon's, and no descendant of theirs: it would outlive the lease.
_HANDS_OVER: Final = {"docker", "nerdctl", "systemd-run", "systemctl", "at", "batch"}


def make(config: Config, lease: MovableLease) -> Hypervisor:
    """
    Make the adapter.

    Raises:
        ConfigError: there is no program.
    """
    section = config.hypervisor
    if not section.run:
        # The configuration was read with this checked; one that was made by hand may lack it.
        msg = "hypervisor.run is missing: the program of kind command"
        raise ConfigError(msg)
    stop = section.stop
    keeper = KeeperSettings(
        state=config.run_dir / STATE,
        lock=config.run_dir / INSIDE,
        body=_BODY,
        options={
            "run": list(section.run),
            "stop": stop if isinstance(stop, str) else list(stop),
            "directory": None if section.directory is None else str(section.directory),
        },
        stop_limit_s=config.policy.stop_timeout_s,
    )
    settings = ServiceSettings(run_dir=config.run_dir, python=sys.executable, keeper=keeper)
    return ServiceHypervisor(settings, lease)


def access(config: Config) -> VmAccess:
    """Make what finds the keeper's process by its record."""
    return RecordedVm(config.run_dir, config.hypervisor.called)


def check(config: Config, tree: Tree) -> None:
    """Refuse a program that can't be run or judged."""
    service.check(config, tree, "run")


def needs(config: Config) -> Sequence[Finding]:
    """Need the programs that the configuration names."""
    return (*service.needs(config), *_missing(config.hypervisor))


def _missing(section: CommandConfig) -> Iterator[Finding]:
    run = section.run or ()
    if run:
        yield from service.missing(run, "hypervisor.run", is_fatal=True)
        if Path(run[0]).name in _HANDS_OVER:
            what = (
                f"hypervisor.run: what {run[0]} starts is run by a daemon, and would outlive the "
                "lease"
            )
            yield Finding(what=what, mend="use podman run for a container, kind systemd for a unit")
    if isinstance(section.stop, tuple):
        yield from service.missing(section.stop, "hypervisor.stop", is_fatal=False)
    if section.directory is not None and not section.directory.is_dir():
        what = f"hypervisor.directory: there is no folder {section.directory}"
        yield Finding(what=what, path=section.directory)


KIND: Final = HypervisorKind(
    section=CommandConfig,
    make=make,
    access=access,
    check=check,
    needs=needs,
    health=service.health_of,
    can_migrate=False,
)
