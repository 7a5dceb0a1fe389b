"""The live cluster as it was read, and the scenario that begins with it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Optional, Protocol

import attrs

from he_fsm.document.nodes import refused_as
from he_fsm.errors import ScenarioError
from he_fsm.metadata import Whiteboard
from he_fsm.policy import Policy
from he_fsm.scenario import Scenario, parse_scenarios
from he_fsm.scenario.beginning.captured import Captured, capture
from he_fsm.scenario.beginning.sight import sight_of
from he_fsm.scenario.language.additions import Additions, timeline_entry
from he_fsm.scenario.language.writing import policy_keys

_CLUSTER: Final = "the live cluster"
_NOTHING: Final[Mapping[str, str]] = {}


class Readable(Protocol):
    """What shows a cluster: a broker, or what stands for one."""

    def whiteboard(self) -> bytes:
        """Return the bytes of all slots; raises `HeFsmError`."""

    def status(self) -> dict[str, Any]:
        """Return everything a person wants to know; raises `HeFsmError`."""


@attrs.frozen(kw_only=True)
class Seen:
    """
    The cluster as it was read; nothing on it is touched.

    `status`: what the broker says. `board`: the whiteboard. `keys`: those of a scenario that begins
    with the cluster, with the policy of this host's configuration.
    """

    status: Mapping[str, Any]
    board: Whiteboard
    captured: Captured
    keys: Mapping[str, Any]

    @property
    def living(self) -> list[int]:
        """The ids of the hosts that have power and an agent."""
        return [
            host["id"]
            for host in self.keys["hosts"]
            if host.get("powered", True) and host.get("agent") != "stopped"
        ]

    @property
    def runs_on(self) -> Optional[int]:
        """The host with the engine; None: it is on none."""
        found: Optional[int] = self.keys["engine"]["running_on"]
        return found

    def scenario(
        self, faults: Sequence[tuple[str, str]] = (), settings: Mapping[str, str] = _NOTHING
    ) -> Scenario:
        """
        Return the scenario that begins with the cluster.

        Args:
            faults: the time and the text of each entry of its timeline.
            settings: values of `--set`, by key.

        Raises:
            ScenarioError: a fault or a setting can't be read.
        """
        with refused_as(ScenarioError):
            timeline = tuple(timeline_entry(at, text) for at, text in faults)
        additions = Additions.beginning(self.keys, _CLUSTER, timeline)
        text = json.dumps({"scenarios": [{"name": "live", "about": f"It is {_CLUSTER}."}]})
        (scenario,) = parse_scenarios(text, _CLUSTER, dict(settings), additions)
        return scenario


def read_with(source: Readable, policy: Optional[Policy]) -> Seen:
    """
    Read whiteboard and leases; *policy*: None is the one that the scores look like.

    Raises:
        HeFsmError: something can't be read, or no host can be believed.
    """
    board, status = Whiteboard.parse(source.whiteboard()), source.status()
    captured = capture(board, sight_of(status, "the broker's status"))
    if not captured.keys["hosts"]:
        msg = "the whiteboard has no host that can be believed (he-fsm status says why)"
        raise ScenarioError(msg)
    keys = {**captured.keys, **({} if policy is None else policy_keys(policy))}
    return Seen(status=status, board=board, captured=captured, keys=keys)
