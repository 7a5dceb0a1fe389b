"""What the daemons need of the world, as protocols; each adapter implements one of them."""

from he_fsm.runtime.ports.findings import Finding, Port
from he_fsm.runtime.ports.hypervisor import Hypervisor, Observation, Peer, StartsPaused
from he_fsm.runtime.ports.leases import (
    IdMark,
    JoinedLeases,
    LeaseHolder,
    LeasePlace,
    Leases,
    LeaseSeen,
    LeaseSight,
    LeaseStatus,
    MovableLease,
    OwnLease,
    StoredLeases,
)
from he_fsm.runtime.ports.monitors import HealthReport, Monitor, Monitors
from he_fsm.runtime.ports.notify import Channel, Event, Message, Notifier
from he_fsm.runtime.ports.storage import Storage
from he_fsm.runtime.ports.vm import (
    ConnectsStorage,
    Console,
    HasSerialConsole,
    LeaseUse,
    TakesPassword,
    VmAccess,
    VmByHand,
    VmIdentity,
)

__all__ = [
    "Channel",
    "ConnectsStorage",
    "Console",
    "Event",
    "Finding",
    "HasSerialConsole",
    "HealthReport",
    "Hypervisor",
    "IdMark",
    "JoinedLeases",
    "LeaseHolder",
    "LeasePlace",
    "LeaseSeen",
    "LeaseSight",
    "LeaseStatus",
    "LeaseUse",
    "Leases",
    "Message",
    "Monitor",
    "Monitors",
    "MovableLease",
    "Notifier",
    "Observation",
    "OwnLease",
    "Peer",
    "Port",
    "StartsPaused",
    "Storage",
    "StoredLeases",
    "TakesPassword",
    "VmAccess",
    "VmByHand",
    "VmIdentity",
]
