"""
What the page shows and changes: a scenario as plain values, and what may stand there.

The verbs and keys are those of the scenario language's own tables, so the page has whatever the
language gets.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Optional

import attrs

from he_fsm.dashboard.whatif.controls import Control, control_of
from he_fsm.dashboard.whatif.picture import look
from he_fsm.document.forms import Choice, Form, Integer
from he_fsm.document.mappings import Written, forms_by_type, written_fields
from he_fsm.policy import POLICIES, TALK, Policy
from he_fsm.report.policy_words import FIELDS
from he_fsm.scenario.fault_words import fault_words
from he_fsm.scenario.language.forms import Argument, HostReference, Phrase
from he_fsm.scenario.language.policies import FROM_WORLD
from he_fsm.scenario.language.verbs import HOST_MAINTENANCE, VERBS, ReadingsForm
from he_fsm.scenario.language.writing import written_value, written_values
from he_fsm.scenario.model import Engine, Host, Scenario, TimelineEntry, Verb, World

# A fault that repeats is drawn so often at most.
_MOMENTS_MAX: Final = 200
# How the page first writes a verb, where the first word of the language changes nothing at all.
_FIRST: Final[Mapping[Verb, Any]] = {
    Verb.SET: {"gateway": 0},
    Verb.STARTS: "fail",
    Verb.BOOTS: "never",
    Verb.MIGRATIONS: "fail",
    Verb.FAILED_STARTS: 1,
    Verb.VERSION: 2,
    Verb.CLOCK: "+1h",
}
# What each verb is about, for people who choose one.
_ABOUT: Final[Mapping[Verb, str]] = {
    Verb.SET: "what the monitors of a host read: gateway, bridge, memory, loads",
    Verb.POWER: "the power of a host, and its shutdown in order",
    Verb.AGENT: "the agent of a host",
    Verb.BROKER: "the broker of a host, without which its agent reads and writes nothing",
    Verb.SANLOCK: "the lease manager of a host",
    Verb.STORAGE: "the way of a host to the shared storage",
    Verb.HYPERVISOR: "whether the agent of a host can ask about its VM",
    Verb.STARTS: "whether starts of the VM succeed on a host",
    Verb.BOOTS: "whether a VM that was started on a host becomes healthy",
    Verb.MIGRATIONS: "whether migrations from a host succeed",
    Verb.FAILED_STARTS: "how many failed starts the agent of a host remembers",
    Verb.VERSION: "which release the agent of a host is",
    Verb.MAINTENANCE: "local maintenance of a host, or global maintenance",
    Verb.CLOCK: "the clock of a host",
    Verb.SLOT: "the slot of a host on the whiteboard, overwritten",
    Verb.ENGINE: "the engine itself: it dies, hangs, is paused, or is migrated by somebody",
}
# Keys of hosts that say who a host is, and not how it is.
_WHO: Final = ("id", "name", "hostname")
# The policy's own name is not a number.
_UNCHANGED: Final = ("name", *FROM_WORLD)


def page_model(scenario: Scenario) -> dict[str, Any]:
    """Return a scenario as plain values, by the keys of its file; times are in seconds."""
    return {
        "name": scenario.name,
        "about": scenario.about,
        "seed": scenario.seed,
        "until": scenario.until,
        "maintenance": "global" if scenario.maintenance else "none",
        "policy": {
            "base": scenario.policy.name,
            **{name: getattr(scenario.policy, name) for name in _policy_forms()},
        },
        "world": written_values(scenario.world),
        "engine": written_values(scenario.engine),
        "hosts": [written_values(host) for host in scenario.hosts],
        "timeline": [_entry(entry, scenario.until) for entry in scenario.timeline],
        "expect": [
            {"text": each.text, "line": each.place.line, "place": str(each.place)}
            for each in scenario.expect
        ],
        "score_max": scenario.policy.score_max,
    }


def _entry(entry: TimelineEntry, until: float) -> dict[str, Any]:
    waits, value = bool(entry.since), written_value(entry)
    slot = entry.hosts[0] if entry.verb is Verb.SLOT else None
    return {
        "at": entry.at,
        "hosts": list(entry.hosts),
        "verb": entry.verb.value,
        "value": dict(value) if isinstance(value, dict) else value,
        "every": entry.every,
        "times": entry.times,
        "for": entry.for_s,
        # It waits for conditions, so that nobody knows beforehand when it happens.
        "waits": waits,
        "moments": [] if waits else list(entry.moments(0.0, until)[:_MOMENTS_MAX]),
        "words": fault_words(entry.verb, entry.value, None if slot is None else _number(slot)),
        "text": entry.text,
        "line": entry.place.line,
    }


def _number(name: str) -> Optional[int]:
    return int(name) if name.isdecimal() else None


def language() -> dict[str, Any]:
    """Return what the page can offer: verbs, controls of hosts, engine, world and policy, looks."""
    return {
        "verbs": [_verb(verb) for verb in VERBS],
        "host": [attrs.asdict(each) for each in _controls(Host, Host(id=1), without=_WHO)],
        "engine": [attrs.asdict(each) for each in _controls(Engine, Engine())],
        "world": [attrs.asdict(each) for each in _controls(World, World())],
        "policy": _policy_groups(),
        "policies": list(POLICIES),
        "look": look(),
    }


def _verb(verb: Verb) -> dict[str, Any]:
    form = VERBS[verb].form
    words, keys = _words(form), []
    if isinstance(form, ReadingsForm):
        usual = written_values(Host(id=1))
        keys = [attrs.asdict(control_of(key, each, usual[key])) for key, each in form.forms.items()]
    control = (
        attrs.asdict(control_of(verb.value, form, _FIRST[verb]))
        if isinstance(form, Integer)
        else None
    )
    return {
        "name": verb.value,
        "about": _ABOUT[verb],
        # True, False, or None: that depends on the word.
        "needs_host": VERBS[verb].needs_host,
        "words": words,
        "words_with_host": list(HOST_MAINTENANCE) if verb is Verb.MAINTENANCE else [],
        "keys": keys,
        "number": control,
        "first": _FIRST.get(verb, words[0]["word"] if words else None),
    }


def _words(form: Form) -> list[dict[str, Any]]:
    """Return the words that may follow a verb, each with what follows it."""
    if isinstance(form, Choice):
        return [_word(word, None) for word in form.values]
    if isinstance(form, Phrase):
        return [_word(word, argument) for word, argument in form.words.items()]
    return []


def _word(word: str, argument: Optional[Argument]) -> dict[str, Any]:
    """Return a word: `argument` is `none`, `optional` or `needed`; `first` is one to begin with."""
    if argument is None:
        return {"word": word, "argument": "none", "is_host": False, "first": ""}
    needed = "optional" if argument.is_optional else "needed"
    is_host = isinstance(argument.form, HostReference)
    first = "" if argument.is_optional else _ARGUMENTS.get(word, "")
    return {"word": word, "argument": needed, "is_host": is_host, "first": first}


# What follows a word that needs something after it, to begin with.
_ARGUMENTS: Final = {"slow": "15s", "die": "30s", "score": "2400", "text": "0x00"}


def _controls(made: type[Any], usual: Any, without: Sequence[str] = ()) -> Iterator[Control]:
    fields: Mapping[str, Written] = written_fields(made)
    values = written_values(usual)
    for each in fields.values():
        if each.key not in without:
            yield control_of(each.key, each.form, values[each.key])


def _policy_forms() -> dict[str, Form]:
    return {name: form for name, form in forms_by_type(Policy).items() if name not in _UNCHANGED}


def _policy_groups() -> list[dict[str, Any]]:
    """Return the numbers of the policy by section, each with its unit and meaning."""
    forms = _policy_forms()
    return [
        {
            "title": title,
            "controls": [
                {
                    **attrs.asdict(control_of(name, forms[name], getattr(TALK, name))),
                    "unit": unit,
                    "about": meaning.replace("`", ""),
                }
                for name, (unit, meaning) in fields.items()
                if name in forms
            ],
        }
        for title, fields in FIELDS.items()
    ]
