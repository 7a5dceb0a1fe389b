"""What a slot of the whiteboard says, as values."""

from __future__ import annotations

import enum
from typing import ClassVar, Final, Optional

from he_fsm.value import Value


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


# The rank of a healthy engine (`EngineStatus.rank`).
RANK_GOOD = 4
# vdsm's word for a VM whose start was ordered and that does not run yet.
WAITS_FOR_LAUNCH = "WaitForLaunch"
# The word of a host that went down in order with the engine and keeps it for itself (`freeze`). To
# oVirt's agents, which read no `detail` of a VM that is down, it is that and no more.
FROZEN = "Frozen"


class EngineStatus(Value):
    """
    The engine VM as one host sees it on itself.

    `vm`: up, down, down_unexpected, down_missing or unknown. `health`: good, bad or
    unknown. `detail`: vdsm's word for the VM's status ("Up", "Paused", "Migration Source").
    Source: ovirt-hosted-engine-ha, engine health monitor.
    """

    __slots__ = ("detail", "health", "reason", "vm")

    def __init__(
        self,
        vm: str,
        health: str,
        detail: str,
        reason: Optional[str] = None,
    ) -> None:
        """Take the parts."""
        self.vm: Final = vm
        self.health: Final = health
        self.detail: Final = detail
        self.reason: Final = reason

    @property
    def claims_lease(self) -> bool:
        """Return whether the host announces that it will acquire the engine's expiring lease."""
        return self.vm == "down" and self.detail == WAITS_FOR_LAUNCH

    @property
    def keeps_engine(self) -> bool:
        """Return whether the host keeps the engine for itself: no other one is to start it."""
        return self.vm == "down" and self.detail == FROZEN

    @property
    def rank(self) -> int:
        """The status as a number, 0 (unknown) to 4 (good); the engine runs where it is highest."""
        if self.vm == "up":
            if self.detail == "Paused":
                return 2
            return RANK_GOOD if self.health == "good" else 3
        return 0 if self.vm == "unknown" else 1


class HostRecord(Value):
    """
    One host's record, as its slot holds it.

    `timestamp` is in whole seconds of the writer's own monotonic clock (of its wall clock in
    the format of 2013). It is the heartbeat: its growth shows that the writer is alive. It is
    never compared between hosts.
    """

    _unseen: ClassVar[frozenset[str]] = frozenset({"text"})
    __slots__ = (
        "conf_on_shared_storage",
        "engine",
        "feature_version",
        "host_id",
        "hostname",
        "local_conf_timestamp",
        "local_maintenance",
        "parse_version",
        "score",
        "stopped",
        "text",
        "timestamp",
        "watchdog_s",
    )

    def __init__(  # noqa: PLR0913 - one for each part
        self,
        *,
        host_id: int,
        timestamp: int,
        score: int,
        engine: EngineStatus,
        hostname: str,
        local_maintenance: bool = False,
        stopped: bool = False,
        conf_on_shared_storage: bool = True,
        local_conf_timestamp: int = 0,
        parse_version: int = 1,
        feature_version: int = 1,
        # What the host says of its watchdog's time (`he_fsm.metadata.told`); None: nothing. It is
        # the only thing that a decision reads from the text part.
        watchdog_s: Optional[float] = None,
        # The text for people (from byte 512 on), with damage replaced; no decision reads it.
        text: str = "",
    ) -> None:
        """Take the parts."""
        self.host_id: Final = host_id
        self.timestamp: Final = timestamp
        self.score: Final = score
        self.engine: Final = engine
        self.hostname: Final = hostname
        self.local_maintenance: Final = local_maintenance
        self.stopped: Final = stopped
        self.conf_on_shared_storage: Final = conf_on_shared_storage
        self.local_conf_timestamp: Final = local_conf_timestamp
        self.parse_version: Final = parse_version
        self.feature_version: Final = feature_version
        self.watchdog_s: Final = watchdog_s
        self.text: Final = text

    def at(self, timestamp: int) -> HostRecord:
        """Return the same record with another timestamp."""
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
            watchdog_s=self.watchdog_s,
            text=self.text,
        )


class SlotProblem(Value):
    """
    A slot that can't be believed.

    `detail` is a sentence for people. `newer_timestamp` is the timestamp of an intact record of a
    newer parse version, so that its growth can be seen; otherwise it is None.
    """

    __slots__ = ("detail", "host_id", "newer_timestamp", "word")

    def __init__(
        self,
        *,
        host_id: int,
        word: ProblemWord,
        detail: str,
        newer_timestamp: Optional[int] = None,
    ) -> None:
        """Take the parts."""
        self.host_id: Final = host_id
        self.word: Final = word
        self.detail: Final = detail
        self.newer_timestamp: Final = newer_timestamp
