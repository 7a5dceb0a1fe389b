"""
Conditions: what a signal must be at a moment.

A signal is something that the executor of a scenario observes. Its value is constant until the next
observation. Its key is one of
`("engine_on",)`: name of the host where the VM is, or None;
`("engine",)`: good, bad, paused, starting, migrating, stopping or down;
`("running",)`: number of engine VMs that execute;
`("healthy",)`: whether the health page is good;
`("lease",)`: name of the host that holds the engine's lease, or None;
`("score", host)`: number, or None where nothing is written;
`("state", host)`: name of a state, or None where no agent runs;
`("record", host)` and `("sees", viewer, host)`: a `Seen`, or None;
`("alive", viewer)`: frozenset of host ids;
`("problem", viewer, slot)`: a word, or None.
Hosts and viewers are names; slots and the members of `alive` are numbers. The judge itself
adds `("total", name, host or None)`: the total so far.
"""

from __future__ import annotations

import math
from typing import Any, Final, Optional, Protocol, Union

import attrs

from he_fsm.document.units import TOLERANCE, Comparison, format_number

SignalKey = tuple[Any, ...]

# `bad` in a condition includes a paused VM, whose health page can't answer.
WORDS_OF_BAD: Final = ("bad", "paused")


@attrs.frozen(order=True)
class Moment:
    """A time of the run in seconds, or the instant just after it (see `Growing`)."""

    time: float
    is_just_after: bool = False


@attrs.frozen
class Growing:
    """A number that is `base` until the time `rising_from`, and grows by 1 each second after it."""

    base: float
    rising_from: float = math.inf

    def at(self, time: float) -> float:
        """Return the number at a time."""
        return self.base + max(0.0, time - self.rising_from)

    def is_rising(self, time: float) -> bool:
        """Return whether the number grows just after a time."""
        return time >= self.rising_from - TOLERANCE

    def reaches(self, number: float) -> float:
        """Return the time until which the number is at most *number*; infinity: never or always."""
        if number < self.base:
            return math.inf
        return self.rising_from + (number - self.base)


@attrs.frozen(kw_only=True)
class Seen:
    """
    The fields of a record that conditions can check.

    `vm`: up, down or unknown. `maintenance`: the host's own flag. `since`: the time of the run
    from which the record's age counts (when it last changed, or was last seen to grow).
    """

    score: float
    vm: str
    hostname: str
    maintenance: bool = False
    stopped: bool = False
    since: float = 0.0


class Test(Protocol):
    """What a value must be."""

    def holds(self, value: Any, moment: Moment) -> bool:
        """Return whether the value is as wanted at a moment."""

    def turns(self, value: Any) -> tuple[float, ...]:
        """Return the times at which the answer can change without a new observation."""

    def words(self, value: Any, moment: Moment) -> str:
        """Return the value in words, as far as this test reads it."""


def in_words(value: Any) -> str:
    """Write an observed value for people."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return format_number(value)
    if isinstance(value, (set, frozenset)):
        return f"[{', '.join(str(member) for member in sorted(value))}]"
    if isinstance(value, Seen):
        return f"a record with score {in_words(value.score)} and vm {value.vm}"
    return str(value)


@attrs.frozen
class OneOf:
    """One of some values; `is_negated`: none of them."""

    choices: tuple[Any, ...]
    is_negated: bool = False

    def holds(self, value: Any, _moment: Moment) -> bool:
        """Return whether the value is among the choices (or is not, if negated)."""
        return (value in self.choices) is not self.is_negated

    def turns(self, _value: Any) -> tuple[float, ...]:
        """Return no times: only a new observation changes the answer."""
        return ()

    def words(self, value: Any, _moment: Moment) -> str:
        """Return the value in words."""
        return in_words(value)


@attrs.frozen
class Compares:
    """A comparison with a number; it does not hold for None."""

    comparison: Comparison

    def holds(self, value: Optional[Union[float, Growing]], moment: Moment) -> bool:
        """Compare the number at a moment."""
        if value is None:
            return False
        if not isinstance(value, Growing):
            return self.comparison.holds(value)
        just_above = moment.is_just_after and value.is_rising(moment.time)
        return self.comparison.holds(value.at(moment.time), just_above=just_above)

    def turns(self, value: Optional[Union[float, Growing]]) -> tuple[float, ...]:
        """Return the time at which a growing number passes the wanted one."""
        if not isinstance(value, Growing):
            return ()
        time = value.reaches(self.comparison.number)
        return (time,) if math.isfinite(time) else ()

    def words(self, value: Optional[Union[float, Growing]], moment: Moment) -> str:
        """Return the number in words."""
        return in_words(value.at(moment.time) if isinstance(value, Growing) else value)


@attrs.frozen
class Fields:
    """Fields of a record, by name, each with its test; `age` is a field as well."""

    tests: tuple[tuple[str, Test], ...]

    def holds(self, value: Optional[Seen], moment: Moment) -> bool:
        """Return whether every field passes its test; without a record, False."""
        return value is not None and all(
            test.holds(_field(value, name), moment) for name, test in self.tests
        )

    def turns(self, value: Optional[Seen]) -> tuple[float, ...]:
        """Return the times at which the age passes the wanted number."""
        if value is None:
            return ()
        return tuple(time for name, test in self.tests for time in test.turns(_field(value, name)))

    def words(self, value: Optional[Seen], moment: Moment) -> str:
        """Return the tested fields in words."""
        if value is None:
            return "null"
        said = (f"{name}: {test.words(_field(value, name), moment)}" for name, test in self.tests)
        return f"{{{', '.join(said)}}}"


def _field(seen: Seen, name: str) -> Any:
    return Growing(0.0, seen.since) if name == "age" else getattr(seen, name)


@attrs.frozen
class Condition:
    """A signal and what it must be; `label` names the signal for people."""

    key: SignalKey
    test: Test
    label: str

    @property
    def asks_age(self) -> bool:
        """Return whether the condition is about the age of a record."""
        return isinstance(self.test, Fields) and any(name == "age" for name, _ in self.test.tests)
