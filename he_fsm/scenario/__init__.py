"""The scenario language: clusters, what happens to them, and what is expected of them."""

from he_fsm.document.nodes import Place
from he_fsm.scenario.judging.judge import Failure, Judge, Verdict
from he_fsm.scenario.judging.matching import Condition, Seen
from he_fsm.scenario.language.reading import load_scenarios, parse_scenarios
from he_fsm.scenario.language.schema import json_schema
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
