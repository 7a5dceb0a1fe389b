"""`hosted-engine`: start and end the VM, and reach its screen and its serial console."""

from __future__ import annotations

import getpass
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn, Optional

from he_fsm.cli.hosted_engine.here import (
    FAILED,
    OK,
    WrongUseError,
    broker_of,
    deployed_config,
    only,
    only_options,
    option,
)
from he_fsm.cli.vm.by_hand import serial_console
from he_fsm.errors import ConfigError, HeFsmError, HypervisorError
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.parts import make_access
from he_fsm.runtime.ports import TakesPassword, VmByHand
from he_fsm.runtime.vm_orders.asking import by_hand_of, what_follows
from he_fsm.runtime.vm_orders.order import Wanted

PASSWORD_VARIABLE: Final = "OVIRT_HOSTED_ENGINE_CONSOLE_PASSWORD"  # noqa: S105 - a name
# How long a password is good for (seconds). Source: ovirt-hosted-engine-setup 2.7.
_VALID_S: Final = 120
# A VM that was ended has gone by then (seconds).
_ENDS_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.1
# A VM that somebody has started says one of these.
_STARTED: Final = ("WaitForLaunch", "Powering up", "Up")
# What oVirt's command ends before a start, by what is wanted. Source: as above.
_CLEANED: Final = {Wanted.START: ("Down", "Paused"), Wanted.START_PAUSED: ("Down",)}


def vm_start(words: Sequence[str]) -> int:
    """Start the VM on this host."""
    only_options(words, "--vm-conf=")
    conf = option(words, "--vm-conf")
    return _start(Wanted.START, None if conf is None else Path(conf))


def vm_start_paused(words: Sequence[str]) -> int:
    """Start the VM on this host, so that it executes nothing yet."""
    only(words)
    return _start(Wanted.START_PAUSED, None)


def _start(wanted: Wanted, conf: Optional[Path]) -> int:
    config = deployed_config()
    vm = by_hand_of(config)
    _check_conf(config, conf)
    status = vm.status()
    if status is not None:
        if not any(word in status for word in _CLEANED[wanted]):
            sys.stdout.write(f"VM exists and its status is {status}\n")
            return FAILED
        shown = status if wanted is Wanted.START else "down"
        sys.stdout.write(f"VM exists and is {shown}, cleaning up and restarting\n")
        end(vm)
    try:
        launch(vm, wanted, conf)
    except ConfigError:
        raise
    except HeFsmError as error:
        sys.stdout.write("VM failed to launch\n")
        sys.stderr.write(f"hosted-engine: {error}\n")
        return FAILED
    sys.stdout.write("VM in WaitForLaunch\n")
    _tell(wanted, config)
    return OK


def launch(vm: VmByHand, wanted: Wanted, conf: Optional[Path]) -> None:
    """Start the VM, unless the agent has done so meanwhile, as it does without maintenance."""
    if vm.status() in _STARTED:
        return
    try:
        vm.start(paused=wanted is Wanted.START_PAUSED, conf=conf)
    except HypervisorError:
        if vm.status() not in _STARTED:
            raise


def _check_conf(config: Config, conf: Optional[Path]) -> None:
    """Refuse a start from a `vm.conf` that is not there, where the VM is made from one."""
    usual: Optional[Path] = getattr(config.hypervisor, "conf", None)
    path = conf or usual
    if usual is None or path is None or os.access(path, os.R_OK):
        return
    msg = (
        f"{path} is missing or can't be read: the VM's configuration was not fetched from the"
        " shared storage yet. Look whether the agent runs, and at sanlock: sanlock client status"
    )
    raise HypervisorError(msg)


def end(vm: VmByHand) -> None:
    """
    End a VM that does not execute, and wait until it is gone, or was started anew by the agent.

    A VM that is powering down is neither: who took it for started would start nothing.
    """
    vm.power_off()
    ends = time.monotonic() + _ENDS_WITHIN_S
    while (status := vm.status()) is not None and status not in _STARTED:
        if time.monotonic() > ends:
            msg = f"the VM is still {status} {_ENDS_WITHIN_S:g} s after it was powered off"
            raise HypervisorError(msg)
        time.sleep(_LOOK_S)


def vm_shutdown(words: Sequence[str]) -> int:
    """Ask the guest to shut down."""
    only(words)
    return _stop(Wanted.SHUT_DOWN, lambda vm: vm.shut_down())


def vm_poweroff(words: Sequence[str]) -> int:
    """End the VM at once."""
    only(words)
    return _stop(Wanted.POWER_OFF, lambda vm: vm.power_off())


def _stop(wanted: Wanted, deed: Callable[[VmByHand], None]) -> int:
    config = deployed_config()
    deed(by_hand_of(config))
    _tell(wanted, config)
    return OK


def _tell(wanted: Wanted, config: Config) -> None:
    """Say on standard error what the agents do about it; scripts read standard output."""
    said = what_follows(wanted, broker_of(config))
    if said:
        sys.stderr.write(f"hosted-engine: {said}\n")


def add_console_password(words: Sequence[str]) -> int:
    """Set a password for the VM's screen."""
    only_options(words, "--password=")
    config = deployed_config()
    given = option(words, "--password")
    if given is not None:
        sys.stderr.write(
            "hosted-engine: every user of this host can read a password in the list of processes;"
            f" set {PASSWORD_VARIABLE} instead, or give it on standard input\n"
        )
    password = given or os.environ.get(PASSWORD_VARIABLE) or _asked()
    if not password:
        msg = "expected a password, got an empty one"
        raise WrongUseError(msg)
    screens = [
        each
        for each in (by_hand_of(config), make_access(config))
        if isinstance(each, TakesPassword)
    ]
    if not screens:
        msg = f"a VM of kind {config.hypervisor.kind} has no screen"
        raise HypervisorError(msg)
    screen = screens[0].set_password(password, _VALID_S)
    if screen.port <= 0:
        sys.stderr.write("Failed detecting VNC port\n")
        return FAILED
    sys.stdout.write(
        "You can now connect the hosted-engine VM with"
        f" {screen.protocol.upper()} at {screen.address}:{screen.port}\n"
    )
    return OK


def _asked() -> str:
    """Ask for the password without echo; a script gives it as a line of its input."""
    if sys.stdin.isatty():
        return getpass.getpass("Password of the VM's screen: ")
    return sys.stdin.readline().rstrip("\n")


def console(words: Sequence[str]) -> int:
    """Connect the terminal with the VM's serial console."""
    only(words)
    config = deployed_config()
    if make_access(config).identity() is not None:
        _connect(config)
    sys.stdout.write("The engine VM is not on this host\n")
    return OK


def _connect(config: Config) -> NoReturn:
    command = serial_console(config)
    if sys.stdin.isatty():
        sys.stderr.write("hosted-engine: connected; Ctrl-] ends it\n")
    sys.stderr.flush()
    os.execvp(command[0], command)  # noqa: S606 - a list of words, and no shell
