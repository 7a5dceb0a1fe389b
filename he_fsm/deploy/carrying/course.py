"""What every stage works with: the plan, the configuration, the journal, and the people."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Optional, Protocol

import attrs

from he_fsm.deploy.asking.conditions import SERVICES
from he_fsm.deploy.asking.question import Values
from he_fsm.deploy.carrying.journal import Journal
from he_fsm.deploy.planning.config import as_yaml, installing
from he_fsm.deploy.planning.places import Own, Places
from he_fsm.deploy.planning.stages import Outline
from he_fsm.deploy.planning.told import Fitness, Told
from he_fsm.errors import DeployError
from he_fsm.runtime.broker.listener import gid_of
from he_fsm.runtime.config import Config, parse_config

# Of a command that only changes something on this machine (seconds).
COMMAND_S: Final = 60.0
# A file that holds secrets, or that only the daemons need.
PRIVATE: Final = 0o640
FOLDER: Final = 0o750


class People(Protocol):
    """The people in front of the deployment."""

    def info(self, text: str) -> None:
        """Say what is done now."""

    def text(self, text: str) -> None:
        """Say something that they need, a password for instance; it stands in no log."""

    def confirm(self, question: str, *, default: bool) -> bool:
        """Return what they answer; the default where there is nobody."""


@attrs.frozen(kw_only=True)
class Limits:
    """How long is waited, in seconds; every wait has one."""

    # For the host id: a lease that was not given back runs out in less than 3 minutes.
    join_s: float = 300.0
    # For the guest's installation, and the health page. Source: ovirt-hosted-engine-setup waits 15
    # minutes for the page of a VM that is installed; an installation by hand takes longer.
    install_s: float = 7200.0
    shutdown_s: float = 600.0
    takeover_s: float = 900.0


@attrs.define(kw_only=True)
class Course:
    """One deployment of one host, under way."""

    outline: Outline
    host_id: int
    plain: dict[str, Any]
    settings: dict[str, Any]
    told: Told
    fitness: Fitness
    journal: Journal
    people: People
    limits: Limits = attrs.field(factory=Limits)
    is_first: bool = True
    domain_xml: str = ""
    # True: what it has made stays in any case, because the cluster uses it.
    is_committed: bool = False

    @property
    def values(self) -> Values:
        """Return the answers."""
        return self.outline.values

    @property
    def places(self) -> Places:
        """Return where the storage is."""
        return self.outline.places

    @property
    def own(self) -> Own:
        """Return where this host's files are."""
        return self.outline.own

    @property
    def is_service(self) -> bool:
        """Whether a program or a unit runs under the lease, and no VM."""
        return self.values["hypervisor"] in SERVICES

    @property
    def noun(self) -> str:
        """Return what people call what runs under the lease."""
        return "service" if self.is_service else "VM"

    @property
    def final_text(self) -> str:
        """Return the configuration as it is in the end."""
        return as_yaml(self.plain)

    @property
    def installing_text(self) -> str:
        """Return the configuration while the guest is installed."""
        return as_yaml(installing(self.plain, self.values, self.own.seed))

    @property
    def config(self) -> Config:
        """Return the configuration as the daemons read it."""
        return parsed(self.final_text, self.own)

    @property
    def gid(self) -> Optional[int]:
        """Return the daemons' group, where root gives files to it; None: this user's own."""
        return gid_of(self.config.group) if os.geteuid() == 0 else None

    def make_folder(self, folder: Path, mode: int = FOLDER) -> None:
        """
        Make a folder, and those above it that are missing.

        Raises:
            DeployError: it can't be made.
        """
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        for each in reversed(missing):
            self.journal.will("folder", path=str(each))
            try:
                each.mkdir(mode=0o755 if each != folder else mode)
                if each == folder:
                    each.chmod(mode)
                    self.give(each)
            except OSError as error:
                msg = f"{each} can't be made: {error.strerror}"
                raise DeployError(msg) from error

    def give(self, path: Path) -> None:
        """Hand something that root has made to the daemons' group."""
        if self.gid is not None:
            os.chown(path, -1, self.gid)


def parsed(text: str, own: Own) -> Config:
    """Return what a configuration says; raises `ConfigError`."""
    return parse_config(text, own.config, Path(own.config).parent)


def ran(words: Sequence[str], *, within_s: float = COMMAND_S, package: str = "") -> str:
    """
    Run a command, and return its output.

    Args:
        words: the command; no shell reads it, and no password is among them.
        within_s: it is ended where it takes longer.
        package: what has to be installed where the command is missing.

    Raises:
        DeployError: it failed, took too long, or is not there; with its own last words.
    """
    try:
        ended = subprocess.run(  # noqa: S603 - a list of words, and no shell
            list(words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=within_s,
            check=False,
        )
    except FileNotFoundError as error:
        hint = f": install {package}" if package else ""
        msg = f"the command {words[0]} is missing{hint}"
        raise DeployError(msg) from error
    except subprocess.TimeoutExpired as error:
        msg = f"{' '.join(words)}: no end within {within_s:g} s"
        raise DeployError(msg) from error
    except OSError as error:
        msg = f"{words[0]} can't be run: {error.strerror}"
        raise DeployError(msg) from error
    if ended.returncode:
        said = (ended.stderr or ended.stdout).strip().splitlines()
        msg = f"{' '.join(words)}: {said[-1] if said else f'exit status {ended.returncode}'}"
        raise DeployError(msg)
    return ended.stdout
