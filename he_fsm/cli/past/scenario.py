"""A scenario file of what hosts have kept, and whether the simulator comes to the same course."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import attrs

from he_fsm.cli.past.courses import Clocks, Course
from he_fsm.errors import HeFsmError, ScenarioError
from he_fsm.files.whole import write_whole
from he_fsm.report.outcome import Outcome
from he_fsm.scenario import parse_scenarios
from he_fsm.scenario.beginning.recorded import Told, told_by
from he_fsm.scenario.beginning.story import Moment
from he_fsm.scenario.language.writing import scenarios_text
from he_fsm.scenario.model import Scenario
from he_fsm.simulate import simulate
from he_fsm.words import printable

# The phases of loops are not in the language: with so many seeds they come out otherwise.
_SEEDS: Final = 20

Edges = Sequence[tuple[str, str]]


@attrs.frozen(kw_only=True)
class Played:
    """
    A scenario that was made, and how near the simulator comes to what happened.

    `same`: how many changes of state come out in their order on their host, `of`: how many there
    were, `more`: how many the simulator has besides.
    """

    told: Told
    scenario: Scenario
    same: int
    of: int
    more: int

    @property
    def is_same(self) -> bool:
        """Whether all comes out, and nothing else."""
        return self.same == self.of and not self.more

    def sentence(self) -> str:
        """Return in words how near it comes."""
        if self.is_same:
            how = f"the simulator comes to the same course: all {self.of} changes of state"
        else:
            more = f", and {self.more} more" if self.more else ""
            how = f"the simulator comes to {self.same} of {self.of} changes of state{more}"
        return f"{how}, with seed {self.scenario.seed}"

    def as_json(self) -> dict[str, Any]:
        """Return the same as a plain object."""
        return {
            "seed": self.scenario.seed,
            "same": self.same,
            "of": self.of,
            "more": self.more,
            "notes": list(self.told.notes),
        }


def play(courses: Sequence[Course], clocks: Clocks) -> Played:
    """
    Make a scenario, and choose the seed with which the simulator comes nearest.

    Raises:
        ScenarioError: what the hosts have kept is no scenario that can be.
    """
    tracks = {track.key: track for course in courses for track in course.tracks.found}

    def time_of(host_id: int, moment: Moment) -> float:
        boot, t = moment
        return clocks.wall(tracks[host_id, boot], t)

    told = told_by({course.host_id: course.story for course in courses}, time_of)
    # As it is read from the file.
    (scenario,) = parse_scenarios(scenarios_text([told.scenario]), "replay")
    found: list[Played] = []
    for seed in range(1, _SEEDS + 1):
        found.append(_played(told, attrs.evolve(scenario, seed=seed)))
        if found[-1].is_same:
            break
    return max(found, key=lambda played: played.same - played.more)


def _played(told: Told, scenario: Scenario) -> Played:
    found = _edges(simulate(scenario))
    same = total = more = 0
    for host_id, edges in told.edges.items():
        simulated = found.get(str(host_id), [])
        matcher = difflib.SequenceMatcher(None, edges, simulated, autojunk=False)
        common = sum(block.size for block in matcher.get_matching_blocks())
        same += common
        total += len(edges)
        more += len(simulated) - common
    return Played(told=told, scenario=scenario, same=same, of=total, more=more)


def _edges(outcome: Outcome) -> Mapping[str, list[tuple[str, str]]]:
    found: dict[str, list[tuple[str, str]]] = {}
    for event in outcome.events:
        if event.kind == "state" and event.host is not None:
            edge = (str(event.details["from"]), str(event.details["to"]))
            found.setdefault(event.host, []).append(edge)
    return found


def write(path: Path, played: Played, sources: Sequence[str]) -> None:
    """
    Write the scenario as a file.

    Raises:
        HeFsmError: it can't be written.
        ScenarioError: it would not be read again as it is.
    """
    scenario = attrs.evolve(
        played.told.scenario,
        seed=played.scenario.seed,
        about=f"Made by he-fsm replay: {played.sentence()}.",
    )
    lines = (*(f"Of {source}" for source in sources), *played.told.notes)
    heading = "".join(f"# {printable(line)}\n" for line in lines)
    text = heading + scenarios_text([scenario])
    try:
        parse_scenarios(text, str(path))
    except ScenarioError as error:
        msg = f"this can't be said as a scenario: {error}"
        raise ScenarioError(msg) from error
    try:
        write_whole(path, text.encode())
    except OSError as error:
        msg = f"can't write {path}: {error.strerror}"
        raise HeFsmError(msg) from error
