"""How fit a host is to run the engine: one number, and the parts that it is made of."""

from __future__ import annotations

from math import isnan
from typing import Final, Literal, NamedTuple, Optional, Union

import attrs

from he_fsm.policy import Policy
from he_fsm.snapshot import Reading, Readings

# How much this host is liked (points, -100 to 100), or that it never runs the engine.
Preference = Union[int, Literal["never"]]
NEVER: Final = "never"
# What a host's line `score-why` says of it.
NEVER_SAID: Final = "host.preference is never"
PREFERENCE_MAX: Final = 100
PREFERENCE_WORDS: Final = f"a whole number from -{PREFERENCE_MAX} to {PREFERENCE_MAX}, or {NEVER}"


class ScorePart(NamedTuple):
    """One line of the sum: *points* of at most *weight*, and the fact behind it."""

    name: str
    points: int
    weight: int
    why: str


@attrs.frozen
class Score:
    """
    A score, 0 to `Policy.score_max`, and how it came about.

    `zero_because` is empty, or says why the sum does not count.
    """

    total: int
    parts: tuple[ScorePart, ...]
    zero_because: str = ""

    @property
    def why(self) -> str:
        """What costs this host points, in words."""
        if self.zero_because:
            return self.zero_because
        lost = [
            f"{part.points - part.weight} {part.name} ({part.why})"
            for part in self.parts
            if part.points != part.weight
        ]
        return ", ".join(lost) or "all is well"


def score(  # noqa: PLR0913 - one argument for each fact of the rule
    readings: Readings,
    policy: Policy,
    *,
    memory_needed_mib: float = 4096.0,
    vm_is_here: bool = False,
    failed_starts: int = 0,
    blocked: Optional[str] = None,
    local_maintenance: bool = False,
    can_act: bool = True,
    unfit: str = "",
    preference: Preference = 0,
) -> Score:
    """
    Score a host by what its monitors read.

    Args:
        memory_needed_mib: what the engine VM needs; not asked of the host that runs it.
        failed_starts: starts that failed and runs that ended badly here, not yet forgotten.
        blocked: why nothing is started here after them, empty: it may be; None: by their number.
        local_maintenance: the flag, whatever the state.
        can_act: False where the hypervisor does not answer: such a host can start nothing.
        unfit: why this host can start nothing for another reason; empty: it can.
        preference: added to the sum of a host that could run the engine, which stays within 1 and
            the highest score: it forbids nothing, and allows nothing. NEVER: score 0.

    Source: the talk, "Host Score"; for policy `ovirt` ovirt-hosted-engine-ha 2.5, whose
    penalties are cut to whole numbers towards zero.
    """
    parts = [
        _share("gateway", readings.gateway, policy.gateway_weight, policy),
        _share("bridge", readings.bridge, policy.bridge_weight, policy),
        _memory_part(readings.mem_free, memory_needed_mib, policy, vm_is_here=vm_is_here),
        _load_part(
            "cpu load",
            readings.cpu_load,
            policy.cpu_load_weight,
            (policy.cpu_load_low, policy.cpu_load_high),
            policy,
        ),
        _load_part(
            "memory load",
            readings.mem_load,
            policy.mem_load_weight,
            (policy.mem_load_limit, policy.mem_load_limit),
            policy,
        ),
    ]
    if policy.config_weight and not readings.config_is_current:
        why = "not the one on shared storage"
        parts.append(ScorePart("configuration", 0, policy.config_weight, why))
    if failed_starts:
        penalty = -policy.failed_start_penalty * failed_starts
        parts.append(ScorePart("failed starts", penalty, 0, f"{failed_starts} of them"))
    lost = sum([part.points - part.weight for part in parts])
    if blocked is None:
        is_blocked = failed_starts >= policy.failed_starts_max
        blocked = f"{failed_starts} failed starts" if is_blocked else ""
    zero = blocked
    if local_maintenance:
        zero = "local maintenance"
    elif not can_act:
        zero = "the hypervisor does not answer"
    elif unfit:
        zero = unfit
    elif preference == NEVER:
        zero = NEVER_SAID
    # Penalties alone forbid no start where the policy says so: a poor host is better than none.
    floor = min(policy.score_floor, policy.score_max)
    total = 0 if zero else max(floor, policy.score_max + lost)
    if preference and preference != NEVER:
        parts.append(ScorePart(PREFERENCE, preference, 0, "host.preference"))
        if total:
            total = min(max(1, policy.score_max + lost + preference), policy.score_max)
    return Score(total, tuple(parts), zero)


# What the part of the preference is called.
PREFERENCE: Final = "preference"


# A monitor that measures nonsense is no reason to trust the host, and none to end its agent.
_NO_NUMBER = "the reading is not a number"


def _unknown(name: str, reading: Reading, weight: int, policy: Policy) -> ScorePart:
    """
    Judge a reading that is missing or too old.

    A monitor that has no value yet is unknown, not bad, until it has had its time.
    """
    if reading.age_s > policy.reading_age_max_s:
        return ScorePart(name, 0, weight, f"no reading for {reading.age_s:.0f} s")
    return ScorePart(name, weight, weight, "not yet known")


def _share(name: str, reading: Reading, weight: int, policy: Policy) -> ScorePart:
    value = reading.value
    if value is None or reading.age_s > policy.reading_age_max_s:
        return _unknown(name, reading, weight, policy)
    if value >= 1.0:
        return ScorePart(name, weight, weight, "up")
    if isnan(value):
        return ScorePart(name, 0, weight, _NO_NUMBER)
    if value <= 0.0:
        return ScorePart(name, 0, weight, "down")
    # The penalty is cut towards zero, as oVirt does: 4/5 of 1600 costs 319.
    return ScorePart(name, weight - int((1.0 - value) * weight), weight, f"{value:.0%} answered")


def _memory_part(
    reading: Reading, needed_mib: float, policy: Policy, *, vm_is_here: bool
) -> ScorePart:
    weight = policy.memory_weight
    if vm_is_here:
        return ScorePart("free memory", weight, weight, "the engine VM is here")
    value = reading.value
    if value is None or reading.age_s > policy.reading_age_max_s:
        return _unknown("free memory", reading, weight, policy)
    if isnan(value):
        return ScorePart("free memory", 0, weight, _NO_NUMBER)
    points = weight if value >= needed_mib else 0
    return ScorePart(
        "free memory", points, weight, f"{value:g} MiB free, {needed_mib:g} MiB needed"
    )


def _load_part(
    name: str, reading: Reading, weight: int, limits: tuple[float, float], policy: Policy
) -> ScorePart:
    value = reading.value
    if value is None or reading.age_s > policy.reading_age_max_s:
        return _unknown(name, reading, weight, policy)
    low, high = limits
    if value < low:
        penalty = 0
    elif value >= high:
        penalty = weight
    elif isnan(value):
        return ScorePart(name, 0, weight, _NO_NUMBER)
    else:
        penalty = int((value - low) / (high - low) * weight)
    return ScorePart(name, weight - penalty, weight, f"{value:.0%} of capacity")
