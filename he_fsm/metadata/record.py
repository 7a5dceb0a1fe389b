"""What a slot of the whiteboard says, as values."""

from __future__ import annotations

import enum
from typing import Optional

import attrs


class ProblemWord(str, enum.Enum):
    """Why a slot can't be believed; the words that the status and the scenario language use."""

    CRC = "crc"
    WRONG_ID = "wrong-id"
    TOO_NEW = "too-new"
    TOO_OLD = "too-old"
    GARBAGE = "garbage"
    RANGE = "range"
    REPLAYED = "replayed"
    EMPTY = "empty"
    SILENT = "silent"
    HELD = "held"


# vdsm's word for a VM that was ordered and does not run yet.
WAITS_FOR_LAUNCH = "WaitForLaunch"


@attrs.frozen
class EngineStatus:
    """
    The engine VM as one host sees it on itself.

    `vm`: up, down, down_unexpected, down_missing or unknown. `health`: good, bad or
    unknown. `detail`: vdsm's word for the VM's status ("Up", "Paused", "Migration Source").
    Source: ovirt-hosted-engine-ha, engine health monitor.
    """

    vm: str
    health: str
    detail: str
    reason: Optional[str] = None

    @property
    def claims_lease(self) -> bool:
        """Whether the host says that it is about to take the engine's lease, which runs out."""
        return self.vm == "down" and self.detail == WAITS_FOR_LAUNCH

    @property
    def rank(self) -> int:
        """Order of engine states, 0 (unknown) to 4 (good); the engine runs where the highest is."""
        if self.vm == "up":
            if self.detail == "Paused":
                return 2
            return 4 if self.health == "good" else 3
        return 0 if self.vm == "unknown" else 1


@attrs.frozen(kw_only=True)
class HostRecord:
    """
    One host's record, as its slot holds it.

    `timestamp` is in whole seconds of the writer's own monotonic clock (of its wall clock in
    the form of 2013): it says only that the writer lives, and is never compared between hosts.
    """

    host_id: int
    timestamp: int
    score: int
    engine: EngineStatus
    hostname: str
    local_maintenance: bool = False
    stopped: bool = False
    conf_on_shared_storage: bool = True
    local_conf_timestamp: int = 0
    parse_version: int = 1
    feature_version: int = 1
    # The text for people (bytes 512 on), damage replaced; no decision reads it.
    text: str = attrs.field(default="", eq=False, repr=False)

    def at(self, timestamp: int) -> HostRecord:
        """Give the heartbeat that says the same at another time."""
        return HostRecord(
            host_id=self.host_id,
            timestamp=timestamp,
            score=self.score,
            engine=self.engine,
            hostname=self.hostname,
            local_maintenance=self.local_maintenance,
            stopped=self.stopped,
            conf_on_shared_storage=self.conf_on_shared_storage,
            local_conf_timestamp=self.local_conf_timestamp,
            parse_version=self.parse_version,
            feature_version=self.feature_version,
            text=self.text,
        )


@attrs.frozen(kw_only=True)
class SlotProblem:
    """
    A slot that can't be believed.

    `detail` is a sentence for people. For a record of a newer parse version that is whole
    (its checksum right), `newer_timestamp` is its timestamp, so that its growth can be seen;
    otherwise it is None.
    """

    host_id: int
    word: ProblemWord
    detail: str
    newer_timestamp: Optional[int] = None
