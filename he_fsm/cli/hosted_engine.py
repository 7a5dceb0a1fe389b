"""
`hosted-engine`: the command of oVirt's hosts, answered by he_fsm.

Its options, exit statuses and what scripts read of its output are those of
ovirt-hosted-engine-setup 2.7; docs/hosted-engine.md says what differs. Only the first word selects
what is done.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, Optional

from he_fsm.errors import HeFsmError
from he_fsm.metadata.codec import decode_global
from he_fsm.metadata.layout import SLOT_BYTES
from he_fsm.metadata.ovirt_status import hosts_of, status_json, status_text
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import DEFAULT_PATH, Config, load_config
from he_fsm.runtime.config.ovirt.files import deployment_of
from he_fsm.snapshot import Health

if TYPE_CHECKING:
    from he_fsm.runtime.config.ovirt.shared import SharedConfig

# Names another configuration than the usual one.
CONFIG_VARIABLE: Final = "HE_FSM_CONFIG"
_OK: Final = 0
_FAILED: Final = 1
_UNKNOWN: Final = 2
# An older report of the agent says nothing of who is alive (seconds). Source: oVirt's broker.
_REPORT_MAX_S: Final = 60.0
# Of each call of the broker (seconds).
_ANSWERS_WITHIN_S: Final = 10.0
_MODES: Final = ("global", "local", "none")


class _WrongUseError(Exception):
    """The command can't be called like this; the message says why."""


class _NotDeployedError(Exception):
    """The command needs a host on which the engine has been deployed."""


class _Verb(NamedTuple):
    """One command: what it does, by its words; its words, and its line in the help."""

    run: Callable[[Sequence[str]], int]
    words: str
    about: str


def main() -> None:
    """Run `hosted-engine`."""
    try:
        status = run(sys.argv[1:])
    except BrokenPipeError:
        # Whoever reads has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = _OK
    except KeyboardInterrupt:
        status = 130
    sys.exit(status)


def run(words: Sequence[str]) -> int:
    """Do what the words say; return the exit status."""
    if not words:
        sys.stdout.write(_usage())
        return _FAILED
    first, rest = words[0], words[1:]
    if first == "--help":
        return _help(rest)
    verb = _VERBS.get(first)
    if verb is None:
        sys.stderr.write(f"Invalid option '{first}'\n")
        sys.stdout.write(_usage())
        return _FAILED
    if "--help" in rest:
        return _help((first.lstrip("-"),))
    try:
        return verb.run(rest)
    except _NotDeployedError:
        sys.stdout.write("You must run deploy first\n")
        return _FAILED
    except (_WrongUseError, HeFsmError) as error:
        if "--json" in rest:
            sys.stdout.write(json.dumps({"error": str(error)}) + "\n")
        sys.stderr.write(f"hosted-engine: {error}\n")
        return _FAILED


def _usage() -> str:
    lines = ["Usage: hosted-engine [--help] <command> [<command options>]", "", "Commands:"]
    lines += [f"  {name:24}{verb.about}" for name, verb in _VERBS.items()]
    lines += ["", "hosted-engine --help <command> describes one of them.", ""]
    return "\n".join(lines)


def _help(words: Sequence[str]) -> int:
    name = f"--{words[0].lstrip('-')}" if words else ""
    verb = _VERBS.get(name)
    if verb is None:
        sys.stdout.write(_usage())
    else:
        sys.stdout.write(f"Usage: hosted-engine {name} {verb.words}".rstrip() + "\n")
        sys.stdout.write(f"    {verb.about}\n")
    return _OK


# What this host is.


def _config() -> Optional[Config]:
    """Return this host's configuration; None: it has none."""
    path = Path(os.environ.get(CONFIG_VARIABLE, DEFAULT_PATH))
    return load_config(path) if path.exists() else None


def _is_deployed(config: Optional[Config]) -> bool:
    """Whether the engine has been deployed here: this host is configured, and has a VM."""
    if config is None:
        return False
    return config.ovirt is None or "vmid" in deployment_of(config.ovirt)


def _broker() -> BrokerClient:
    config = _config()
    if not _is_deployed(config) or config is None:
        raise _NotDeployedError
    return BrokerClient(str(config.broker_socket), _ANSWERS_WITHIN_S)


# The commands.


def _vm_status(words: Sequence[str]) -> int:
    _only(words, "--json")
    broker = _broker()
    board = broker.whiteboard()
    report = broker.last_report()
    age_s = report["age_s"]
    is_old = age_s is None or age_s > _REPORT_MAX_S
    alive = frozenset(() if is_old else report.get("alive", ()))
    hosts = hosts_of(board, alive)
    is_global = decode_global(board[:SLOT_BYTES]).maintenance is True
    if "--json" in words:
        sys.stdout.write(status_json(hosts, is_global=is_global) + "\n")
        return _OK
    sys.stdout.write(status_text(hosts, is_global=is_global))
    return _OK if hosts else _FAILED


def _check_deployed(words: Sequence[str]) -> int:
    _only(words)
    is_deployed = _is_deployed(_config())
    word = "has been" if is_deployed else "has not been"
    sys.stdout.write(f"The hosted engine {word} deployed\n")
    return _OK if is_deployed else _FAILED


def _check_liveliness(words: Sequence[str]) -> int:
    # It takes a while to load, and no other command needs it.
    from he_fsm.runtime.monitors.engine_health import EngineHealth  # noqa: PLC0415

    _only(words)
    config = _config()
    if config is None or not config.health_url:
        sys.stderr.write("hosted-engine: the configuration does not say where the engine is\n")
        return _UNKNOWN
    page = config.engine.health
    verify = str(page.verify) if isinstance(page.verify, Path) else page.verify
    report = EngineHealth(config.health_url, page.body, page.timeout_s, verify).measure()
    is_up = report.health is Health.GOOD
    sys.stdout.write(f"Hosted Engine is {'' if is_up else 'not '}up!\n")
    return _OK if is_up else _FAILED


def _set_maintenance(words: Sequence[str]) -> int:
    mode = words[0].partition("--mode=")[2] if len(words) == 1 else ""
    if mode not in _MODES:
        msg = f"expected --mode=MODE, where MODE is one of {', '.join(_MODES)}"
        raise _WrongUseError(msg)
    broker = _broker()
    if mode == "none":
        broker.maintenance(local=False, everywhere=False)
    elif mode == "local":
        broker.maintenance(local=True)
    else:
        broker.maintenance(everywhere=True)
    return _OK


def _get_shared_config(words: Sequence[str]) -> int:
    (key,), wanted = _typed(words, "KEY")
    found = _shared().get(key, wanted)
    sys.stdout.write(f"\n{key} : {found.value}, type : {found.type}\n\n")
    return _OK


def _set_shared_config(words: Sequence[str]) -> int:
    (key, value), wanted = _typed(words, "KEY", "VALUE")
    _shared().set(key, value, wanted)
    return _OK


def _shared() -> SharedConfig:
    from he_fsm.runtime.config.ovirt.shared import SharedConfig  # noqa: PLC0415 - see above

    config = _config()
    if not _is_deployed(config) or config is None:
        raise _NotDeployedError
    if config.ovirt is None:
        msg = "this host has no files of oVirt's: its configuration says 'ovirt: none'"
        raise _WrongUseError(msg)
    return SharedConfig(config.ovirt)


def _typed(words: Sequence[str], *names: str) -> tuple[Sequence[str], Optional[str]]:
    """Return the words before `--type=TYPE`, and the type; raises where others are there."""
    from he_fsm.runtime.config.ovirt.shared import TYPES  # noqa: PLC0415 - see above

    plain = [word for word in words if not word.startswith("--type")]
    types = [word.partition("=")[2] for word in words if word.startswith("--type")]
    if len(plain) != len(names) or len(types) > 1:
        msg = f"expected {' '.join(names)} [--type=TYPE]"
        raise _WrongUseError(msg)
    if types and types[0] not in TYPES:
        msg = f"expected --type=TYPE, where TYPE is one of {', '.join(TYPES)}"
        raise _WrongUseError(msg)
    return plain, types[0] if types else None


def _only(words: Sequence[str], *known: str) -> None:
    """Refuse words that the command does not know."""
    for word in words:
        if word not in known:
            msg = f"Invalid option '{word}'" + (f"; known: {', '.join(known)}" if known else "")
            raise _WrongUseError(msg)


_VERBS: Final = {
    "--vm-status": _Verb(_vm_status, "[--json]", "VM status according to the HA agents"),
    "--set-maintenance": _Verb(
        _set_maintenance,
        "--mode=<global|local|none>",
        "Set the maintenance flags: local and global leave each other alone, none ends both",
    ),
    "--get-shared-config": _Verb(
        _get_shared_config, "KEY [--type=TYPE]", "Print a value of the configuration, and its type"
    ),
    "--set-shared-config": _Verb(
        _set_shared_config, "KEY VALUE [--type=TYPE]", "Change a value of the configuration"
    ),
    "--check-liveliness": _Verb(
        _check_liveliness, "", "Ask the engine's health page whether the engine is up"
    ),
    "--check-deployed": _Verb(
        _check_deployed, "", "Say whether the hosted engine has been deployed on this host"
    ),
}
