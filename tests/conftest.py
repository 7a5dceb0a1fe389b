"""How hard the properties are tried: `HYPOTHESIS_PROFILE` is dev, ci or deep."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# The machine's other work must not make a test fail: no property has a deadline.
settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=200,
    derandomize=True,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "deep",
    max_examples=20_000,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
_USUAL = "ci" if os.environ.get("CI") else "dev"
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", _USUAL))
