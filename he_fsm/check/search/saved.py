"""
An exploration in a file, so that an interrupted check can be continued.

A file holds compressed JSON with plain values: the bounds, the visited states, the queued states,
and the values for which the numbers stand. The file is replaced atomically.
"""

from __future__ import annotations

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import attrs
import cattrs

from he_fsm.check.expand import Bounds, Node
from he_fsm.check.local import Found, Orders
from he_fsm.check.numbers import number_of
from he_fsm.check.properties import Breach
from he_fsm.check.search.explored import Explored
from he_fsm.errors import HeFsmError
from he_fsm.memory import Memory
from he_fsm.metadata.record import HostRecord
from he_fsm.policy import Policy
from he_fsm.report.files import write_whole
from he_fsm.serialise import memory_from_plain, record_from_plain, to_plain

_FORMAT = "he-fsm check 4"


def save(explored: Explored, path: Path) -> None:
    """
    Write an exploration to a file.

    Raises:
        HeFsmError: the file can't be written; an old file is unchanged.
    """
    content = gzip.compress(json.dumps(_to_plain(explored)).encode(), compresslevel=3, mtime=0)
    write_whole(path, content)


def load(path: Path) -> Explored:
    """
    Read an exploration.

    Raises:
        HeFsmError: the file can't be read, or `save` did not write it.
    """
    try:
        plain = json.loads(gzip.decompress(path.read_bytes()))
    except OSError as error:
        why = "no file of he-fsm check" if isinstance(error, gzip.BadGzipFile) else error.strerror
        msg = f"can't read {path}: {why}"
        raise HeFsmError(msg) from error
    except (ValueError, EOFError, zlib.error) as error:
        msg = f"can't read {path}: no file of he-fsm check"
        raise HeFsmError(msg) from error
    if not isinstance(plain, dict) or plain.get("format") != _FORMAT:
        msg = f"can't continue with {path}: no file of this release's he-fsm check"
        raise HeFsmError(msg)
    try:
        return _from_plain(plain)
    except (KeyError, TypeError, ValueError, cattrs.BaseValidationError) as error:
        msg = f"can't continue with {path}: it is damaged"
        raise HeFsmError(msg) from error


def _to_plain(explored: Explored) -> dict[str, Any]:
    bounds = explored.bounds
    return {
        "format": _FORMAT,
        "bounds": {
            **attrs.asdict(bounds, recurse=False),
            "policy": attrs.asdict(bounds.policy),
            "kinds": None if bounds.kinds is None else sorted(bounds.kinds),
            "watchdogs": list(bounds.watchdogs),
        },
        "keys": list(explored.parents),
        "parents": list(explored.parents.values()),
        "level": explored.level,
        "later": explored.later,
        "states": explored.states,
        "transitions": explored.transitions,
        "depth": explored.depth,
        "seconds": explored.seconds,
        "edges": sorted(explored.edges),
        "breaches": [breach.to_json() for breach in explored.breaches.values()],
        "nodes": [list(node) for node in explored.nodes.values()],
        "known": [_thing_to_plain(thing) for _, thing in explored.known],
    }


def _from_plain(plain: dict[str, Any]) -> Explored:
    bounds = _bounds_from_plain(plain["bounds"])
    breaches = [Breach.from_json(each) for each in plain["breaches"]]
    nodes = [
        Node(key, visited, is_down, waits, tuple(then))
        for key, visited, is_down, waits, then in plain["nodes"]
    ]
    things = [_thing_from_plain(thing) for thing in plain["known"]]
    return Explored(
        bounds,
        parents=dict(zip(plain["keys"], plain["parents"])),
        level=[tuple(state) for state in plain["level"]],
        later=[tuple(state) for state in plain["later"]],
        states=plain["states"],
        transitions=plain["transitions"],
        depth=plain["depth"],
        seconds=plain["seconds"],
        edges={(source, name) for source, name in plain["edges"]},
        breaches={breach.prop: breach for breach in breaches},
        nodes={node.key: node for node in nodes},
        known=[(number_of(thing), thing) for thing in things],
    )


def _bounds_from_plain(plain: dict[str, Any]) -> Bounds:
    kinds = None if plain["kinds"] is None else frozenset(plain["kinds"])
    read = {"policy": Policy(**plain["policy"]), "watchdogs": tuple(plain["watchdogs"])}
    return Bounds(**{**plain, **read, "kinds": kinds})


def _thing_to_plain(thing: Any) -> dict[str, Any]:
    if isinstance(thing, Memory):
        return {"memory": to_plain(thing)}
    if isinstance(thing, HostRecord):
        return {"record": to_plain(thing)}
    if isinstance(thing, Found):
        return {"found": list(thing)}
    assert isinstance(thing, Orders)  # noqa: S101 - there is nothing else
    return {"orders": list(thing.effects)}


def _thing_from_plain(plain: dict[str, Any]) -> Any:
    ((kind, value),) = plain.items()
    if kind == "memory":
        memory = memory_from_plain(value)
        # JSON's keys are text.
        return memory._replace(sightings={int(k): v for k, v in memory.sightings.items()})
    if kind == "record":
        return record_from_plain(value)
    if kind == "found":
        return Found(*value)
    return Orders(tuple(value))
