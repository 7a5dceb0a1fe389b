"""
What people are told of that stays wrong: again and again, ever more rarely, with what ends it.

An edge is told once, when it is taken. What stays wrong although nothing changes, so that no edge
is taken, is an alarm: it is raised while its condition holds, told after its delay, repeated after
twice as long each time (`Policy.alarm_repeat_s` to `alarm_repeat_max_s`), and its end is told as
well. One that comes and goes is the same alarm, and grows rare too. What every host sees one of
them tells (`View.speaks`); what one host alone knows it tells itself.
"""

from __future__ import annotations

from typing import Callable, NamedTuple, Optional

from he_fsm.effects import Alarm
from he_fsm.memory import Memory
from he_fsm.metadata.record import HostRecord
from he_fsm.policy import doubled_s
from he_fsm.remembered import RaisedAlarm
from he_fsm.snapshot import Health, VmState
from he_fsm.states import guards
from he_fsm.states.names import State
from he_fsm.states.view import View
from he_fsm.watchdogs import others_unlike
from he_fsm.words import span_text

SLOT_0 = "slot-0"
ENGINE_DOWN = "engine-down"
UNWATCHED = "unwatched"
HANDS_OFF = "hands-off"
BAD_ENDINGS = "bad-endings"
DRAIN = "drain"
BLIND = "blind"
DOOM = "doom"
HEALTH_UNKNOWN = "health-unknown"
SANLOCK_TIMES = "sanlock-times"
WATCHDOGS = "watchdogs"

MEANING = {
    SLOT_0: "slot 0 of the whiteboard, with the flag of global maintenance, can't be believed",
    ENGINE_DOWN: "the engine runs nowhere, and no host may start it",
    UNWATCHED: "a host has the engine's lease, and its agent is silent: nobody watches the engine",
    HANDS_OFF: "the engine runs nowhere, and global maintenance keeps all hosts from starting it",
    BAD_ENDINGS: "starts fail or runs end badly on this host, time after time",
    DRAIN: "local maintenance is set, or a shutdown, and the engine can't leave this host",
    BLIND: "this host can't read its storage, its leases or its hypervisor",
    DOOM: "this host is about to be reset, or to lose its host id",
    HEALTH_UNKNOWN: "the engine runs here, and this host can't tell whether it is well",
    SANLOCK_TIMES: "sanlock on this host goes by other times than the policy",
    WATCHDOGS: "the watchdogs of the hosts take different times",
}


class Wrong(NamedTuple):
    """
    Something that is wrong: its alarm, how long until it is told, who tells it, and the text.

    `changed_at`: when it last got worse, where it is told again only after that.
    """

    name: str
    after_s: float
    by_one: bool
    text: Callable[[View], str]
    changed_at: Optional[float] = None


class Raised(NamedTuple):
    """What became of the alarms in one step: the ledger, what is told, and all that are raised."""

    memory: Memory
    effects: tuple[Alarm, ...]
    active: tuple[Alarm, ...]


def raise_alarms(view: View) -> Raised:
    """Return the alarms as they are after this look."""
    memory = view.memory
    before = {alarm.name: alarm for alarm in memory.alarms}
    ledger: list[RaisedAlarm] = []
    told: list[Alarm] = []
    active: list[Alarm] = []
    for wrong in _what_is_wrong(view):
        alarm = _raised(before.pop(wrong.name, None), wrong, view)
        shown = Alarm(wrong.name, wrong.text(view), alarm.told)
        if _goes_on(wrong, alarm, view) and view.due(alarm.next_at):
            if not wrong.by_one or view.speaks:
                told.append(shown)
                alarm = _told_once_more(alarm, view)
            else:
                alarm = _told_by_another(alarm, view)
            view.due(alarm.next_at)
        if alarm.is_open:
            active.append(shown)
        ledger.append(alarm)
    for alarm in before.values():
        if alarm.is_open and (alarm.name not in _BY_ONE or view.speaks):
            told.append(Alarm(alarm.name, f"it is over: {MEANING[alarm.name]}", is_over=True))
        if alarm.told and not view.due(alarm.next_at + _pause_s(alarm.told - 1, view)):
            ledger.append(_over(alarm, view))
    alarms = tuple(ledger)
    if alarms != memory.alarms:
        memory = memory._replace(alarms=alarms)
    return Raised(memory, tuple(told), tuple(active))


def _raised(alarm: Optional[RaisedAlarm], wrong: Wrong, view: View) -> RaisedAlarm:
    """Return the alarm of something that is wrong: a new one, or that of a while ago again."""
    due_at = view.now + wrong.after_s
    if alarm is None:
        return RaisedAlarm(name=wrong.name, since=view.now, told=0, next_at=due_at)
    if alarm.ended_at is None:
        return alarm
    next_at = max(alarm.next_at, due_at)
    return alarm._replace(since=view.now, next_at=next_at, ended_at=None)


def _over(alarm: RaisedAlarm, view: View) -> RaisedAlarm:
    """Return an alarm that is over, kept for a while: it may come again."""
    if alarm.ended_at is None:
        return alarm._replace(ended_at=view.now, is_open=False)
    return alarm._replace(is_open=False) if alarm.is_open else alarm


def _goes_on(wrong: Wrong, alarm: RaisedAlarm, view: View) -> bool:
    """Return whether it is worth telling once more: it has got worse since it was told."""
    if wrong.changed_at is None or not alarm.told:
        return True
    return wrong.changed_at > alarm.next_at - _pause_s(alarm.told - 1, view)


def _told_once_more(alarm: RaisedAlarm, view: View) -> RaisedAlarm:
    next_at = view.now + _pause_s(alarm.told, view)
    return alarm._replace(told=alarm.told + 1, next_at=next_at, is_open=True)


def _told_by_another(alarm: RaisedAlarm, view: View) -> RaisedAlarm:
    """Return an alarm that is left to another host; should that be dead, it is soon known."""
    next_at = view.now + view.policy.dead_after_s
    return alarm._replace(told=max(1, alarm.told), next_at=next_at, is_open=True)


def _pause_s(told: int, view: View) -> float:
    """Return the pause after an alarm that had been told so often before."""
    policy = view.policy
    return doubled_s(policy.alarm_repeat_s, told, policy.alarm_repeat_max_s)


def is_all_well(view: View) -> bool:
    """Return whether no alarm is raised, nor can be: of nearly all looks that is quickly seen."""
    memory = view.memory
    return (
        not memory.alarms
        and view.placement.engine_on is not None
        and memory.state is not State.UNKNOWN
        and memory.global_problem is None
        and memory.failed.count < view.policy.failed_starts_max
        and memory.draining_since is None
        and view.leases.doomed_until is None
        and (view.vm is not VmState.UP or view.snapshot.vm.health is not Health.UNKNOWN)
        and not view.unlike
        and not others_unlike(memory.sightings, view.policy)
    )


def _what_is_wrong(view: View) -> list[Wrong]:
    memory, policy = view.memory, view.policy
    found: list[Wrong] = []
    if view.is_doomed:
        found.append(Wrong(DOOM, 0.0, False, _why_doom))
    if guards.facts_are_missing(view):
        if memory.state is State.UNKNOWN:
            found.append(Wrong(BLIND, policy.dead_after_s, False, guards.what_is_missing))
        # Of what else is wrong a host that can't see knows nothing; what it knew stays raised.
        names = {wrong.name for wrong in found}
        raised = [alarm.name for alarm in memory.alarms if alarm.name not in names]
        return found + [_KNOWN[name] for name in raised if name in _KNOWN]
    found += _what_is_unlike(view)
    if memory.global_problem is not None:
        found.append(Wrong(SLOT_0, 0.0, True, _why_slot_0))
    if _runs_nowhere(view):
        if memory.state is State.GLOBAL_MAINTENANCE:
            if memory.moves.seen_on is not None:
                found.append(Wrong(HANDS_OFF, 0.0, True, _why_hands_off))
        elif not view.placement.hosts and not view.placement.waits_for:
            found.append(Wrong(ENGINE_DOWN, policy.loop_s, True, _why_down))
    elif _is_unwatched(view):
        found.append(Wrong(UNWATCHED, policy.dead_after_s, True, _why_unwatched))
    if memory.failed.count >= policy.failed_starts_max:
        last_at = memory.failed.last_at
        found.append(Wrong(BAD_ENDINGS, 0.0, False, _why_bad_endings, last_at))
    if memory.draining_since is not None:
        found.append(Wrong(DRAIN, 2 * policy.drain_retry_s, False, _why_drain))
    if view.vm is VmState.UP and view.snapshot.vm.health is Health.UNKNOWN:
        found.append(Wrong(HEALTH_UNKNOWN, policy.bad_health_s, False, _why_health))
    return found


def _what_is_unlike(view: View) -> list[Wrong]:
    """Return what is wrong with the times of sanlock and watchdog, here and on other hosts."""
    found: list[Wrong] = []
    if view.unlike:
        found.append(Wrong(SANLOCK_TIMES, 0.0, False, _why_sanlock_times))
    if _others_unlike(view):
        found.append(Wrong(WATCHDOGS, view.policy.dead_after_s, True, _why_watchdogs))
    return found


def _runs_nowhere(view: View) -> bool:
    """Return whether it is known that no host runs the engine, nor holds its lease and lives."""
    return (
        view.placement.engine_on is None
        and not view.vm_is_here
        and not view.liveness.pending
        and view.lease_can_be_taken
    )


def _is_unwatched(view: View) -> bool:
    """
    Return whether a host keeps the engine's lease whose agent has fallen silent.

    No other host may end its VM or start one. An agent that said that it stops was stopped on
    purpose.
    """
    owner = view.leases.owner
    if owner is None or owner == view.snapshot.host_id or view.leases.free_at is not None:
        return False
    if view.memory.state is State.GLOBAL_MAINTENANCE:
        return False
    seen = view.memory.sightings.get(owner)
    is_stopped = seen is not None and seen.record is not None and seen.record.stopped
    is_silent = owner not in view.liveness.alive and owner not in view.liveness.pending
    return is_silent and not is_stopped


def _why_unwatched(view: View) -> str:
    owner = view.leases.owner
    return (
        f"host {owner} has the engine's lease, and its agent is silent: nobody watches the engine, "
        f"and no other host may start it. To end it: start he-fsm-agent on host {owner}, or power "
        "that host off"
    )


def _why_slot_0(view: View) -> str:
    memory = view.memory
    word = "?" if memory.global_problem is None else memory.global_problem.value
    if memory.global_maintenance is None:
        return (
            f"slot 0 of the whiteboard can't be believed ({word}), and no host knows its value: "
            "all act as in global maintenance. To end it: he-fsm maintenance global --off"
        )
    value = "on" if memory.global_maintenance else "off"
    return (
        f"slot 0 of the whiteboard can't be believed ({word}): global maintenance is taken as "
        f"{value}, and slot 0 is written again"
    )


def _why_hands_off(view: View) -> str:
    why = guards.why_global_maintenance(view)
    return (
        f"the engine runs nowhere and nobody starts it: {why}. "
        "To end it: he-fsm maintenance global --off"
    )


def _why_down(view: View) -> str:
    kept_by = view.placement.kept_by
    if kept_by:
        return (
            f"the engine runs nowhere: {view.placement.reason}. To end it: start host "
            f"{kept_by[0]}, or let any host start the engine: he-fsm storage clear-slot "
            f"{kept_by[0]}"
        )
    hosts = sorted(view.liveness.alive)
    records = {
        host_id: seen.record
        for host_id, seen in view.memory.sightings.items()
        if seen.record is not None
    }
    if view.snapshot.own is not None:
        records[view.snapshot.host_id] = view.snapshot.own
    reasons = [_why_not(view, host_id, records.get(host_id)) for host_id in hosts[:_HOSTS_SHOWN]]
    if len(hosts) > _HOSTS_SHOWN:
        reasons.append(f"{len(hosts) - _HOSTS_SHOWN} more")
    in_maintenance = [
        host_id for host_id in hosts if (r := records.get(host_id)) and r.local_maintenance
    ]
    ends = "mend what costs a host its score (he-fsm status says what)"
    if in_maintenance:
        ends = f"he-fsm maintenance local --off, on host {in_maintenance[0]}"
    return (
        f"the engine runs nowhere and no host may start it: {'; '.join(reasons)}. To end it: {ends}"
    )


_HOSTS_SHOWN = 8


def _why_not(view: View, host_id: int, record: Optional[HostRecord]) -> str:
    if host_id == view.snapshot.host_id and view.is_blocked:
        return f"host {host_id}: {guards.blocked_until(view)}"
    if record is None:
        return f"host {host_id} has no record"
    if record.local_maintenance:
        return f"host {host_id} is in local maintenance"
    return f"host {host_id} has score {record.score}"


def _why_bad_endings(view: View) -> str:
    failed = view.memory.failed
    blocked_s = failed.last_at + view.policy.blocked_s(failed.count) - view.now
    then = "" if blocked_s <= 0 else f"; nothing is started here for {span_text(round(blocked_s))}"
    ago = span_text(round(view.now - failed.last_at))
    return (
        f"{failed.count} starts failed or runs ended badly on this host, the last {ago} ago{then}. "
        "The VM's log on this host says why"
    )


def _why_drain(view: View) -> str:
    moves = view.memory.moves
    since = view.memory.draining_since
    waited = span_text(0.0 if since is None else round(view.now - since))
    if view.next_target() is None:
        why = "no other living host has a score above 0"
    elif moves.failures:
        why = f"{moves.failures} migrations failed, the last to host {moves.refused_by}"
    else:
        why = guards.what_the_drain_waits_for(view)
    if not view.snapshot.local_maintenance:
        return f"the shutdown of this host has waited for {waited} for the engine to leave: {why}"
    return (
        f"local maintenance has waited for {waited} for the engine to leave this host: "
        f"{why}. To keep the engine here: he-fsm maintenance local --off"
    )


def _why_doom(view: View) -> str:
    until = view.leases.doomed_until
    left_s = 0.0 if until is None else until - view.now
    return f"{view.leases.doom}; within {left_s:.0f} s. Nothing is started here until then"


def _why_health(_: View) -> str:
    return (
        "the engine's health page does not answer, and neither do this host's bridge and gateway: "
        "the engine is left alone. Mend the host's network"
    )


def _why_sanlock_times(view: View) -> str:
    return (
        f"{view.unlike}: this host starts no engine. Set watchdog_fire_timeout and kill_grace in "
        "sanlock.conf and the policy alike, on all hosts"
    )


def _others_unlike(view: View) -> list[tuple[int, float]]:
    found = others_unlike(view.memory.sightings, view.policy)
    return [(host_id, told_s) for host_id, told_s in found if host_id in view.liveness.alive]


def _why_watchdogs(view: View) -> str:
    found = _others_unlike(view)
    told = [f"host {host_id}'s {told_s:g} s" for host_id, told_s in found[:_HOSTS_SHOWN]]
    if len(found) > _HOSTS_SHOWN:
        told.append(f"{len(found) - _HOSTS_SHOWN} more")
    return (
        f"the watchdogs take different times: this host's {view.policy.watchdog_s:g} s, "
        f"{', '.join(told)}. Whoever takes a dead host's lease waits for the longer one. Set "
        "watchdog_fire_timeout in sanlock.conf and policy.watchdog_s alike on all hosts"
    )


def _known(name: str) -> Wrong:
    return Wrong(name, 0.0, name in _BY_ONE, lambda _: MEANING[name])


_BY_ONE = frozenset((SLOT_0, ENGINE_DOWN, UNWATCHED, HANDS_OFF, WATCHDOGS))
# What a host that can't see goes on to think wrong until it can see again.
_KNOWN = {name: _known(name) for name in MEANING if name != BLIND}
