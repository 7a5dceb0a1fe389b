"""What is searched for: how a scenario is drawn, and what is found wrong with it."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Callable, NamedTuple

from he_fsm.scenario.model import Scenario
from searching.draw import Spec, any_scenario
from searching.skipping import differences
from searching.timing import exceeded, one_fault


class Check(NamedTuple):
    """
    One promise.

    `draw`: a scenario by chance, as `readable` makes it. `find`: what breaks the promise, a
    sentence each; nothing: it holds.
    """

    name: str
    draw: Callable[[random.Random], Spec]
    find: Callable[[Scenario], Iterable[str]]


CHECKS = (
    Check("skipping changes nothing", any_scenario, differences),
    Check("no recovery is slower than timing says", one_fault, exceeded),
)
