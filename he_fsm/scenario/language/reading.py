"""The reader of scenario files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Optional, Union

import attrs

from he_fsm.document.files import read_text
from he_fsm.document.forms import Choice, Duration, Form, Integer, ListOf, Schema, Text
from he_fsm.document.mappings import Record, known_pairs, written_fields
from he_fsm.document.nodes import (
    Mapping as Tree,
)
from he_fsm.document.nodes import (
    Node,
    Pair,
    Place,
    Scalar,
    Sequence,
    as_mapping,
    as_scalar,
    describe,
    is_null,
    parse_tree,
    parse_value,
    refusal,
    refused_as,
    suggestion,
)
from he_fsm.errors import ScenarioError
from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.policy import Policy
from he_fsm.scenario.language.additions import NOTHING_ADDED, Additions
from he_fsm.scenario.language.expectations import ExpectationForm, check_within, latest_time
from he_fsm.scenario.language.host_names import ALL, GLOBAL_SLOT, RANGE, HostNames
from he_fsm.scenario.language.policies import PolicyChoice, PolicyForm, build_policy
from he_fsm.scenario.language.verbs import TimelineForm
from he_fsm.scenario.model import Engine, Expectation, Host, Scenario, TimelineEntry, Verb, World

HOSTNAME_BYTES: Final = 253
# Without `until`, a run ends so long after the last time that the file mentions.
AFTERWARDS_S: Final = 600.0
# The keys of a scenario that `--set` can change, and those inside which it can change one key.
SETTABLE: Final = ("policy", "seed", "until", "maintenance")
SETTABLE_INSIDE: Final = ("policy", "world", "engine")


@attrs.frozen
class HostsForm:
    """A list of hosts, or the number of equal hosts."""

    def read(self, node: Node, hosts: HostNames) -> tuple[Host, ...]:
        """Return the hosts, after a check that their names differ."""
        if isinstance(node, Scalar):
            count = Integer(1, HOST_ID_MAX).read(node, hosts)
            return tuple(Host(id=host_id) for host_id in range(1, count + 1))
        if not isinstance(node, Sequence) or not node.items:
            raise refusal(node, f"expected a number or a list of hosts, got {describe(node)}")
        form = _host_form()
        made = tuple(form.read(item, hosts) for item in node.items)
        names: dict[str, Host] = {}
        for host, item in zip(made, node.items):
            _check_host(host, as_mapping(item, form.what))
            if host.name in names:
                hint = (
                    f": give 'name' where two hosts claim id {host.id}"
                    if _same(names, host)
                    else ""
                )
                raise refusal(item, f"another host is called {host.name!r} already{hint}")
            names[host.name] = host
        return made

    def schema(self) -> Schema:
        """Return the schema of a number, or of an array of objects."""
        listed = {"type": "array", "items": _host_form().schema(), "minItems": 1}
        return {"anyOf": [*Integer(1, HOST_ID_MAX).schema()["anyOf"], listed]}


def _host_form() -> Record:
    return Record(Host, "a host like {id: 1}")


def _same(names: Mapping[str, Host], host: Host) -> bool:
    return names[host.name].id == host.id


def _check_host(host: Host, node: Tree) -> None:
    """Refuse names and times that would be ambiguous."""
    name_node = node.get("name")
    is_other_id = host.name.isdecimal() and host.name != str(host.id)
    if name_node is not None and (
        is_other_id or host.name in (ALL, str(GLOBAL_SLOT)) or RANGE.fullmatch(host.name)
    ):
        raise refusal(name_node, f"{host.name!r} can't be a name: it means other hosts")
    hostname_node = node.get("hostname")
    if hostname_node is not None and not _is_hostname(host.hostname):
        message = (
            f"{host.hostname!a} can't be a hostname: expected at most 253 printable bytes, no '|'"
        )
        raise refusal(hostname_node, message)
    failed = node.get("failed_starts")
    if isinstance(failed, Tree) and host.failed_starts.last_s > 0:
        raise refusal(failed.pairs["last"].value, "expected a time before 0, like -300s")


def _is_hostname(text: str) -> bool:
    """Return whether a record of the whiteboard can hold the name (RFC 1035 limits its length)."""
    return text.isprintable() and "|" not in text and len(text.encode()) <= HOSTNAME_BYTES


_HOSTS: Final = HostsForm()
SCENARIO_FORMS: Final[Mapping[str, Form]] = {
    "name": Text("the scenario's name"),
    "about": Text(may_be_empty=True),
    "policy": PolicyForm(),
    "world": Record(World, "a mapping like {loop: 10s}"),
    "seed": Integer(minimum=0),
    "hosts": _HOSTS,
    "engine": Record(Engine, "a mapping like {running_on: 1}"),
    "maintenance": Choice({"none": False, "global": True}),
    "timeline": ListOf(TimelineForm(), "a list of entries"),
    "until": Duration(positive=True),
    "expect": ListOf(ExpectationForm(), "a list of entries"),
}
REQUIRED: Final = ("name", "hosts")
_WHOLE_FILE: Final = "a mapping with the key 'scenarios'"


def load_scenarios(
    path: Union[str, Path],
    overrides: Optional[Mapping[str, str]] = None,
    additions: Additions = NOTHING_ADDED,
) -> tuple[Scenario, ...]:
    """
    Read a scenario file.

    Args:
        path: the file, in UTF-8; errors name it as *path* does.
        overrides: see `parse_scenarios`, also for *additions*.

    Raises:
        ScenarioError: the file is not valid; the error says file:line:column, the path of the key,
            and what was expected there.
    """
    with refused_as(ScenarioError):
        text = read_text(path)
    return parse_scenarios(text, str(path), overrides, additions)


def parse_scenarios(
    text: str,
    file_name: str,
    overrides: Optional[Mapping[str, str]] = None,
    additions: Additions = NOTHING_ADDED,
) -> tuple[Scenario, ...]:
    """
    Read scenarios from a text.

    Args:
        text: YAML.
        file_name: the name of the text in places and errors.
        overrides: values that replace the file's in every scenario, by dotted key:
            `policy.FIELD`, `policy`, `world.KEY`, `engine.KEY`, `seed`, `until`, `maintenance`.
        additions: the beginning of every scenario, and further entries of its timeline.

    Raises:
        ScenarioError: as `load_scenarios`.
    """
    with refused_as(ScenarioError):
        tree = parse_tree(text, file_name, _WHOLE_FILE)
        return _read_scenarios(tree, overrides or {}, additions)


def _read_scenarios(
    root: Node, overrides: Mapping[str, str], additions: Additions
) -> tuple[Scenario, ...]:
    pairs = known_pairs(root, ("scenarios",), _WHOLE_FILE)
    if "scenarios" not in pairs:
        raise refusal(root, "the key 'scenarios' is missing")
    listed = pairs["scenarios"].value
    if not isinstance(listed, Sequence) or not listed.items:
        raise refusal(listed, f"expected a list of scenarios, got {describe(listed)}")
    scenarios: dict[str, Scenario] = {}
    for item in listed.items:
        tree = as_mapping(item, "a scenario, a mapping with 'name' and 'hosts'")
        tree = additions.added_to(tree)
        for key, value in overrides.items():
            tree = _overridden(tree, key, value)
        scenario = read_scenario(tree)
        if scenario.name in scenarios:
            first = scenarios[scenario.name].place
            raise refusal(tree.pairs["name"].value, f"this name is taken, see {first}")
        scenarios[scenario.name] = scenario
    return tuple(scenarios.values())


def read_scenario(tree: Tree) -> Scenario:
    """
    Read one scenario from a document.

    Raises:
        DocumentError: the scenario is not valid.
    """
    pairs = known_pairs(tree, tuple(SCENARIO_FORMS), "a scenario")
    for key in REQUIRED:
        if key not in pairs:
            raise refusal(tree, f"the key '{key}' is missing")
    hosts: tuple[Host, ...] = _HOSTS.read(pairs["hosts"].value, HostNames())
    names = HostNames.of(hosts)
    values: dict[str, Any] = {
        key: SCENARIO_FORMS[key].read(pair.value, names)
        for key, pair in pairs.items()
        if key not in ("hosts", "policy")
    }
    choice = (
        PolicyForm().read(pairs["policy"].value, names) if "policy" in pairs else PolicyChoice()
    )
    world = tree.get("world")
    said = world.pairs if isinstance(world, Tree) else {}
    values["world"] = choice.surroundings(values.get("world", World()), said)
    values["policy"] = build_policy(choice, values["world"], tree)
    values.setdefault("until", _default_until(values))
    scenario = Scenario(hosts=hosts, place=tree.place, **values)
    _check_engine(scenario, pairs)
    if "expect" in pairs:
        entries = pairs["expect"].value
        for node, expectation in zip(getattr(entries, "items", ()), scenario.expect):
            check_within(expectation, node, scenario.until)
    return scenario


def _default_until(values: Mapping[str, Any]) -> float:
    timeline: tuple[TimelineEntry, ...] = values.get("timeline", ())
    expect: tuple[Expectation, ...] = values.get("expect", ())
    times = [entry.at + (entry.every or 0.0) * ((entry.times or 1) - 1) for entry in timeline]
    times.extend(map(latest_time, expect))
    return max(times, default=0.0) + AFTERWARDS_S


def _check_engine(scenario: Scenario, pairs: Mapping[str, Pair]) -> None:
    name, left_s = scenario.engine.running_on, scenario.engine.lease_left_s
    if name is not None and not scenario.host(name).powered:
        node = as_mapping(pairs["engine"].value, "a mapping").pairs["running_on"].value
        raise refusal(node, f"host {name} has no power, so that nothing can run on it")
    if scenario.engine.doing != "running" and name is None:
        node = as_mapping(pairs["engine"].value, "a mapping").pairs["doing"].value
        raise refusal(node, "is for an engine that is somewhere: add running_on: N")
    if scenario.engine.kept_by is not None and name is not None:
        node = as_mapping(pairs["engine"].value, "a mapping").pairs["kept_by"].value
        raise refusal(node, f"is for an engine that runs nowhere; it runs on host {name}")
    if left_s is None:
        return
    node = as_mapping(pairs["engine"].value, "a mapping").pairs["lease_left"].value
    whole_s = scenario.policy.lease_expiry_s
    if left_s > whole_s:
        limit = f"{whole_s:g} s, all that a lease has with this io_timeout and watchdog"
        raise refusal(node, f"expected at most {limit}, got {describe(node)}")
    if not any(_takes_power_at_once(entry, name) for entry in scenario.timeline):
        entry = f"{{at: 0, host: {'N' if name is None else name}, power: off}}"
        raise refusal(node, f"is for an engine whose host has failed: {entry} in the timeline")


def _takes_power_at_once(entry: TimelineEntry, name: Optional[str]) -> bool:
    is_at_once = not entry.at and not entry.since
    return is_at_once and entry.verb is Verb.POWER and entry.value == "off" and name in entry.hosts


def _overridden(tree: Tree, dotted: str, text: str) -> Tree:
    """Return the scenario with one value replaced; the new value's place is the option itself."""
    origin = f"--set {dotted}={text}"
    key, _, inner = dotted.partition(".")
    allowed = key in SETTABLE_INSIDE if inner else key in SETTABLE
    if not allowed:
        known = [*SETTABLE, *(f"{name}.KEY" for name in SETTABLE_INSIDE)]
        section = section_of(dotted)
        near = f", did you mean '{section}.{dotted}'?" if section else suggestion(dotted, known)
        msg = f"{origin}: unknown key '{dotted}'{near}"
        raise ScenarioError(msg)
    return with_value(tree, dotted, parse_value(text, origin, f"{tree.path}.{dotted}"))


def section_of(key: str) -> Optional[str]:
    """Return the mapping of a scenario that has a key, where people forget to name it."""
    for section, made in (("world", World), ("engine", Engine)):
        if key in {each.key for each in written_fields(made).values()}:
            return section
    return "policy" if key in {each.name for each in attrs.fields(Policy)} else None


def with_value(tree: Tree, dotted: str, value: Node) -> Tree:
    """Return the scenario with the value of a key, or of a key in one of its mappings, replaced."""
    key, _, inner = dotted.partition(".")
    place = value.place
    if inner:
        label = Scalar(place, f"{tree.path}.{dotted}", inner, inner)
        value = _with_key(_opened(tree, key, place), label, value)
    return _with_key(tree, Scalar(place, f"{tree.path}.{key}", key, key), value)


def _opened(tree: Tree, key: str, place: Place) -> Tree:
    """Return the mapping after a key, empty if there is none; a policy's name becomes its base."""
    node = tree.get(key)
    path = f"{tree.path}.{key}"
    if node is None or is_null(node):
        return Tree(place, path, {})
    if key == "policy" and isinstance(node, Scalar):
        base = as_scalar(node, "a policy's name")
        return Tree(node.place, path, {"base": Pair(base, base)})
    return as_mapping(node, "a mapping")


def _with_key(tree: Tree, key: Scalar, value: Node) -> Tree:
    return attrs.evolve(tree, pairs={**tree.pairs, key.label: Pair(key, value)})
