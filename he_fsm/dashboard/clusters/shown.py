"""
What browsers are shown of a status, in small parts by key: only parts that change are sent.

`head`: the cluster. `host/N`: one host, as its record shows it. `ages`: what grows with time.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from he_fsm.live.summary import facts_of, lease_text, warnings
from he_fsm.live.verdict import Verdict, is_stale
from he_fsm.metadata import EngineStatus, engine_condition
from he_fsm.words import printable

# A line of `score-why`: points, the part's name, and the fact in parentheses.
_PART: Final = re.compile(r"(?P<points>[+-]?\d+) (?P<name>[^(,]+?) \((?P<why>.*?)\)(?:, |$)")
# Lines that grow with every heartbeat, or that other columns show.
_HIDDEN: Final = frozenset(
    ("timestamp", "host-id", "score", "score-why", "state", "metadata_parse_version")
) | {"metadata_feature_version", "vm_conf_refresh_time", "conf_on_shared_storage"}
_BAD, _WARN = "bad", "warn"
_KINDS: Final = {"ALARM": _BAD, "STALE:": _BAD, "WARNING": _WARN}


def parts_of(why: str) -> list[dict[str, Any]]:
    """Return what costs a host points, part by part; none where the text says it otherwise."""
    return [
        {"points": int(found["points"]), "name": found["name"], "why": found["why"]}
        for found in _PART.finditer(why)
    ]


def keys_of(at: float, status: Mapping[str, Any], verdict: Verdict) -> dict[str, Any]:
    """
    Return the values of one look; *at*: when it was read (seconds since 1970).

    All times in them are as of *at*.
    """
    agent = status["agent"]
    alive = agent.get("alive")
    found: dict[str, Any] = {
        f"host/{key}": _host(int(key), plain, alive, agent.get("pending", ()))
        for key, plain in status["hosts"].items()
    }
    found["ages"] = {"at": at, "hosts": _ages(status)}
    found["head"] = {
        "at": at,
        "verdict": verdict.as_json(),
        "warnings": list(_warnings(status, verdict)),
        "maintenance": status["maintenance"],
        "lease": _lease(status["lease"]),
        "host_id": status["host_id"],
        "agent": _agent(agent),
        "monitors": {name: _finite(plain) for name, plain in status["monitors"].items()},
        "storage": status["storage"],
        "read_age_s": status["read_age_s"],
    }
    return found


def _warnings(status: Mapping[str, Any], verdict: Verdict) -> Iterator[dict[str, str]]:
    """Return what is wrong beside the verdict's first words, the worst first."""
    lines = [_warning(line) for line in warnings(dict(status))]
    # An alarm is told with its own words below.
    wrong = [text for text in verdict.wrong if not text.startswith("alarm ")]
    lines += [{"level": _WARN, "text": printable(text)} for text in wrong]
    yield from sorted(lines, key=lambda line: line["level"] != _BAD)


def _warning(line: str) -> dict[str, str]:
    kind, _, rest = line.partition(" ")
    level = _KINDS.get(kind, _WARN)
    text = f"alarm {rest}" if kind == "ALARM" else rest
    return {"level": level, "text": printable(text)}


def _finite(plain: Any) -> Any:
    """Return what a monitor read; JSON has no word for a number that is none."""
    value = plain["value"]
    if isinstance(value, float) and not math.isfinite(value):
        return {**plain, "value": str(value)}
    return plain


def _lease(lease: Any) -> Any:
    return None if lease is None else {**lease, "text": lease_text(lease)}


_AGENT: Final = (
    *("state", "state_for_s", "why", "placement", "published", "vm", "health", "failed_starts"),
    *("hostname", "loop_s", "score", "score_why", "age_s", "migration"),
)


def _agent(agent: Mapping[str, Any]) -> dict[str, Any]:
    found = {name: agent[name] for name in _AGENT if agent.get(name) is not None}
    return {**found, "stale": is_stale(agent)}


def _ages(status: Mapping[str, Any]) -> dict[str, float]:
    """Return how old each living host's record is, as far as this host's agent has seen it grow."""
    agent = status["agent"]
    since_s = agent.get("age_s") or 0.0
    found = {key: seen["age_s"] + since_s for key, seen in agent.get("sees", {}).items()}
    if agent.get("age_s") is not None and agent.get("published"):
        found[str(status["host_id"])] = since_s
    return {key: round(age_s, 1) for key, age_s in found.items()}


def _host(host: int, plain: Mapping[str, Any], alive: Any, pending: Iterable[int]) -> Any:
    if "problem" in plain:
        return {"id": host, "problem": plain["problem"], "detail": printable(str(plain["detail"]))}
    facts = facts_of(plain["text"])
    why = facts.get("score-why", "")
    engine = EngineStatus(**plain["engine"])
    others = [line for line in plain["text"] if line.partition("=")[0] not in _HIDDEN]
    return {
        "id": host,
        "hostname": printable(plain["hostname"]),
        "state": printable(facts.get("state", "")),
        "score": plain["score"],
        "why": printable(why),
        "parts": parts_of(why),
        "engine": {**plain["engine"], "condition": engine_condition(engine)},
        "maintenance": plain["maintenance"],
        "stopped": plain["stopped"],
        "life": _life(host, plain, alive, pending),
        "text": [printable(line) for line in others],
    }


def _life(host: int, plain: Mapping[str, Any], alive: Any, pending: Iterable[int]) -> str:
    """Return stopped, alive, silent, or unknown."""
    if plain["stopped"]:
        return "stopped"
    if alive is None or host in pending:
        return "unknown"
    return "alive" if host in alive else "silent"
