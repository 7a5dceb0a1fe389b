"""Options that several commands share."""

from __future__ import annotations

from typing import Any, Callable, Optional, TypeVar

import click

from he_fsm.document.units import parse_duration
from he_fsm.errors import ScenarioError
from he_fsm.policy import POLICIES, Policy
from he_fsm.scenario.model import Scenario, World

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
only_option = click.option(
    "--only", multiple=True, metavar="NAME", help="Only this scenario; repeatable."
)


def duration_of(
    _ctx: click.Context, _param: click.Parameter, value: Optional[str]
) -> Optional[float]:
    """Return the seconds of an option's value like `60s`; None: it was not given."""
    if value is None:
        return None
    try:
        seconds = parse_duration(value)
    except ValueError:
        seconds = -1.0
    if seconds < 0:
        msg = f"expected a time like 60s, got {value}"
        raise click.BadParameter(msg)
    return seconds


def set_option(example: str = "world.loop=5s") -> Callable[[Command], Command]:
    """Add `--set`, with one more example in its help."""
    return click.option(
        "--set",
        "settings",
        multiple=True,
        metavar="KEY=VALUE",
        help=f"Change one value, like policy.migration_threshold=400 or {example}; repeatable.",
    )


def policy_options(command: Command) -> Command:
    """Add `--policy` and `--set`."""
    command = set_option()(command)
    return click.option(
        "--policy",
        type=click.Choice(list(POLICIES)),
        default="talk",
        show_default=True,
        help="The policy that --set starts from.",
    )(command)


def settings_of(settings: tuple[str, ...]) -> dict[str, str]:
    """
    Split the values of `--set`.

    Raises:
        ScenarioError: A value is not KEY=VALUE.
    """
    found = {}
    for setting in settings:
        key, equals, value = setting.partition("=")
        if not equals or not key:
            msg = f"--set {setting}: expected KEY=VALUE, like policy.migration_threshold=400"
            raise ScenarioError(msg)
        found[key.strip()] = value.strip()
    return found


def surroundings_of(policy: str, settings: tuple[str, ...]) -> tuple[Policy, World]:
    """Return the policy and the world that a scenario file with these values has."""
    scenario = _scenario_of(policy, settings)
    return scenario.policy, scenario.world


def policy_of(policy: str, settings: tuple[str, ...]) -> Policy:
    """Return the policy that a scenario file with these values has."""
    return _scenario_of(policy, settings).policy


def _scenario_of(policy: str, settings: tuple[str, ...]) -> Scenario:
    from he_fsm.scenario import parse_scenarios  # noqa: PLC0415 - loads YAML: only when it is needed

    overrides = {"policy": policy, **settings_of(settings)}
    text = "scenarios: [{name: options, hosts: 1}]"
    return parse_scenarios(text, "options", overrides)[0]
