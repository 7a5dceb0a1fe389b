"""Campaigns: many runs of a cluster with faults at random, and what they say of its design."""

from __future__ import annotations

# Wherever a result comes from, Jupyter finds who draws it.
from he_fsm.campaign import notebook  # noqa: F401 - it registers with `html.as_html`
