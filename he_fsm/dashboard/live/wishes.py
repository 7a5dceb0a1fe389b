"""What people can ask for: read from a request, in words, and as faults of a scenario."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Optional

import attrs

from he_fsm.dashboard.access.guard import RequestError
from he_fsm.document.units import parse_duration
from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.words import span_text

LOCAL, GLOBAL, MOVE = "local", "global", "move"
DEEDS: Final = (LOCAL, GLOBAL, MOVE)
# What a maintenance may be asked for (seconds): 31 days are no end that anybody remembers.
_FOR_MIN_S, _FOR_MAX_S = 1.0, 31 * 86400.0
_KEYS: Final = {LOCAL: {"deed", "on", "for"}, GLOBAL: {"deed", "on", "for"}, MOVE: {"deed", "to"}}


@attrs.frozen(kw_only=True)
class Wish:
    """
    One thing that is asked for.

    `deed`: local or global maintenance, or a move. `on`: set it, or end it. `for_s`: after so long
    it ends by itself (seconds). `to`: where the engine is to go; None: to the best other host.
    """

    deed: str
    on: bool = True
    for_s: Optional[float] = None
    to: Optional[int] = None

    def text(self) -> str:
        """Return what is asked for, for the log."""
        if self.deed == MOVE:
            return f"move the engine to {'the best other host' if self.to is None else self.to}"
        end = "" if self.for_s is None else f" for {span_text(self.for_s)}"
        return f"{self.deed} maintenance {'on' if self.on else 'off'}{end}"

    def question(self, host: int, to: Optional[int] = None) -> str:
        """Return what is asked of host *host*, in words; *to*: where a move goes."""
        if self.deed == MOVE:
            return f"the engine moves to host {to}"
        whose = "global maintenance" if self.deed == GLOBAL else f"maintenance of host {host}"
        if not self.on:
            return f"{whose} ends"
        return f"{whose} begins" + ("" if self.for_s is None else f", for {span_text(self.for_s)}")

    def fault(self, host: int, to: Optional[int] = None) -> str:
        """Return the same as an entry of a scenario's timeline, without its time."""
        if self.deed == MOVE:
            return f"engine: migrate {to}"
        end = "" if self.for_s is None else f", for: {self.for_s:g}s"
        if self.deed == GLOBAL:
            return f"maintenance: {'global' if self.on else 'none'}{end}"
        return f"host: {host}, maintenance: {'on' if self.on else 'off'}{end}"


def wish_of(plain: Mapping[str, Any]) -> Wish:
    """
    Read what is asked for.

    Raises:
        RequestError: it is nothing that can be asked for; the key and what was expected.
    """
    deed = plain.get("deed")
    if deed not in DEEDS:
        msg = f"deed: expected {', '.join(DEEDS)}, got {deed!r}"
        raise RequestError(msg)
    unknown = sorted(set(plain) - _KEYS[deed])
    if unknown:
        msg = f"{unknown[0]}: {deed} takes {', '.join(sorted(_KEYS[deed]))}"
        raise RequestError(msg)
    if deed == MOVE:
        return Wish(deed=deed, to=_host_id(plain.get("to")))
    on = plain.get("on")
    if not isinstance(on, bool):
        msg = f"on: expected true or false, got {on!r}"
        raise RequestError(msg)
    if not on and "for" in plain:
        msg = "for: it goes with on: true"
        raise RequestError(msg)
    return Wish(deed=deed, on=on, for_s=_for_s(plain.get("for")))


def wish_of_query(query: Mapping[str, str]) -> Wish:
    """
    Read what is asked for from the end of an address.

    Raises:
        RequestError: as `wish_of`.
    """
    plain: dict[str, Any] = dict(query)
    if "on" in plain:
        plain["on"] = {"true": True, "false": False}.get(plain["on"], plain["on"])
    if "to" in plain and plain["to"].isascii() and plain["to"].isdecimal() and len(plain["to"]) < 9:
        plain["to"] = int(plain["to"])
    return wish_of(plain)


def _host_id(value: object) -> Optional[int]:
    if value is None:
        return None
    if type(value) is not int or not 1 <= value <= HOST_ID_MAX:
        msg = f"to: expected a host id, 1 to {HOST_ID_MAX}, got {value!r}"
        raise RequestError(msg)
    return value


def _for_s(value: object) -> Optional[float]:
    if value is None:
        return None
    try:
        seconds = parse_duration(value) if isinstance(value, str) else -1.0
    except ValueError:
        seconds = -1.0
    if not _FOR_MIN_S <= seconds <= _FOR_MAX_S:
        msg = f"for: expected a time like 2h, of 1s to 31d, got {value!r}"
        raise RequestError(msg)
    return seconds
