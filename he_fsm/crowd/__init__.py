"""Hundreds of hosts that are all seen alike: what follows from that is computed once for all."""

from __future__ import annotations

from he_fsm.crowd.crowd import Crowd
from he_fsm.crowd.layered import CrowdSightings, CrowdSlots, unlike_the_crowd

__all__ = ["Crowd", "CrowdSightings", "CrowdSlots", "unlike_the_crowd"]
