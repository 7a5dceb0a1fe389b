"""Scenario files for tests of the page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from he_fsm.dashboard.whatif.asking import reply

# Written as people write: with comments, in both styles, hosts as a list.
PLAIN = """\
scenarios:
  # Three hosts, and nothing happens.
  - name: three   # the name
    hosts:
      - {id: 1}
      - {id: 2, cpu_load: 0.3}   # busier
      - id: 3
        mem_free: 6000
    engine: {running_on: 1}
    until: 8m
"""
# The same cluster in few words.
SHORT = "scenarios: [{name: three, hosts: 3, engine: {running_on: 1}, policy: talk, until: 480}]\n"
WITH_FAULTS = """\
scenarios:
  - name: moves
    hosts: [{id: 1}, {id: 2}, {id: 3}]
    engine: {running_on: 1}
    timeline:
      # The gateway first.
      - {at: 60s, host: 1, set: {gateway: 0}}
      - {at: 3m, hosts: [2], power: off}
    until: 10m
    expect:
      - {by: 3m, engine_on: 2}   # it moves
      - {at: 10m, engine_on: 2}
"""


def asked(text: str, **more: Any) -> dict[str, Any]:
    """Return the answer to a question, which has one."""
    found = reply({"text": text, **more})
    assert "answer" in found, found
    return found


def put(*path: Any, value: Any) -> Mapping[str, Any]:
    """Return the edit that sets a value."""
    return {"do": "set", "path": list(path), "value": value}


def add(**entry: Any) -> Mapping[str, Any]:
    """Return the edit that adds a fault."""
    return {"do": "add", "path": ["timeline"], "value": entry}


def as_json(plain: Any) -> Any:
    """Return plain values as they come out of JSON."""
    return json.loads(json.dumps(plain))
