"""The scenario language: clusters, what happens to them, and what must come out."""

from he_fsm.document.nodes import Place
from he_fsm.scenario.judge import Failure, Judge, Verdict
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
from he_fsm.scenario.reading import load_scenarios, parse_scenarios
from he_fsm.scenario.schema import json_schema

__all__ = [
    "Condition",
    "Engine",
    "Expectation",
    "FailedStarts",
    "Failure",
    "Host",
    "Judge",
    "Kind",
    "Place",
    "Scenario",
    "Seen",
    "TimelineEntry",
    "Total",
    "Verb",
    "Verdict",
    "World",
    "json_schema",
    "load_scenarios",
    "parse_scenarios",
]
