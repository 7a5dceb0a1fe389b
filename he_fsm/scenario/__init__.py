"""The scenario language: clusters, what happens to them, and what must come out."""

from he_fsm.scenario.matching import Condition, Seen
from he_fsm.scenario.model import (
    Engine,
    Expectation,
    FailedStarts,
    Host,
    Kind,
    Scenario,
    TimelineEntry,
    Total,
    Verb,
    World,
)
from he_fsm.scenario.nodes import Place
from he_fsm.scenario.reading import load_scenarios, parse_scenarios

__all__ = [
    "Condition",
    "Engine",
    "Expectation",
    "FailedStarts",
    "Host",
    "Kind",
    "Place",
    "Scenario",
    "Seen",
    "TimelineEntry",
    "Total",
    "Verb",
    "World",
    "load_scenarios",
    "parse_scenarios",
]
