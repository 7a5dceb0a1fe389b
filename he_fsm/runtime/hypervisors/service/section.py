"""What the sections of the kinds have in common whose engine is a service, and their checks."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Optional, Union

import attrs

from he_fsm.document.forms import ListOf, OrNull, Schema, Text
from he_fsm.document.mappings import written_as
from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import Node, describe, is_null, lacking, nearest, refusal
from he_fsm.document.nodes import Sequence as Listed
from he_fsm.runtime.config.forms import TIME, UrlForm
from he_fsm.runtime.config.kind_form import HypervisorSection
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.hypervisors.service.health import HealthCommand
from he_fsm.runtime.monitors.engine_health import EngineHealth
from he_fsm.runtime.ports import Finding, Monitor

_EMBEDDED: Final = "embedded"
_ONE_MACHINE: Final = Finding(
    what="leases: embedded keeps apart the hosts of this machine alone; a host on another machine "
    "could start a second instance of the service",
    mend="use leases: sanlock unless all hosts are this machine",
    is_fatal=False,
)
_STAYS: Final = Finding(
    what="the service can't move while it runs, and the policy does not move it by a restart: it "
    "stays on a host until that host fails, and local maintenance waits for it",
    mend="set policy.move_by_restart: yes for planned moves by a stop here and a start there",
    is_fatal=False,
)


@attrs.frozen
class WordsForm:
    """A command: a list of words, of which the first is the program; no shell reads them."""

    what: str = "a command, a list of words like [/usr/bin/program, --option]"

    def read(self, node: Node, context: Any) -> tuple[str, ...]:
        """Return the words."""
        if not isinstance(node, Listed):
            raise refusal(node, f"expected {self.what}, got {describe(node)}")
        words: tuple[str, ...] = ListOf(Text("a word", may_be_empty=True)).read(node, context)
        if not words or not words[0]:
            raise refusal(node, f"expected {self.what}, got no program")
        if any("\0" in word for word in words):
            raise refusal(node, "expected words without a NUL character")
        return words

    def schema(self) -> Schema:
        """Return an array."""
        return {
            "type": "array",
            "items": Text(may_be_empty=True).schema(),
            "minItems": 1,
        }


@attrs.frozen
class HealthForm:
    """The address of a page, or a command."""

    def read(self, node: Node, context: Any) -> Union[str, tuple[str, ...]]:
        """Return the address or the words."""
        if isinstance(node, Listed):
            return WordsForm().read(node, context)
        return UrlForm().read(node, context)

    def schema(self) -> Schema:
        """Return an address or an array."""
        return {"anyOf": [UrlForm().schema(), WordsForm().schema()]}


@attrs.frozen
class StopForm:
    """The name of a signal, or a command."""

    def read(self, node: Node, context: Any) -> Union[str, tuple[str, ...]]:
        """Return the name or the words."""
        if isinstance(node, Listed):
            return WordsForm().read(node, context)
        name = Text("a signal's name like SIGTERM, or a command").read(node, context)
        if name not in signal.Signals.__members__:
            what = "a signal's name like SIGTERM, or a command"
            raise refusal(node, f"expected {what}, got {describe(node)}")
        return name

    def schema(self) -> Schema:
        """Return a name or an array."""
        return {"anyOf": [{"type": "string", "pattern": "^SIG[A-Z0-9]+$"}, WordsForm().schema()]}


@attrs.frozen(kw_only=True)
class ServiceSection(HypervisorSection):
    """What both sections have."""

    name: Optional[str] = attrs.field(
        default=None,
        metadata=written_as(
            "name",
            OrNull(Text("a name")),
            "what people call the service; null: as its program or unit is called",
        ),
    )
    health: Union[str, tuple[str, ...], None] = attrs.field(
        default=None,
        metadata=written_as(
            "health",
            OrNull(HealthForm()),
            "an address that answers with status 200, or a command "
            "that ends with status 0, where the service is well; null: the page of "
            "`engine.health`",
        ),
    )
    health_timeout_s: float = attrs.field(
        default=10.0,
        metadata=written_as(
            "health_timeout",
            TIME,
            "no answer of `health` after this time is a bad one",
        ),
    )

    @property
    def has_health(self) -> bool:
        """Whether something says how the service is, beside the engine's page."""
        return self.health is not None


def health_of(config: Config, pid: Any) -> Optional[Monitor]:
    """Make what says how the service is; None: the engine's health page does."""
    section = config.hypervisor
    if section.health is None:
        return None
    if isinstance(section.health, str):
        verify = config.engine.health.verify
        found = str(verify) if isinstance(verify, Path) else verify
        return EngineHealth(section.health, "", section.health_timeout_s, found)
    return HealthCommand(section.health, section.health_timeout_s, pid)


def check(config: Config, tree: Tree, needed: str) -> None:
    """Refuse a service without its key *needed*, or that hosts of several machines could start."""
    who = f'the hypervisor "{config.hypervisor.kind}"'
    if not getattr(config.hypervisor, needed):
        raise lacking(tree, ("hypervisor",), needed, who)
    if not config.hypervisor.has_health and config.engine.health.url is None:
        raise lacking(tree, ("hypervisor",), "health", who)
    written = tree.pairs.get("leases")
    if config.leases == _EMBEDDED and (written is None or is_null(written.value)):
        # safety: file locks keep apart the hosts of one machine alone.
        message = (
            f"kind {config.hypervisor.kind} runs a real service, and the default leases keep apart "
            "the hosts of one machine alone; write 'leases: sanlock', or 'leases: embedded' if "
            "all hosts are this machine"
        )
        raise refusal(nearest(tree, "hypervisor", "kind"), message)


def needs(config: Config) -> Iterator[Finding]:
    """Return what is to be known of every service."""
    if config.leases == _EMBEDDED:
        yield _ONE_MACHINE
    if not config.policy.move_by_restart:
        yield _STAYS
    if isinstance(config.hypervisor.health, tuple):
        yield from missing(config.hypervisor.health, "hypervisor.health", is_fatal=False)


def missing(command: Sequence[str], key: str, *, is_fatal: bool) -> Iterator[Finding]:
    """Look for the program of a command."""
    if shutil.which(command[0]) is None:
        what = f"{key}: there is no program {command[0]}"
        yield Finding(what=what, is_fatal=is_fatal, path=Path(command[0]))
