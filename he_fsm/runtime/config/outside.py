"""Sections about what a host talks to: its hypervisor, people, oVirt's files."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.document.forms import Choice, Duration, Flag, ListOf, OrNull, Text
from he_fsm.document.mappings import Record, written_as
from he_fsm.runtime.config.forms import (
    MAIL_ADDRESS,
    AddressesForm,
    LineForm,
    PathForm,
    PatternForm,
)
from he_fsm.runtime.config.vm import PORT, MoveConfig, VmConfig

TIME: Final = Duration(positive=True)


@attrs.frozen(kw_only=True)
class HypervisorConfig:
    """
    What runs the engine VM.

    `vm` and `move` are about QEMU; all else but `kind` is about the embedded VM.
    """

    kind: str = attrs.field(
        default="embedded",
        metadata=written_as(
            "kind",
            Choice.of("embedded", "qemu"),
            "embedded: the VM is a process of this machine that keeps a VM's rules; qemu: a real "
            "one, `vm`",
        ),
    )
    vm: Optional[VmConfig] = attrs.field(
        default=None,
        metadata=written_as(
            "vm",
            OrNull(Record(VmConfig, "a mapping like {cpus: 4, memory: 16384}")),
            "the QEMU VM",
        ),
    )
    move: MoveConfig = attrs.field(
        default=MoveConfig(),
        metadata=written_as(
            "move",
            Record(MoveConfig, "a mapping like {peers: 'tcp:host{id}:8703'}"),
            "how the QEMU VM moves to another host while it runs",
        ),
    )
    port: int = attrs.field(
        default=8702,
        metadata=written_as("port", PORT, "the port of the embedded VM's health page"),
    )
    boot_s: float = attrs.field(
        default=55.0,
        metadata=written_as("boot", Duration(), "from the VM's start to its health page"),
    )
    start_s: float = attrs.field(
        default=5.0,
        metadata=written_as("start", Duration(), "how long it takes to start the VM"),
    )
    shutdown_s: float = attrs.field(
        default=20.0,
        metadata=written_as("shutdown", Duration(), "how long the VM takes to shut down"),
    )
    migration_s: float = attrs.field(
        default=15.0,
        metadata=written_as("migration", Duration(), "how long a migration takes"),
    )
    hosts_dir: Path = attrs.field(
        default=Path("/run/he-fsm/hosts"),
        metadata=written_as(
            "hosts_dir", PathForm(), "where the embedded hosts of this machine find each other"
        ),
    )


@attrs.frozen(kw_only=True)
class SmtpConfig:
    """Where mails go."""

    server: str = attrs.field(
        default="localhost", metadata=written_as("server", LineForm("a server"), "the mail server")
    )
    port: int = attrs.field(default=25, metadata=written_as("port", PORT, "its port"))
    starttls: bool = attrs.field(
        default=False,
        metadata=written_as("starttls", Flag(), "encrypt, with the server's certificate verified"),
    )
    user: Optional[str] = attrs.field(
        default=None,
        metadata=written_as("user", OrNull(Text("a user")), "the login; needs `starttls`"),
    )
    password_file: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "password_file",
            OrNull(PathForm()),
            "the file that holds the user's password; others must not be able to read it",
        ),
    )
    sender: str = attrs.field(
        default="root@localhost",
        metadata=written_as("from", MAIL_ADDRESS, "the mails' sender"),
    )
    recipients: tuple[str, ...] = attrs.field(
        default=("root@localhost",),
        metadata=written_as("to", AddressesForm(), "who gets the mails"),
    )
    timeout_s: float = attrs.field(
        default=10.0,
        metadata=written_as("timeout", TIME, "how long to wait for the server"),
    )


@attrs.frozen(kw_only=True)
class NotifyConfig:
    """What people are told."""

    transitions: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "transitions",
            OrNull(PatternForm()),
            "tell of a change of state where this is found in `OldState-NewState`, in any case, "
            "besides failed starts and migrations; null: of those that the table of states marks",
        ),
    )
    smtp: Optional[SmtpConfig] = attrs.field(
        default=None,
        metadata=written_as(
            "smtp",
            OrNull(Record(SmtpConfig, "a mapping like {to: [admin@example.com]}")),
            "mails; null: none",
        ),
    )
    hook: tuple[str, ...] = attrs.field(
        default=(),
        metadata=written_as(
            "hook",
            ListOf(Text("a word of a command"), "a command as a list of words"),
            "a command that gets each event as JSON on its standard input; empty: none",
        ),
    )


@attrs.frozen(kw_only=True)
class OvirtConfig:
    """Where oVirt's files are; those that do not exist are not missed."""

    setup_dir: Path = attrs.field(
        default=Path("/etc/ovirt-hosted-engine"),
        metadata=written_as("dir", PathForm(), "the folder of `hosted-engine.conf`"),
    )
    agent_dir: Path = attrs.field(
        default=Path("/etc/ovirt-hosted-engine-ha"),
        metadata=written_as("agent_dir", PathForm(), "the folder of `agent.conf`"),
    )
    state_dir: Path = attrs.field(
        default=Path("/var/lib/ovirt-hosted-engine-ha"),
        metadata=written_as(
            "state_dir", PathForm(), "the folder of `broker.conf`; in 2013 that was in `agent_dir`"
        ),
    )
    run_dir: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "run_dir",
            OrNull(PathForm()),
            "the folder of `vm.conf`; null: the file that `hosted-engine.conf` names",
        ),
    )
