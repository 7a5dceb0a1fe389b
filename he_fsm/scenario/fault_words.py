"""The verbs of the timeline in words, the same for every executor."""

from __future__ import annotations

from typing import Any, Callable, Optional

from he_fsm.scenario.model import Verb


def fault_words(verb: Verb, value: Any, slot: Optional[int] = None) -> str:
    """
    Return what a verb does, in words, without the host that it strikes.

    Args:
        value: the `value` of the `TimelineEntry`.
        slot: the number of the damaged slot, if the verb is `slot`.
    """
    if verb is Verb.SET:
        return "monitors read " + ", ".join(f"{name} {number:g}" for name, number in value.items())
    if verb is Verb.POWER:
        return _IN_ORDER.get(value, f"power {value}")
    if verb is Verb.MAINTENANCE:
        return _maintenance(value)
    if verb is Verb.FAILED_STARTS:
        return f"the agent counts {value} failed starts"
    if verb is Verb.VERSION:
        return f"the agent is restarted as a release of parse version {value}"
    if verb in (Verb.AGENT, Verb.BROKER, Verb.SANLOCK, Verb.HYPERVISOR):
        return f"{verb.value}: {value}"
    word, argument = value
    if verb is Verb.SLOT:
        return f"slot {slot}: {word}{_argument(argument)}"
    if verb is Verb.CLOCK:
        jumps = word == "jump"
        change = f"{argument:+g} s" if jumps else f"at {argument:g} times the true rate"
        return f"the wall clock jumps by {change}" if jumps else f"the clocks run {change}"
    return _PAIRS[verb](word, argument)


_IN_ORDER = {
    "shutdown": "the host is shut down in order",
    "reboot": "the host is rebooted in order",
    "stay": "the host's shutdown is called off",
}


def _maintenance(word: str) -> str:
    if word in ("on", "off"):
        return f"local maintenance {word}"
    return "global maintenance " + ("is set" if word == "global" else "is ended")


def _storage(word: str, seconds: Optional[float]) -> str:
    return f"storage: {word}" + (f": writes are seen {seconds:g} s later" if word == "slow" else "")


def _starts(word: str, count: Optional[int]) -> str:
    return _trial("VM starts here", word, count)


def _migrations(word: str, count: Optional[int]) -> str:
    return _trial("migrations from here", word, count)


def _trial(what: str, word: str, count: Optional[int]) -> str:
    if word == "fail":
        return f"{what} fail" + (f" {count} times" if count else "")
    return f"{what}: {word}"


def _boots(word: str, seconds: Optional[float]) -> str:
    return {
        "ok": "the engine boots here",
        "never": "the engine never becomes healthy here",
        "die": f"a started VM dies here after {seconds or 0:g} s",
    }[word]


def _engine(word: str, target: Optional[str]) -> str:
    return f"engine: {word}" + ("" if target is None else f" to host {target}")


_PAIRS: dict[Verb, Callable[[str, Any], str]] = {
    Verb.STORAGE: _storage,
    Verb.STARTS: _starts,
    Verb.MIGRATIONS: _migrations,
    Verb.BOOTS: _boots,
    Verb.ENGINE: _engine,
}


def _argument(argument: Any) -> str:
    """Return a number, or bytes in the scenario language's notation, with a leading blank."""
    if argument is None:
        return ""
    if not isinstance(argument, bytes):
        return f" {argument}"
    try:
        text = argument.decode()
    except UnicodeDecodeError:
        text = ""
    return f" {text}" if text and text.isprintable() else f" 0x{argument.hex()}"
