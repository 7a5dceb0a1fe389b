"""What this host is, and what all commands of `hosted-engine` have in common."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Optional

from he_fsm.cli.hosted_engine.quick import socket_of
from he_fsm.runtime.broker.client import BrokerClient

if TYPE_CHECKING:
    from he_fsm.runtime.config import Config

# Names another configuration than the usual one.
CONFIG_VARIABLE: Final = "HE_FSM_CONFIG"
CONFIG: Final = "/etc/he-fsm/he-fsm.yaml"
OK: Final = 0
FAILED: Final = 1
UNKNOWN: Final = 2
# Of each call of the broker (seconds).
_ANSWERS_WITHIN_S: Final = 10.0


class WrongUseError(Exception):
    """The command can't be called like this; the message says why."""


class NotDeployedError(Exception):
    """The command needs a host on which the engine has been deployed."""


def config_here() -> Optional[Config]:
    """Return this host's configuration; None: it has none."""
    from he_fsm.runtime.config import load_config  # noqa: PLC0415 - takes longer than all else

    path = _path()
    return load_config(path) if path.exists() else None


def _path() -> Path:
    return Path(os.environ.get(CONFIG_VARIABLE, CONFIG))


def is_deployed(config: Optional[Config]) -> bool:
    """Whether the engine has been deployed here: this host is configured, and has a VM."""
    from he_fsm.runtime.config.ovirt.files import deployment_of  # noqa: PLC0415 - as above

    if config is None:
        return False
    return config.ovirt is None or "vmid" in deployment_of(config.ovirt)


def deployed_config() -> Config:
    """
    Return the configuration of a host on which the engine has been deployed.

    Raises:
        NotDeployedError: this is none.
    """
    config = config_here()
    if config is None or not is_deployed(config):
        raise NotDeployedError
    return config


def broker_of(config: Config) -> BrokerClient:
    """Return the client of this host's broker."""
    return BrokerClient(str(config.broker_socket), _ANSWERS_WITHIN_S)


def broker_here() -> BrokerClient:
    """
    Return the client of the broker of a host on which the engine has been deployed, quickly.

    Raises:
        NotDeployedError: this is none.
    """
    socket = socket_of(_path())
    if socket is None:
        return broker_of(deployed_config())
    return BrokerClient(str(socket), _ANSWERS_WITHIN_S)


def only(words: Sequence[str], *known: str) -> None:
    """Refuse words that the command does not know."""
    for word in words:
        if word not in known:
            msg = f"Invalid option '{word}'" + (f"; known: {', '.join(known)}" if known else "")
            raise WrongUseError(msg)


def option(words: Sequence[str], name: str) -> Optional[str]:
    """Return the value of `name=VALUE`, of which there is one at most; None: it is not there."""
    found = [word.partition("=")[2] for word in words if word.partition("=")[0] == name]
    if len(found) > 1:
        msg = f"{name} stands there twice"
        raise WrongUseError(msg)
    if found and not found[0]:
        msg = f"expected {name}=VALUE"
        raise WrongUseError(msg)
    return found[0] if found else None


def only_options(words: Sequence[str], *known: str) -> None:
    """Refuse words other than *known*; one that ends with `=` takes a value."""
    for word in words:
        name, equals, _ = word.partition("=")
        if f"{name}{equals}" not in known:
            msg = f"Invalid option '{word}'; known: {', '.join(known)}"
            raise WrongUseError(msg)
