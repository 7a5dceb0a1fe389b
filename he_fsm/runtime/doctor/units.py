"""The units of systemd: whether a boot starts them, and whether a shutdown stops them in order."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import attrs

from he_fsm.runtime.config import Config
from he_fsm.runtime.ports import Finding

# It is there where systemd is the first process. Source: sd_booted(3).
_BOOTED: Final = Path("/run/systemd/system")
_FOLDER: Final = Path("/etc/he-fsm")
_PLAIN: Final = "he-fsm.yaml"
_PROPERTIES: Final = ("Id", "LoadState", "UnitFileState", "After")
_ANSWERS_WITHIN_S: Final = 3.0
SYSTEMCTL: Final = ("systemctl",)
# Whoever needs them starts them: no boot does so by itself. Source: systemctl(1), is-enabled.
_NEVER_STARTED: Final = ("disabled", "masked", "masked-runtime", "bad", "")
_DAEMONS: Final = {
    # Since libvirt 8 some distributions have one daemon for each driver.
    "libvirt": ("libvirtd", "virtqemud"),
    "vdsm": ("vdsmd",),
}


@attrs.frozen
class Unit:
    """
    One unit, as systemd knows it.

    `at_boot`: its unit file's state, as `systemctl is-enabled` has it. `after`: the units that are
    started before it, and stopped after it.
    """

    name: str
    is_loaded: bool
    at_boot: str
    after: frozenset[str]


@attrs.frozen
class Wish:
    """A unit that has to be there; each group of `after` has a unit behind which it stops."""

    name: str
    after: tuple[tuple[str, ...], ...]


def unit_findings(
    config: Config, path: Path, systemctl: Sequence[str] = SYSTEMCTL
) -> Iterator[Finding]:
    """
    Say what is wrong with the units of the daemons whose configuration is *path*.

    Where systemd is not the first process, something else starts the daemons, and nothing is said.
    """
    if not _BOOTED.exists():
        return
    wishes = wishes_of(config, path)
    names = sorted({name for wish in wishes for name in _names(wish)})
    try:
        units = shown(names, systemctl)
    except (OSError, subprocess.SubprocessError) as error:
        yield Finding(what=f"systemd does not answer: {error}", is_fatal=False)
        return
    yield from problems(wishes, units)


def wishes_of(config: Config, path: Path) -> tuple[Wish, ...]:
    """Return what a configuration needs of the units, its daemons' own ones last."""
    # One of several services has instances of the template units: docs/services.md.
    is_instance = path.parent == _FOLDER and path.name != _PLAIN
    suffix = f"@{path.stem}" if is_instance else ""
    broker, agent = f"he-fsm-broker{suffix}.service", f"he-fsm-agent{suffix}.service"
    leases = [("sanlock.service",)] if config.leases in ("sanlock", "vdsm") else []
    found = _DAEMONS.get(config.hypervisor.kind)
    daemon = [tuple(f"{name}.service" for name in found)] if found else []
    return (
        Wish(broker, tuple(leases)),
        Wish(agent, ((broker,), *leases, *daemon)),
    )


def shown(names: Iterable[str], systemctl: Sequence[str] = SYSTEMCTL) -> Mapping[str, Unit]:
    """
    Ask systemd for units, which need not be loaded.

    Raises:
        OSError, subprocess.SubprocessError: systemd can't be asked, or does not answer in time.
    """
    done = subprocess.run(  # noqa: S603 - a list of words, without a shell
        [*systemctl, "show", *(f"--property={each}" for each in _PROPERTIES), "--", *names],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_ANSWERS_WITHIN_S,
        check=True,
    )
    return {unit.name: unit for unit in parsed(done.stdout)}


def parsed(text: str) -> Iterator[Unit]:
    """Read what `systemctl show` prints: lines `key=value`, with an empty line between units."""
    for block in text.split("\n\n"):
        pairs = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
        if "Id" in pairs:
            yield Unit(
                pairs["Id"],
                pairs.get("LoadState") == "loaded",
                pairs.get("UnitFileState", ""),
                frozenset(pairs.get("After", "").split()),
            )


def problems(wishes: Iterable[Wish], units: Mapping[str, Unit]) -> Iterator[Finding]:
    """Compare what is needed of the units with what they are."""
    for wish in wishes:
        unit = units.get(wish.name)
        if unit is None or not unit.is_loaded:
            yield Finding(
                what=f"systemd has no unit {wish.name}",
                mend="install it, and systemctl daemon-reload",
                is_fatal=False,
            )
            continue
        if unit.at_boot in _NEVER_STARTED:
            yield Finding(
                what=f"a boot does not start {wish.name}: it is {unit.at_boot or 'not installed'}",
                mend=f"systemctl enable {wish.name}",
                is_fatal=False,
            )
        yield from _order(wish, unit, units)


def _order(wish: Wish, unit: Unit, units: Mapping[str, Unit]) -> Iterator[Finding]:
    for group in wish.after:
        there = [name for name in group if name in units and units[name].is_loaded]
        if there and not any(name in unit.after for name in there):
            yield Finding(
                what=f"a shutdown may stop {there[0]} before {wish.name}, which needs it until"
                " its end",
                mend=f"systemctl edit {wish.name}: in [Unit], After={' '.join(there)}",
                is_fatal=False,
            )


def _names(wish: Wish) -> Iterator[str]:
    yield wish.name
    for group in wish.after:
        yield from group
