"""How large a YAML document is when its aliases are written out: a few lines can stand for all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

import yaml


def too_large(root: yaml.Node, limit: int) -> Optional[tuple[yaml.Node, str]]:
    """Return the smallest part of more than *limit* nodes, with its path; None: there is none."""
    sizes: dict[int, int] = {}
    if _written_out(root, sizes) <= limit:
        return None
    node, path = root, ""
    while inner := [each for each in _parts(node) if sizes[id(each[1])] > limit]:
        step, node = inner[0]
        path = f"{path}{step}" if path else step.lstrip(".")
    return node, path


def _parts(node: yaml.Node) -> Iterator[tuple[str, yaml.Node]]:
    """Return what a node consists of, each with its step in a path."""
    if isinstance(node, yaml.SequenceNode):
        yield from ((f"[{index}]", item) for index, item in enumerate(node.value))
    elif isinstance(node, yaml.MappingNode):
        yield from ((f".{key.value}", value) for key, value in node.value)


def _written_out(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Count a node and all below it as if aliases were written out; *sizes* has what is known."""
    known = sizes.get(id(node))
    if known is None:
        # What is part of itself is refused elsewhere.
        sizes[id(node)] = 0
        known = 1 + sum(_written_out(part, sizes) for _, part in _parts(node))
        sizes[id(node)] = known
    return known
