"""The faults of a campaign: their cause, the hosts that they strike, how often and how long."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.campaign.spans import Span, SpanForm, Surroundings
from he_fsm.document.forms import Choice, Duration, Flag, Schema, Text
from he_fsm.document.mappings import Record, written_as
from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import Node, Sequence, as_mapping, describe, refusal
from he_fsm.scenario.language.forms import HOST_SCHEMA
from he_fsm.scenario.model import Host, Verb


class Cause(str, enum.Enum):
    """The cause of a fault."""

    HOST = "host"
    RACK = "rack"
    AGENT = "agent"
    BROKER = "broker"
    NETWORK = "network"
    STORAGE = "storage"
    HYPERVISOR = "hypervisor"
    VM = "vm"
    HANG = "hang"
    MAINTENANCE = "maintenance"
    SHUTDOWN = "shutdown"


@attrs.frozen
class Deed:
    """
    A cause as a verb of the scenario language.

    `begins`, `ends`: values of the verb at the beginning and the end of a fault; `ends` None: the
    fault is over at once. For a reading (`set`), the host's own reading is the value at the end.
    """

    verb: Verb
    begins: Any
    ends: Any = None

    def ends_on(self, host: Optional[Host]) -> Any:
        """Return the value that ends the fault on a host; None as *host*: for the engine."""
        if self.verb is Verb.SET and host is not None:
            return {name: getattr(host, name) for name in self.begins}
        return self.ends


DEEDS: Final[Mapping[Cause, Deed]] = {
    Cause.HOST: Deed(Verb.POWER, "off", "on"),
    Cause.RACK: Deed(Verb.POWER, "off", "on"),
    Cause.AGENT: Deed(Verb.AGENT, "kill", "start"),
    Cause.BROKER: Deed(Verb.BROKER, "kill", "start"),
    Cause.NETWORK: Deed(Verb.SET, {"gateway": 0.0}),
    Cause.STORAGE: Deed(Verb.STORAGE, ("cut", None), ("restore", None)),
    Cause.HYPERVISOR: Deed(Verb.HYPERVISOR, "lost", "back"),
    Cause.VM: Deed(Verb.ENGINE, ("kill", None)),
    Cause.HANG: Deed(Verb.ENGINE, ("hang", None), ("heal", None)),
    Cause.MAINTENANCE: Deed(Verb.MAINTENANCE, "on", "off"),
    Cause.SHUTDOWN: Deed(Verb.POWER, "shutdown", "on"),
}
# Without `repair`, these daemons crash, and systemd restarts them; the host is rebooted.
CRASHES: Final[Mapping[Cause, Deed]] = {
    Cause.AGENT: Deed(Verb.AGENT, "crash"),
    Cause.BROKER: Deed(Verb.BROKER, "crash"),
    Cause.SHUTDOWN: Deed(Verb.POWER, "reboot"),
}
# These strike the engine, wherever it is.
OF_ENGINE: Final = frozenset({Cause.VM, Cause.HANG})


@attrs.frozen
class HostsForm:
    """Hosts by id, name, range, `all` or a list of these."""

    def read(self, node: Node, context: Surroundings) -> tuple[str, ...]:
        """Return the hosts' names."""
        names = context.hosts.many(node)
        if not names:
            raise refusal(node, f"expected at least one host, got {describe(node)}")
        return names

    def schema(self) -> Schema:
        """Return the schema of a host, or of an array of hosts."""
        return {"anyOf": [HOST_SCHEMA, {"type": "array", "items": HOST_SCHEMA, "minItems": 1}]}


@attrs.frozen(kw_only=True)
class Fault:
    """
    One kind of fault.

    `mtbf`: the time from the end of one fault to the next, for each host alone, or for all of them
    at once with `together`. `repair`: how long a fault lasts; None: it is over at once, or ended by
    the agents or, for a daemon, by systemd.
    Maintenance windows begin every `every_s`, the first at `at_s`, one host after the other.
    """

    cause: Cause = attrs.field(
        metadata=written_as("cause", Choice({cause.value: cause for cause in Cause}))
    )
    name: str = attrs.field(metadata=written_as("name", Text("a name")))
    hosts: tuple[str, ...] = attrs.field(default=(), metadata=written_as("hosts", HostsForm()))
    together: bool = attrs.field(default=False, metadata=written_as("together", Flag()))
    mtbf: Optional[Span] = attrs.field(
        default=None, metadata=written_as("mtbf", SpanForm(is_between=True))
    )
    repair: Optional[Span] = attrs.field(
        default=None, metadata=written_as("repair", SpanForm(is_between=False))
    )
    every_s: Optional[float] = attrs.field(
        default=None, metadata=written_as("every", Duration(positive=True))
    )
    lasts_s: Optional[float] = attrs.field(
        default=None, metadata=written_as("lasts", Duration(positive=True))
    )
    at_s: Optional[float] = attrs.field(default=None, metadata=written_as("at", Duration()))

    @name.default
    def _name_default(self) -> str:
        return self.cause.value

    @property
    def deed(self) -> Deed:
        """The fault as a verb of the scenario language."""
        if self.repair is None and self.cause in CRASHES:
            return CRASHES[self.cause]
        return DEEDS[self.cause]

    @property
    def units(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The units that the fault strikes independently: a name, and the hosts struck at once."""
        if self.cause in OF_ENGINE:
            return (("engine", ()),)
        if self.together:
            return (("together", self.hosts),)
        return tuple((name, (name,)) for name in self.hosts)

    def strikes_about(self, horizon_s: float) -> float:
        """Return how often the fault strikes within the horizon, on average."""
        if self.every_s is not None:
            return len(self.units) * horizon_s / self.every_s
        if self.mtbf is None:
            return 0.0
        repair_s = 0.0 if self.repair is None else self.repair.mean_s
        return len(self.units) * horizon_s / (self.mtbf.mean_s + repair_s)


_FAULT: Final = Record(Fault, "a fault like {cause: host, mtbf: 30d, repair: 1h}")
_WINDOW_KEYS: Final = ("every", "lasts", "at")
_RANDOM_KEYS: Final = ("mtbf", "repair")


@attrs.frozen
class FaultForm:
    """One kind of fault."""

    def read(self, node: Node, context: Surroundings) -> Fault:
        """Return the fault, after a check that its keys go together."""
        fault: Fault = _FAULT.read(node, context)
        pairs = as_mapping(node, _FAULT.what)
        allowed, required = _keys_of(fault.cause)
        for key, pair in pairs.pairs.items():
            if key not in allowed:
                message = f"this does not go with the cause '{fault.cause.value}'"
                raise refusal(pair.key, message)
        for key in required:
            if key not in pairs.pairs:
                message = f"the key '{key}' is missing: '{fault.cause.value}' needs it"
                raise refusal(node, message)
        if fault.cause not in OF_ENGINE and not fault.hosts:
            fault = attrs.evolve(fault, hosts=context.hosts.names)
        if fault.cause is Cause.RACK:
            fault = attrs.evolve(fault, together=True)
        _check_windows(fault, pairs)
        return fault

    def schema(self) -> Schema:
        """Return the schema of an object; only the reader checks which keys go together."""
        return _FAULT.schema()


def _keys_of(cause: Cause) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the keys that a cause may have, and those that it must have."""
    if cause is Cause.MAINTENANCE:
        return ("cause", "name", "hosts", "together", *_WINDOW_KEYS), ("every", "lasts")
    if cause is Cause.VM:
        return ("cause", "name", "mtbf"), ("mtbf",)
    if cause is Cause.HANG:
        return ("cause", "name", *_RANDOM_KEYS), ("mtbf",)
    together = () if cause is Cause.RACK else ("together",)
    required = ("mtbf",) if cause in CRASHES else _RANDOM_KEYS
    return ("cause", "name", "hosts", *together, *_RANDOM_KEYS), required


def _check_windows(fault: Fault, node: Tree) -> None:
    if fault.every_s is None or fault.lasts_s is None:
        return
    round_s = fault.lasts_s * len(fault.units)
    if round_s >= fault.every_s:
        message = f"one round of these windows takes {round_s:g} s, expected more than that here"
        raise refusal(node.pairs["every"].value, message)


@attrs.frozen
class FaultsForm:
    """All faults of a campaign, with different names."""

    def read(self, node: Node, context: Surroundings) -> tuple[Fault, ...]:
        """Return the faults."""
        if not isinstance(node, Sequence) or not node.items:
            raise refusal(node, f"expected a list of faults, got {describe(node)}")
        faults: dict[str, Fault] = {}
        for item in node.items:
            fault = FaultForm().read(item, context)
            if fault.name in faults:
                message = f"another fault is called '{fault.name}' already: give 'name'"
                raise refusal(item, message)
            faults[fault.name] = fault
        return tuple(faults.values())

    def schema(self) -> Schema:
        """Return the schema of an array."""
        return {"type": "array", "items": FaultForm().schema(), "minItems": 1}
