"""Making a scenario that fails smaller: what can be left out is left out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Callable

from he_fsm.errors import ScenarioError
from searching.draw import Spec, read


def shrunk(spec: Spec, fails: Callable[[Spec], bool], seconds: float) -> Spec:
    """Return a smaller scenario that fails as well; at most *seconds* are spent on it."""
    ends_at = time.monotonic() + seconds
    is_smaller = True
    while is_smaller and time.monotonic() < ends_at:
        is_smaller = False
        for smaller in _smaller(spec):
            if time.monotonic() > ends_at:
                break
            if _can_be_read(smaller) and fails(smaller):
                spec, is_smaller = smaller, True
                break
    return spec


def _can_be_read(spec: Spec) -> bool:
    try:
        read(spec)
    except ScenarioError:
        return False
    return True


def _smaller(spec: Spec) -> Iterator[Spec]:
    """Return scenarios that are smaller by one thing; what saves most comes first."""
    timeline = spec["timeline"]
    for at in range(len(timeline)):
        yield {**spec, "timeline": timeline[:at] + timeline[at + 1 :]}
    for key in ("expect", "maintenance", "policy"):
        if key in spec:
            yield _without(spec, key)
    yield from _smaller_surroundings(spec)
    if spec["engine"]["running_on"] not in (None, 1):
        yield {**spec, "engine": {"running_on": 1}}
    hosts = spec["hosts"]
    if isinstance(hosts, list):
        yield {**spec, "hosts": len(hosts)}
    elif hosts > 1:
        yield {**spec, "hosts": hosts - 1}
    for until in (spec["until"] // 2, spec["until"] * 3 // 4, spec["until"] - 60):
        if until > 0:
            yield {**spec, "until": until}
    for at, entry in enumerate(timeline):
        for smaller in _smaller_entry(entry):
            yield {**spec, "timeline": [*timeline[:at], smaller, *timeline[at + 1 :]]}


def _smaller_surroundings(spec: Spec) -> Iterator[Spec]:
    """Leave out one number of the policy or of the world, so that it is the usual one."""
    for key in ("policy", "world"):
        numbers = spec.get(key)
        if isinstance(numbers, dict):
            for name in sorted(numbers.keys() - {"base"}):
                yield {**spec, key: _without(numbers, name)}


def _without(mapping: Spec, key: str) -> Spec:
    return {name: value for name, value in mapping.items() if name != key}


def _smaller_entry(entry: Spec) -> Iterator[Spec]:
    for key in ("for", "since"):
        if key in entry:
            yield _without(entry, key)
    hosts = entry.get("hosts")
    if isinstance(hosts, list) and len(hosts) > 1:
        for host in hosts:
            yield {**entry, "hosts": [other for other in hosts if other != host]}
    at = entry["at"]
    if at != round(at):
        yield {**entry, "at": round(at)}
