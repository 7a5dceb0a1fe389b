"""A cluster in memory: time, storage, leases, an engine, faults; agents run the product's loop."""

from __future__ import annotations

from he_fsm.report.outcome import Outcome
from he_fsm.simulate.run import simulate, simulate_all

__all__ = ["Outcome", "simulate", "simulate_all"]
