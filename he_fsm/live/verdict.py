"""The first line of `he-fsm status`: is the engine good, and if not, what is wrong."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.metadata import EngineStatus, engine_condition
from he_fsm.words import hosts_text, long_text, several, slots_text

# What `he-fsm status` ends with; 2 is wrong usage, as in every command.
GOOD, DEGRADED, DOWN, UNKNOWN = "good", "degraded", "down", "unknown"
EXITS: Final = {GOOD: 0, DEGRADED: 1, DOWN: 3, UNKNOWN: 3}
# An agent that is silent for so many loops does not run, or hangs.
LOOPS_MISSED: Final = 3
# Conditions of a VM that does not execute.
_STANDS_STILL: Final = ("paused", "waiting for launch")


@attrs.frozen(kw_only=True)
class Verdict:
    """
    What a status comes to.

    `level`: good, degraded, down or unknown. `line`: one sentence. `engine_on`: the living host
    that has the engine VM. `engine`: its condition. `since`: when that began, in UTC; `earlier`:
    it was so already when this host's agent first looked. `wrong`: what degrades it.
    """

    level: str
    line: str
    engine_on: Optional[int] = None
    engine: str = "unknown"
    since: Optional[dt.datetime] = None
    earlier: bool = False
    wrong: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """The exit status of `he-fsm status`."""
        return EXITS[self.level]

    def as_json(self) -> dict[str, Any]:
        """Return the verdict as a plain object."""
        since = None if self.since is None else self.since.isoformat(timespec="seconds")
        plain = attrs.asdict(self)
        return {**plain, "since": since, "wrong": list(self.wrong), "exit_status": self.exit_status}


def no_answer(why: str) -> Verdict:
    """Return the verdict where the broker does not answer."""
    return Verdict(level=UNKNOWN, line=f"engine unknown: {why}")


def verdict_of(found: Mapping[str, Any], now: Optional[float] = None) -> Verdict:
    """Judge the broker's status; *now*: seconds since 1970, the machine's own clock if None."""
    blind = why_blind(found)
    if blind is not None:
        return Verdict(level=UNKNOWN, line=f"engine unknown: {blind}")
    runs_on = _runs_on(found)
    if runs_on is None:
        return _without_engine(found, now)
    status = EngineStatus(**found["hosts"][str(runs_on)]["engine"])
    condition = engine_condition(status)
    since, earlier = _since(found, runs_on, condition, now)
    text = f"engine {condition} on host {runs_on}{_since_text(since, earlier)}"
    wrong = _what_is_wrong(found, runs_on)
    known: dict[str, Any] = {
        "engine_on": runs_on,
        "engine": condition,
        "since": since,
        "earlier": earlier,
    }
    if condition in _STANDS_STILL:
        return Verdict(level=DOWN, line=_joined(text, wrong), wrong=wrong, **known)
    if status.health != "good" and condition == "bad":
        text += ": its health page is not good"
    if status.health == "good" and not wrong:
        return Verdict(level=GOOD, line=text, **known)
    return Verdict(level=DEGRADED, line=_joined(text, wrong), wrong=wrong, **known)


def _joined(text: str, wrong: tuple[str, ...]) -> str:
    return f"{text}; but {'; '.join(wrong)}" if wrong else text


def is_stale(agent: Mapping[str, Any]) -> bool:
    """Return whether the agent has not reported for so long that it does not run, or hangs."""
    age_s, loop_s = agent.get("age_s"), agent.get("loop_s")
    return age_s is not None and loop_s is not None and age_s > LOOPS_MISSED * loop_s


def is_stopped(found: Mapping[str, Any]) -> bool:
    """Return whether this host's agent stopped cleanly: its last record says so."""
    agent = found["agent"]
    if agent.get("published") is False and not is_stale(agent):
        # It runs, and can't write: the record is that of the agent before it.
        return False
    return bool(found["hosts"].get(str(found["host_id"]), {}).get("stopped"))


def why_blind(found: Mapping[str, Any]) -> Optional[str]:
    """Return why this host's status says nothing about the present; None: it does."""
    here, agent = found["host_id"], found["agent"]
    if found["storage"] != "ok":
        return str(found["storage"])
    if is_stopped(found):
        return f"the agent of this host ({here}) is stopped; ask another host, or start it"
    if agent.get("age_s") is None:
        return (
            f"the agent of this host ({here}) has not reported since the broker started:"
            " is he-fsm-agent running?"
        )
    if is_stale(agent):
        return (
            f"the agent of this host ({here}) has not reported for {long_text(agent['age_s'])}:"
            " is he-fsm-agent running?"
        )
    return None


def _runs_on(found: Mapping[str, Any]) -> Optional[int]:
    """Return the living host on which the engine VM is up; the healthiest, if several say so."""
    up = []
    for number in found["agent"].get("alive", ()):
        plain = found["hosts"].get(str(number), {})
        if plain.get("engine", {}).get("vm") == "up":
            up.append((-EngineStatus(**plain["engine"]).rank, int(number)))
    return min(up)[1] if up else None


def _since(
    found: Mapping[str, Any], runs_on: Optional[int], condition: str, now: Optional[float]
) -> tuple[Optional[dt.datetime], bool]:
    """Return since when the engine has been so, if the agent has seen the same."""
    agent = found["agent"]
    seen = agent.get("engine_seen")
    if not seen or (seen["host"], seen["condition"]) != (runs_on, condition):
        return None, False
    ago_s = seen["for_s"] + (agent["age_s"] or 0.0)
    moment = (time.time() if now is None else now) - ago_s
    return dt.datetime.fromtimestamp(moment, dt.timezone.utc), not seen["saw_change"]


def _since_text(since: Optional[dt.datetime], earlier: bool) -> str:
    if since is None:
        return ""
    # People compare it with the clock on their wall.
    shown = since.astimezone().strftime("%Y-%m-%d %H:%M:%S")
    return f" since {shown}{' or earlier' if earlier else ''}"


def _without_engine(found: Mapping[str, Any], now: Optional[float]) -> Verdict:
    agent, lease = found["agent"], found["lease"]
    owner = None if lease is None else lease["owner"]
    since, earlier = _since(found, None, "down", now)
    pending = agent.get("pending", ())
    if pending and not found["host_id"]:
        # Seen from outside; an agent has other sources, and knows sooner.
        line = (
            f"engine unknown: {several(len(pending), 'record')} may be old; who is alive is known"
            " when they grow, or after a minute"
        )
        return Verdict(level=UNKNOWN, line=line)
    if owner is not None and lease["owner_state"] == "live" and owner not in agent.get("alive", ()):
        line = (
            f"engine unknown: host {owner} holds its lease and renews it, but its agent is silent:"
            f" the VM probably runs there; look at he-fsm-agent on host {owner}"
        )
        return Verdict(level=UNKNOWN, line=line)
    line = f"engine down{_since_text(since, earlier)}: {_why_down(found)}"
    return Verdict(level=DOWN, line=line, engine="down", since=since, earlier=earlier)


def _why_down(found: Mapping[str, Any]) -> str:
    agent, lease = found["agent"], found["lease"]
    if found["maintenance"]["global"]:
        return "global maintenance is on, so nobody starts it"
    for alarm in agent.get("alarms", ()):
        if alarm["name"] in ("engine-down", "hands-off"):
            return str(alarm["text"])
    if lease is not None and lease["owner"] is not None and lease["free_in_s"] is not None:
        left_s = lease["free_in_s"]
        return f"host {lease['owner']} no longer renews its lease, which is free in {left_s:.0f} s"
    return str(agent.get("placement") or "the agent has not said")


def _what_is_wrong(found: Mapping[str, Any], runs_on: int) -> tuple[str, ...]:
    """Return what degrades a cluster whose engine is up."""
    agent, here = found["agent"], found["host_id"]
    wrong = [f"alarm {alarm['name']}" for alarm in agent.get("alarms", ())]
    everywhere = found["maintenance"]["global"]
    if everywhere:
        wrong.append("global maintenance is on, so nobody starts it again")
    elif everywhere is None:
        wrong.append("the flag of global maintenance (slot 0) can't be read")
    if found["lease"] is None:
        # Who looks at the whiteboard from outside is host 0, and has none.
        wrong += ["the lease manager of this host does not answer"] if here else []
    elif found["lease"].get("held_by_other"):
        wrong.append(f"another host has taken the id of this one, {here}")
    if agent.get("state") == "Unknown":
        wrong.append(f"the agent of host {here} is in Unknown: {agent.get('why', '')}")
    wrong += _wrong_slots(found, runs_on)
    return tuple(wrong)


def _wrong_slots(found: Mapping[str, Any], runs_on: int) -> list[str]:
    """Return what is wrong with the other hosts, as their slots show it."""
    agent, hosts = found["agent"], found["hosts"]
    alive = set(agent.get("alive", ()))
    known = alive | set(agent.get("pending", ()))
    damaged = [int(key) for key, plain in hosts.items() if "problem" in plain]
    records = {int(key): plain for key, plain in hosts.items() if "problem" not in plain}
    silent = [n for n, plain in records.items() if n not in known and not plain["stopped"]]
    others = [number for number in records if number != runs_on]
    able = [number for number in others if number in known and records[number]["score"] > 0]
    wrong = []
    if damaged:
        wrong.append(f"{slots_text(damaged)} can't be believed")
    if silent:
        named = hosts_text(silent)
        wrong.append(f"{named} is silent" if len(silent) == 1 else f"{named} are silent")
    if others and not able:
        wrong.append("no other host could take over")
    return wrong
