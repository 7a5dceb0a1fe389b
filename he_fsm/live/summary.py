"""The broker's status in words: alarms, flags, lease, agent; and the records in it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, Final, Optional

from he_fsm.live.verdict import is_stale, is_stopped, verdict_of
from he_fsm.metadata import EngineStatus, HostRecord
from he_fsm.metadata.text import utc_text
from he_fsm.words import long_text, span_text

# A failure of a thread is shown for so long (seconds).
_RECENT_S: Final = 3600.0


def summary(found: dict[str, Any]) -> list[str]:
    """Return the lines above the blocks: verdict, alarms, flags, lease, agent, what is stale."""
    flags, here = found["maintenance"], found["host_id"]
    words = {True: "on", False: "off", None: "unknown"}
    everywhere = words[flags["global"]] + end_text(flags.get("global_until"))
    local = words[flags["local"]] + end_text(flags.get("local_until"))
    lines = [
        verdict_of(found).line,
        *_alarms(found["agent"]),
        *_threads("broker", found.get("threads", {})),
        *_threads("agent", found["agent"].get("threads", {})),
        f"Global maintenance: {everywhere}, local maintenance of host {here}: {local}",
        *_local_problem(flags),
        f"Engine's lease: {lease_text(found['lease'])}",
        f"Agent of host {here}: {_agent_text(found)}",
    ]
    return lines + _stale(found)


def warnings(found: dict[str, Any]) -> list[str]:
    """Return the lines about what is wrong beyond the verdict; none: nothing is."""
    return [
        *_stale(found),
        *_alarms(found["agent"]),
        *_threads("broker", found.get("threads", {})),
        *_threads("agent", found["agent"].get("threads", {})),
        *_local_problem(found["maintenance"]),
    ]


def _stale(found: dict[str, Any]) -> list[str]:
    if found["storage"] == "ok":
        return []
    age = found["read_age_s"]
    read = "was never read" if age is None else f"was last read {span_text(round(age))} ago"
    return [f"STALE: {found['storage']}; what follows {read}"]


def _alarms(agent: dict[str, Any]) -> list[str]:
    age_s = agent["age_s"] or 0.0
    return [
        f"ALARM {alarm['name']}, for {long_text(alarm['for_s'] + age_s)}: {alarm['text']}"
        for alarm in agent.get("alarms", ())
    ]


def _local_problem(flags: dict[str, Any]) -> list[str]:
    problem = flags.get("local_problem")
    if not problem:
        return []
    what = "the host stays out of service until `he-fsm maintenance none`, or `local`, sets it anew"
    return [f"WARNING {problem}; {what}"]


def _threads(daemon: str, failed: dict[str, Any]) -> list[str]:
    """Return a line for each thread that failed not long ago, or that runs no more."""
    lines = []
    for name, thread in sorted(failed.items()):
        error = f": {thread['error']}" if thread["error"] else ""
        if not thread["running"]:
            lines.append(f"WARNING the {daemon}'s thread {name} has ended{error}")
        elif thread["failed_s_ago"] < _RECENT_S:
            ago, times = long_text(thread["failed_s_ago"]), thread["restarts"]
            lines.append(
                f"WARNING the {daemon}'s thread {name} failed {ago} ago and was started again "
                f"({times} in all){error}"
            )
    return lines


def _agent_text(found: dict[str, Any]) -> str:
    agent = found["agent"]
    age_s = agent["age_s"]
    if is_stopped(found):
        return "stopped"
    if age_s is None:
        return "has not reported since the broker started"
    text = f"{agent['state']}, {agent['why']} ({span_text(round(age_s))} ago)"
    if is_stale(agent):
        return f"STALE, it does not report any more; it was {text}"
    return text


def lease_text(lease: Optional[dict[str, Any]]) -> str:
    """Return in words who holds the engine's lease, and when it can be taken."""
    if lease is None:
        return "not known, the lease manager does not answer"
    if lease["owner"] is None:
        return "free"
    text = f"host {lease['owner']}"
    if lease["generation"] is not None:
        text += f", generation {lease['generation']}"
    if lease["renewal_age_s"] is not None:
        text += f", renewed {lease['renewal_age_s']:.0f} s ago"
    if lease["free_in_s"] is not None:
        text += f", no longer renewed: free in {lease['free_in_s']:.0f} s"
    elif lease.get("runs_out_in_s") is not None:
        text += f", expires in {lease['runs_out_in_s']:.0f} s unless renewed"
    return text


def facts_of(lines: Iterable[str]) -> dict[str, str]:
    """Return the facts among the lines that a host writes for people: `state=EngineUp`."""
    return dict(line.split("=", 1) for line in lines if "=" in line)


def record_of(host_id: int, plain: dict[str, Any]) -> HostRecord:
    """Make a record of what the broker's status says."""
    return HostRecord(
        host_id=host_id,
        timestamp=plain["timestamp"],
        score=plain["score"],
        engine=EngineStatus(**plain["engine"]),
        hostname=plain["hostname"],
        local_maintenance=plain["maintenance"],
        stopped=plain["stopped"],
        text="\n".join(plain["text"]),
    )


def end_text(until: Optional[int]) -> str:
    """Return when a maintenance ends by itself, in words; None, and with it empty: never."""
    if until is None:
        return ""
    left_s = until - time.time()
    when = f"{span_text(left_s)} left" if left_s > 0 else "its time is over"
    return f" until {utc_text(until, 0.0)} UTC ({when})"
