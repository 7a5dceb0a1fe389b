"""`hosted-engine`: what the cluster is like, and the maintenance flags."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Final

from he_fsm.cli.hosted_engine.here import (
    FAILED,
    OK,
    UNKNOWN,
    NotDeployedError,
    WrongUseError,
    broker_here,
    config_here,
    is_deployed,
    only,
)
from he_fsm.metadata.codec import decode_global
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.metadata.ovirt_status import hosts_of, status_json, status_text

# An older report of the agent says nothing of who is alive (seconds). Source: oVirt's broker.
_REPORT_MAX_S: Final = 60.0
_MODES: Final = ("global", "local", "none")


def vm_status(words: Sequence[str]) -> int:
    """Print each host's record, and whether it is up to date."""
    only(words, "--json")
    try:
        broker = broker_here()
    except NotDeployedError:
        if _has_unfinished_deployment(as_json="--json" in words):
            return UNKNOWN
        raise
    board = broker.whiteboard()
    report = broker.last_report()
    age_s = report["age_s"]
    is_old = age_s is None or age_s > _REPORT_MAX_S
    alive = frozenset(() if is_old else report.get("alive", ()))
    hosts = hosts_of(board, alive)
    is_global = decode_global(board[:SLOT_BYTES]).maintenance is True
    if "--json" in words:
        sys.stdout.write(status_json(hosts, is_global=is_global) + "\n")
        return OK
    sys.stdout.write(status_text(hosts, is_global=is_global))
    return OK if hosts else FAILED


def _has_unfinished_deployment(*, as_json: bool) -> bool:
    """Say so if a deployment has left its own VM here, or is going on."""
    from he_fsm.cli.hosted_engine.deployment import unfinished  # noqa: PLC0415 - runs a program

    said = unfinished()
    if said:
        sys.stdout.write(f"{json.dumps({'error': said}) if as_json else said}\n")
    return bool(said)


def check_deployed(words: Sequence[str]) -> int:
    """Say whether this host has been deployed."""
    only(words)
    is_here = is_deployed(config_here())
    word = "has been" if is_here else "has not been"
    sys.stdout.write(f"The hosted engine {word} deployed\n")
    return OK if is_here else FAILED


def check_liveliness(words: Sequence[str]) -> int:
    """Ask the engine's health page."""
    # It takes a while to load, and no other command needs it.
    from he_fsm.cli.liveliness import asked  # noqa: PLC0415
    from he_fsm.snapshot import Health  # noqa: PLC0415 - with it

    only(words)
    config = config_here()
    if config is None or not config.health_url:
        sys.stderr.write("hosted-engine: the configuration does not say where the engine is\n")
        return UNKNOWN
    is_up = asked(config).health is Health.GOOD
    sys.stdout.write(f"Hosted Engine is {'' if is_up else 'not '}up!\n")
    return OK if is_up else FAILED


def set_maintenance(words: Sequence[str]) -> int:
    """Set the maintenance flags."""
    mode = words[0].partition("--mode=")[2] if len(words) == 1 else ""
    if mode not in _MODES:
        msg = f"expected --mode=MODE, where MODE is one of {', '.join(_MODES)}"
        raise WrongUseError(msg)
    broker = broker_here()
    if mode == "none":
        broker.maintenance(local=False, everywhere=False)
    elif mode == "local":
        broker.maintenance(local=True)
    else:
        broker.maintenance(everywhere=True)
    return OK
