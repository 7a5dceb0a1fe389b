"""Writing of scenarios as files; a file that is read back plays the same."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Any, Final

import attrs
import yaml

from he_fsm.document.forms import Choice, Form
from he_fsm.document.mappings import written_fields
from he_fsm.policy import POLICIES, TALK, Policy
from he_fsm.scenario.clock import WallClock
from he_fsm.scenario.language.forms import HostReference
from he_fsm.scenario.language.policies import FROM_WORLD
from he_fsm.scenario.model import Engine, FailedStarts, Host, Scenario, TimelineEntry, Verb, World

_WIDTH: Final = 120


def scenarios_text(scenarios: Iterable[Scenario]) -> str:
    """
    Return scenarios as the text of a file, without the keys that have their defaults.

    Expectations and entries with `since` can't be written.

    Raises:
        ValueError: a scenario has one of these.
    """
    plain = {"scenarios": [_scenario(each) for each in scenarios]}
    return yaml.dump(plain, Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True)


def policy_keys(policy: Policy) -> dict[str, Any]:
    """Return the keys of a scenario, as plain values, that give its hosts this policy."""
    world = {key: getattr(policy, name) for name, key in FROM_WORLD.items()}
    return {"policy": _policy(policy), "world": world}


class _Flow(dict[str, Any]):
    """A mapping that is written on one line."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


_Dumper.add_representer(
    _Flow,
    lambda dumper, data: dumper.represent_mapping("tag:yaml.org,2002:map", data, flow_style=True),
)


def _scenario(scenario: Scenario) -> dict[str, Any]:
    if scenario.expect:
        msg = "expectations can't be written"
        raise ValueError(msg)
    plain: dict[str, Any] = {"name": scenario.name}
    if scenario.about:
        plain["about"] = scenario.about
    policy = _policy(scenario.policy)
    if policy != TALK.name:
        plain["policy"] = policy
    world = _changed(scenario.world, World())
    if world:
        plain["world"] = _Flow(world)
    plain["seed"] = scenario.seed
    plain["hosts"] = _hosts(scenario.hosts)
    engine = _changed(scenario.engine, Engine())
    if engine:
        plain["engine"] = _Flow(engine)
    if scenario.maintenance:
        plain["maintenance"] = "global"
    if scenario.timeline:
        plain["timeline"] = [_Flow(_entry(each)) for each in scenario.timeline]
    plain["until"] = scenario.until
    return plain


def _policy(policy: Policy) -> Any:
    base = POLICIES.get(policy.name, TALK)
    changed = {
        field.name: getattr(policy, field.name)
        for field in attrs.fields(Policy)
        if field.name not in FROM_WORLD and getattr(policy, field.name) != getattr(base, field.name)
    }
    return _Flow({"base": base.name, **changed}) if changed else base.name


def _hosts(hosts: tuple[Host, ...]) -> Any:
    if hosts == tuple(Host(id=number) for number in range(1, len(hosts) + 1)):
        return len(hosts)
    return [_Flow({"id": host.id, **_changed(host, Host(id=host.id))}) for host in hosts]


def _changed(made: Any, usual: Any) -> dict[str, Any]:
    """Return the keys whose values differ from those of *usual*, in a file's form."""
    values = written_values(made)
    return {
        written.key: values[written.key]
        for name, written in written_fields(type(made)).items()
        if getattr(made, name) != getattr(usual, name)
    }


def written_values(made: Any) -> dict[str, Any]:
    """Return all keys of a part of a scenario with their values, in a file's form."""
    return {
        written.key: _value(getattr(made, name), written.form)
        for name, written in written_fields(type(made)).items()
    }


def _value(value: Any, form: Form) -> Any:
    if isinstance(form, Choice):
        return next(word for word, meant in form.values.items() if meant == value)
    if isinstance(form, HostReference):
        return None if value is None else _host(value)
    if isinstance(value, FailedStarts):
        return _Flow({"count": value.count, "last": value.last_s})
    if isinstance(value, WallClock):
        if value.start_s is None:
            return f"{value.offset_s:+}s"
        return dt.datetime.fromtimestamp(value.start_s, dt.timezone.utc).isoformat(sep=" ")
    return value


def _entry(entry: TimelineEntry) -> dict[str, Any]:
    if entry.since:
        msg = "an entry with conditions can't be written"
        raise ValueError(msg)
    plain: dict[str, Any] = {"at": entry.at}
    if len(entry.hosts) == 1:
        plain["host"] = _host(entry.hosts[0])
    elif entry.hosts:
        plain["hosts"] = [_host(name) for name in entry.hosts]
    plain[entry.verb.value] = written_value(entry)
    if entry.every is not None:
        plain["every"] = entry.every
        if entry.times is not None:
            plain["times"] = entry.times
    if entry.for_s is not None:
        plain["for"] = entry.for_s
    return plain


def _host(name: str) -> Any:
    return int(name) if name.isdecimal() else name


def written_value(entry: TimelineEntry) -> Any:
    """Return what follows the verb of an entry, as a file has it."""
    value = entry.value
    if isinstance(value, dict):
        return _Flow(value)
    if not isinstance(value, tuple):
        return value
    word, argument = value
    if entry.verb is Verb.CLOCK:
        return f"rate {argument!r}" if word == "rate" else f"{argument:+}s"
    if isinstance(argument, bytes):
        return f"{word} 0x{argument.hex()}"
    return word if argument is None else f"{word} {argument}"
