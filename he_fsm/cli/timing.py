"""`he-fsm timing`: worst cases and inequalities."""

from __future__ import annotations

import json
import sys

import attrs
import click

from he_fsm.cli.options.common import json_option, policy_options, surroundings_of
from he_fsm.errors import PolicyError, ScenarioError
from he_fsm.policy import Policy
from he_fsm.scenario.model import World
from he_fsm.timing import Recovery, Surroundings, inequalities, notes, recoveries
from he_fsm.unsafe import Inequality


@click.command()
@click.option("--hosts", type=click.IntRange(1, 2000), default=3, show_default=True)
@json_option
@policy_options
def timing(hosts: int, as_json: bool, policy: str, settings: tuple[str, ...]) -> None:
    """
    Compute the worst case of each recovery from io_timeout, watchdog, loop and time-outs.

    Exit status 1 where the times do not fit each other; the inequality that fails is named.
    """
    try:
        rules, world = surroundings_of(policy, settings)
    except ScenarioError as error:
        if not isinstance(error.__cause__, PolicyError):
            raise
        _print_unsafe(error.__cause__, as_json=as_json)
        sys.exit(1)
    around = _around(world, hosts)
    found, checked = recoveries(rules, around), inequalities(rules, around)
    if as_json:
        click.echo(json.dumps(_plain(rules, found, checked), indent=2))
    else:
        _print(rules, around, found, checked)
    if not all(each.holds for each in checked):
        sys.exit(1)


def _around(world: World, hosts: int) -> Surroundings:
    return Surroundings(
        jitter_s=world.jitter_s,
        storage_latency_s=world.storage_latency_s,
        vm_start_s=world.vm_start_s,
        vm_boot_s=world.vm_boot_s,
        vm_shutdown_s=world.vm_shutdown_s,
        migration_s=world.migration_s,
        reboot_s=world.reboot_s,
        hosts=hosts,
    )


def _print_unsafe(error: PolicyError, *, as_json: bool) -> None:
    """Print which inequality makes these numbers no valid policy, and by how much it fails."""
    if as_json:
        unsafe = {"inequality": error.rule, "excess_s": error.excess_s, "says": str(error)}
        click.echo(json.dumps({"unsafe": unsafe}, indent=2))
    else:
        click.secho(f"unsafe: {error} (inequality {error.rule})", fg="red", bold=True)


def _print(
    policy: Policy,
    around: Surroundings,
    found: tuple[Recovery, ...],
    checked: tuple[Inequality, ...],
) -> None:
    click.secho(
        f"Worst cases, policy {policy.name}, {around.hosts} hosts: loop {policy.loop_s:g} s "
        f"(+ {around.jitter_s:g} s), io_timeout {policy.io_timeout_s:g} s, "
        f"watchdog {policy.watchdog_s:g} s",
        bold=True,
    )
    click.echo()
    click.echo(f"{'fault':<20} {'acts after':>10} {'good after':>10} {'downtime':>9}   made of (s)")
    for each in found:
        good = "-" if not each.good_s else f"{each.good_s:.1f} s"
        times = f"{each.acts_s:>8.1f} s {good:>10} {each.downtime_s:>7.1f} s"
        click.echo(f"{each.name:<20} {times}   {each.parts}")
    click.echo()
    click.secho("Inequalities", bold=True)
    for rule in checked:
        mark = click.style("holds", fg="green") if rule.holds else click.style("FAILS", fg="red")
        room = f"room {-rule.excess_s:g} s" if rule.holds else f"by {rule.excess_s:g} s"
        click.echo(f"{mark}  {rule.name:<30} {rule.left:g} < {rule.right:g} s, {room}: {rule.says}")
    for note in notes(policy):
        click.echo()
        click.echo(f"Note: {note}")
    failing = [rule.name for rule in checked if not rule.holds]
    if failing:
        click.echo()
        click.secho(f"unsafe or contradictory: {', '.join(failing)}", fg="red", bold=True)


def _plain(
    policy: Policy, found: tuple[Recovery, ...], checked: tuple[Inequality, ...]
) -> dict[str, object]:
    return {
        "policy": attrs.asdict(policy),
        "recoveries": [attrs.asdict(each) for each in found],
        "inequalities": [
            {**attrs.asdict(each), "holds": each.holds, "excess_s": each.excess_s}
            for each in checked
        ],
        "notes": list(notes(policy)),
    }
