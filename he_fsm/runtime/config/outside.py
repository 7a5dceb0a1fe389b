"""Sections about what a host talks to: people, oVirt's files."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

import attrs

from he_fsm.document.forms import Flag, ListOf, OrNull, Text
from he_fsm.document.mappings import Record, written_as
from he_fsm.runtime.config.forms import (
    MAIL_ADDRESS,
    PORT,
    TIME,
    AddressesForm,
    IpForm,
    LineForm,
    PathForm,
    PatternForm,
)


@attrs.frozen(kw_only=True)
class MetricsConfig:
    """Where metrics are served besides the broker's socket."""

    port: Optional[int] = attrs.field(
        default=None,
        metadata=written_as(
            "port",
            OrNull(PORT),
            "the TCP port at which the broker serves `/metrics` to Prometheus, like 9877; null:"
            " none",
        ),
    )
    address: str = attrs.field(
        default="127.0.0.1",
        metadata=written_as(
            "address",
            IpForm(),
            "the address of this host that has the port; whoever reaches another one than loopback"
            " can read the metrics, without a password",
        ),
    )

    @property
    def is_public(self) -> bool:
        """Whether other machines may reach it."""
        return self.port is not None and not ipaddress.ip_address(self.address).is_loopback


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
    """
    What people are told.

    `others` are the sections of notifiers that other packages bring, by their names.
    """

    transitions: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "transitions",
            OrNull(PatternForm()),
            "tell of a change of state where this is found in `OldState-NewState`, in any case, "
            "besides alarms, and the failed starts and migrations that are no old news; null: of "
            "all that the state machine tells",
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
    others: Mapping[str, Any] = attrs.field(factory=dict)

    def uses(self, name: str) -> bool:
        """Whether a notifier of this name is configured."""
        return name in self.others or bool(getattr(self, name, None))


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
