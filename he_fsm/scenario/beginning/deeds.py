"""What the engine and its hosts were in the middle of when a whiteboard was copied."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.metadata.engine import engine_condition
from he_fsm.metadata.record import HostRecord
from he_fsm.scenario.beginning.sight import Sight

# The states of an agent, ours and oVirt's, while its VM is in the middle of something.
_STARTING: Final = frozenset(("EngineStarting", "EngineStart"))
_STOPPING: Final = frozenset(("EngineStopping", "EngineStop", "EngineForceStop"))
_LEAVING: Final = frozenset(("EngineMigratingAway",))
# States of which nothing more has to be taken over than flags, score and VM.
_AT_REST: Final = frozenset(
    (
        *("", "EngineDown", "EngineUp", "EngineUpBadHealth", "GlobalMaintenance"),
        *("LocalMaintenance", "LocalMaintenanceMigrateVm", "ScoreBlocked", "Unknown"),
        *("EngineUnexpectedlyDown", "AgentStopped", "Suspended"),
    )
)


@attrs.define
class Deed:
    """What the engine was doing. `engine`: keys of a scenario's engine; `timeline`: entries."""

    engine: dict[str, Any] = attrs.field(factory=dict)
    timeline: list[dict[str, Any]] = attrs.field(factory=list)
    notes: list[str] = attrs.field(factory=list)


def state_of(record: HostRecord) -> str:
    """Return the state that an agent wrote for people; empty: none."""
    for line in record.text.split("\n"):
        key, _, value = line.partition("=")
        if key == "state":
            return value.strip()
    return ""


def deed_of(
    runs_on: Optional[int], records: Mapping[int, HostRecord], sight: Optional[Sight]
) -> Deed:
    """Return what the engine on *runs_on* was doing, and notes on what is not taken over."""
    deed = Deed()
    record = None if runs_on is None else records.get(runs_on)
    if record is not None:
        _take_engine(deed, record, records, sight)
    for number, other in records.items():
        if number != runs_on:
            _note_other(deed, number, other)
    return deed


def _take_engine(
    deed: Deed, record: HostRecord, records: Mapping[int, HostRecord], sight: Optional[Sight]
) -> None:
    condition, state, number = engine_condition(record.engine), state_of(record), record.host_id
    if condition == "paused":
        deed.engine = {"paused": True}
    elif condition == "powering down" or state in _STOPPING:
        deed.engine = _going_on("stopping", deed, number, state, sight)
    elif condition == "migrating away" or state in _LEAVING:
        _move(deed, record, records)
    elif condition in ("starting", "waiting for launch") or (
        condition == "bad" and state in _STARTING
    ):
        deed.engine = _going_on("starting", deed, number, state, sight)
    else:
        if record.engine.health != "good":
            deed.engine = {"health": "bad"}
        if condition not in ("good", "bad"):
            deed.notes.append(f"the engine on host {number} was {condition}: assumed to run")
        elif state not in _AT_REST | _STARTING:
            deed.notes.append(f"host {number} was in {state}: not used")


def _going_on(
    doing: str, deed: Deed, number: int, state: str, sight: Optional[Sight]
) -> dict[str, Any]:
    """Return the keys of an engine that has been doing something, for as long as is known."""
    said = f"the engine on host {number} was {doing}"
    if sight is not None and sight.host_id == number and sight.state == state and state:
        for_s = round(sight.state_for_s, 3)
        deed.notes.append(f"{said}, for {for_s:.0f} s so far")
        return {"doing": doing, "doing_for": for_s}
    deed.notes.append(f"{said}; since when is not known, assumed: just now (--status FILE of it)")
    return {"doing": doing}


def _move(deed: Deed, record: HostRecord, records: Mapping[int, HostRecord]) -> None:
    """Continue the migration that is under way, if its target is known."""
    targets = [
        number
        for number, other in records.items()
        if engine_condition(other.engine) == "migrating here" and not other.stopped
    ]
    number = record.host_id
    if record.engine.health != "good":
        deed.engine = {"health": "bad"}
    if len(targets) == 1:
        deed.timeline.append({"at": 0, "engine": f"migrate {targets[0]}"})
        deed.notes.append(
            f"the engine was moving from host {number} to host {targets[0]}: the move begins at 0 s"
        )
    else:
        deed.notes.append(
            f"the engine was leaving host {number}, and no record says for where: it stays there"
        )


def _note_other(deed: Deed, number: int, record: HostRecord) -> None:
    condition, state = engine_condition(record.engine), state_of(record)
    if condition == "waiting for launch" and record.engine.vm == "down":
        deed.notes.append(
            f"host {number} was about to take the engine's lease: it decides anew at 0 s"
        )
    elif state not in _AT_REST and condition != "migrating here" and not record.stopped:
        deed.notes.append(f"host {number} was in {state}: not used, it begins in EngineDown")
