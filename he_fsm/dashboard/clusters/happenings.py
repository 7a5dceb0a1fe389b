"""What has happened between two statuses of a cluster, each with its reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Optional

import attrs

from he_fsm.live.summary import facts_of
from he_fsm.live.verdict import Verdict

Status = Mapping[str, Any]


@attrs.frozen(kw_only=True)
class Happening:
    """
    Something that happened.

    `at`: seconds since 1970, as far as it is known. `host`: its id; None: the cluster. `kind`:
    state, alarm, engine, alive, maintenance, slot, storage, lease or score. `text`: what and why.
    `level`: good, bad, or empty.
    """

    at: float
    kind: str
    text: str
    host: Optional[int] = None
    level: str = ""


@attrs.frozen(kw_only=True)
class Looked:
    """A status, when it was read (seconds since 1970), and its verdict."""

    at: float
    status: Status
    verdict: Verdict


def happenings(before: Optional[Looked], now: Looked) -> list[Happening]:
    """Return what happened between two looks, in order; *before* None: what the agent remembers."""
    found = list(_of_agent(before, now))
    if before is not None:
        found += _of_engine(before, now)
        found += _of_flags(before, now)
        found += _of_hosts(before, now)
        found += _of_storage(before, now)
    return sorted(found, key=lambda each: each.at)


def _of_agent(before: Optional[Looked], now: Looked) -> Iterator[Happening]:
    """Tell the edges and alarms of this host's agent, each once."""
    agent, here = now.status["agent"], now.status["host_id"]
    known = set()
    if before is not None:
        known = {each["at"] for each in before.status["agent"].get("events", ())}
    for event in agent.get("events", ()):
        if event["at"] in known:
            continue
        at = now.at - (agent["age_s"] or 0.0) - event["age_s"]
        if "alarm" in event:
            is_over = event["is_over"]
            word = "over" if is_over else "raised"
            text = f"alarm {event['alarm']} {word}: {event['why']}"
            level = "good" if is_over else "bad"
            yield Happening(at=at, kind="alarm", text=text, host=here, level=level)
        else:
            text = f"{event['source']} \N{RIGHTWARDS ARROW} {event['to']}: {event['why']}"
            yield Happening(at=at, kind="state", text=text, host=here)


def _of_engine(before: Looked, now: Looked) -> Iterator[Happening]:
    was, found = before.verdict, now.verdict
    if (was.engine_on, was.engine) == (found.engine_on, found.engine):
        return
    at = now.at
    if found.engine_on is None:
        yield Happening(at=at, kind="engine", text=found.line, level="bad")
        return
    text = f"the engine is {found.engine} on host {found.engine_on}"
    level = "good" if found.engine == "good" else ""
    yield Happening(at=at, kind="engine", text=text, host=found.engine_on, level=level)


def _of_flags(before: Looked, now: Looked) -> Iterator[Happening]:
    was, found = before.status["maintenance"]["global"], now.status["maintenance"]["global"]
    if was != found:
        words = {True: "is on", False: "is off", None: "can't be read"}
        text = f"global maintenance {words[found]}"
        yield Happening(at=now.at, kind="maintenance", text=text)


def _of_hosts(before: Looked, now: Looked) -> Iterator[Happening]:
    yield from _of_life(before, now)
    own = now.status["host_id"]
    for key, plain in now.status["hosts"].items():
        host, was = int(key), before.status["hosts"].get(key)
        if was is None:
            continue
        if was.get("problem") != plain.get("problem"):
            problem = plain.get("problem")
            text = f"slot {host} is believed again"
            if problem is not None:
                text = f"slot {host} can't be believed: {problem}"
            level = "good" if problem is None else "bad"
            yield Happening(at=now.at, kind="slot", text=text, host=host, level=level)
        if "problem" in was or "problem" in plain:
            continue
        yield from _of_record(now.at, host, was, plain, is_own=host == own)


def _of_life(before: Looked, now: Looked) -> Iterator[Happening]:
    was, agent = before.status["agent"], now.status["agent"]
    if "alive" not in was or "alive" not in agent:
        return
    for host in sorted(set(was["alive"]) - set(agent["alive"])):
        has_stopped = now.status["hosts"].get(str(host), {}).get("stopped")
        text = "its agent has stopped" if has_stopped else "it is silent: taken for dead"
        level = "" if has_stopped else "bad"
        yield Happening(at=now.at, kind="alive", text=text, host=host, level=level)
    for host in sorted(set(agent["alive"]) - set(was["alive"]) - set(was.get("pending", ()))):
        yield Happening(at=now.at, kind="alive", text="it is alive", host=host, level="good")


def _of_record(
    at: float, host: int, was: Status, now: Status, *, is_own: bool
) -> Iterator[Happening]:
    if was["maintenance"] != now["maintenance"]:
        text = f"local maintenance is {'on' if now['maintenance'] else 'off'}"
        yield Happening(at=at, kind="maintenance", text=text, host=host)
    facts, before = facts_of(now["text"]), facts_of(was["text"])
    state, from_state = facts.get("state"), before.get("state")
    # Of its own edges the agent says why.
    if state != from_state and state and from_state and not is_own:
        text = f"{from_state} \N{RIGHTWARDS ARROW} {state}"
        yield Happening(at=at, kind="state", text=text, host=host)
    if was["score"] != now["score"]:
        why = facts.get("score-why", "")
        text = f"score {was['score']} \N{RIGHTWARDS ARROW} {now['score']}"
        yield Happening(at=at, kind="score", text=f"{text}: {why}" if why else text, host=host)


def _of_storage(before: Looked, now: Looked) -> Iterator[Happening]:
    was, found = before.status["storage"], now.status["storage"]
    if (was == "ok") != (found == "ok"):
        text = "the storage can be read again" if found == "ok" else str(found)
        level = "good" if found == "ok" else "bad"
        yield Happening(at=now.at, kind="storage", text=text, level=level)
    held, holds = before.status["lease"], now.status["lease"]
    owner, last = (None if each is None else each["owner"] for each in (holds, held))
    if owner != last and holds is not None and held is not None:
        text = "the engine's lease is free" if owner is None else "it has the engine's lease"
        yield Happening(at=now.at, kind="lease", text=text, host=owner)
