"""
Liveness: what must happen without a fault or a repair.

It is judged on the graph of the states in which it has not happened yet. An edge is one quiet
round: no fault, no repair, and every agent loops once, in any order. So every path is a fair run.
It happens on all of them if and only if the graph has no circle; the longest path is the worst
case.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Optional

from he_fsm.check.expand import Node

Graph = Mapping[int, tuple[int, ...]]


class Longest(NamedTuple):
    """The rounds of the longest run and its first state; or a circle, as keys in order."""

    rounds: int
    begins: Optional[int]
    circle: tuple[int, ...]


def down(nodes: Iterable[Node]) -> dict[int, tuple[int, ...]]:
    """Return the graph of the states in which hosts are able, but no engine is good."""
    return {node.key: node.then for node in nodes if node.is_down}


def waiting(nodes: Iterable[Node]) -> dict[int, tuple[int, ...]]:
    """Return the graph of the states in which some agent must leave its state."""
    return {node.key: node.then for node in nodes if node.waits}


def longest_run(graph: Graph) -> Longest:
    """Find the longest path within a graph, or a circle."""
    length: dict[int, int] = {}
    best: tuple[int, Optional[int]] = 0, None
    for start in graph:
        if start in length:
            continue
        path: list[int] = []
        on_path: dict[int, int] = {}
        stack = [(start, False)]
        while stack:
            key, is_done = stack.pop()
            if is_done:
                path.pop()
                del on_path[key]
                length[key] = 1 + max(
                    (length[each] for each in graph[key] if each in graph), default=0
                )
                if length[key] > best[0]:
                    best = length[key], key
                continue
            if key in length:
                continue
            if key in on_path:
                return Longest(0, key, tuple(path[on_path[key] :]))
            on_path[key] = len(path)
            path.append(key)
            stack.append((key, True))
            stack.extend(
                (each, False) for each in graph[key] if each in graph and each not in length
            )
    return Longest(*best, ())
