"""How a command orders something of the agent, and waits until it is known what came of it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Optional

from he_fsm.errors import BrokerError, ConfigError, HeFsmError, HypervisorError
from he_fsm.runtime import parts
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.ports import VmByHand
from he_fsm.runtime.vm_orders.order import Wanted
from he_fsm.runtime.vm_orders.queue import VALID_S
from he_fsm.snapshot import VmState

# Of each call of the broker (seconds).
_ANSWERS_WITHIN_S: Final = 10.0
# The broker drops an order that no agent takes; a pass that is under way may take a little longer.
_TAKEN_WITHIN_S: Final = VALID_S + 10.0
# A VM that has not come to execute by then is reported as starting; what came of it is in the
# status.
_STARTS_WITHIN_S: Final = 30.0
_LOOK_S: Final = 0.1
# An agent that has missed so many loops does not run, or hangs.
_LOOPS_MISSED: Final = 3
# In vdsm's words.
_WORDS: Final = {
    VmState.STARTING: "WaitForLaunch",
    VmState.UP: "Up",
    VmState.PAUSED: "Paused",
    VmState.STOPPING: "Powering down",
    VmState.LEAVING: "Migration Source",
    VmState.ARRIVING: "Migration Destination",
    VmState.UNKNOWN: "unknown",
}


class AgentsVm:
    """The VM of this host by way of the agent; implements `ports.VmByHand`."""

    def __init__(self, config: Config) -> None:
        """Ask nothing yet."""
        self._config = config
        self._broker = BrokerClient(str(config.broker_socket), _ANSWERS_WITHIN_S)

    def status(self) -> Optional[str]:
        """Return the VM's status here as the agent last saw it, in vdsm's words."""
        state = VmState(self._report()["vm"])
        return _WORDS.get(state)

    def start(self, *, paused: bool = False, conf: Optional[Path] = None) -> None:
        """Have the agent start the VM; on return it executes, or is about to."""
        if conf is not None:
            msg = (
                f"this host starts the VM by `hypervisor` of its configuration (kind"
                f" {self._config.hypervisor.kind}), and reads no vm.conf"
            )
            raise ConfigError(msg)
        number = self._order(Wanted.START_PAUSED if paused else Wanted.START)
        ends = time.monotonic() + _STARTS_WITHIN_S
        wanted = VmState.PAUSED if paused else VmState.UP
        while time.monotonic() < ends:
            report = self._report()
            done = _done(report, number)
            if done is not None and done["result"] is not None:
                msg = f"{done['result']}: {done['detail']}"
                raise HypervisorError(msg)
            if VmState(report["vm"]) is wanted:
                return
            time.sleep(_LOOK_S)

    def shut_down(self) -> None:
        """Have the agent ask the guest."""
        self._order(Wanted.SHUT_DOWN)

    def power_off(self) -> None:
        """Have the agent end the VM; where there is no agent, end its process."""
        try:
            self._report()
        except (BrokerError, HypervisorError):
            self._kill()
        else:
            self._order(Wanted.POWER_OFF)

    def _kill(self) -> None:
        access = parts.make_access(self._config)
        vm = access.identity()
        if vm is None:
            msg = "Virtual machine does not exist: it is not on this host"
            raise HypervisorError(msg)
        try:
            access.kill_now(vm)
        except PermissionError as error:
            msg = f"this user may not end the VM's process {vm.pid}: ask as root"
            raise HypervisorError(msg) from error

    def _order(self, wanted: Wanted) -> int:
        """Put an order, and wait until the agent has carried it out; return its number."""
        self._report()
        number = self._broker.order_vm(wanted)
        ends = time.monotonic() + _TAKEN_WITHIN_S
        while time.monotonic() < ends:
            done = _done(self._broker.last_report(), number)
            if done is not None:
                if done["refused"]:
                    raise HypervisorError(done["refused"])
                return number
            time.sleep(_LOOK_S)
        msg = (
            f"the agent of this host did not take the order within {_TAKEN_WITHIN_S:g} s, and will"
            " not: its log says why it hangs"
        )
        raise HypervisorError(msg)

    def _report(self) -> Mapping[str, Any]:
        """Return the agent's report; raises where there is no agent that could do something."""
        report = self._broker.last_report()
        age_s = report["age_s"]
        limit_s = max(_STARTS_WITHIN_S, _LOOPS_MISSED * self._config.policy.loop_s)
        if "vm" not in report or age_s is None or age_s > limit_s:
            msg = (
                "the agent of this host does not run, and it is what starts and stops the VM:"
                " systemctl start he-fsm-agent (while global maintenance is on, it starts nothing"
                " by itself)"
            )
            raise HypervisorError(msg)
        return report


def _done(report: Mapping[str, Any], number: int) -> Optional[Mapping[str, Any]]:
    """Return what the agent says of an order; None: nothing yet."""
    found: list[Mapping[str, Any]] = report.get("by_hand", [])
    return next((each for each in found if each["number"] == number), None)


def by_hand_of(config: Config) -> VmByHand:
    """Return what a person of this host orders the VM with."""
    make = parts.hypervisor_kind(config).by_hand
    return AgentsVm(config) if make is None else make(config)


def what_follows(wanted: Wanted, broker: BrokerClient) -> str:
    """
    Return what the agents will do about an order that was carried out; empty: nothing.

    For people who expect that what they have done stays.
    """
    try:
        flags = broker.maintenance()
    except HeFsmError as error:
        return f"it is not known what the agents do next: {error}"
    if wanted in (Wanted.SHUT_DOWN, Wanted.POWER_OFF):
        if flags.everywhere:
            return ""
        return (
            "global maintenance is off: an agent starts the VM again as soon as it has ended"
            " (hosted-engine --set-maintenance --mode=global keeps it down)"
        )
    if flags.everywhere:
        return "global maintenance is on: no agent starts the VM again if it ends"
    if wanted is Wanted.START_PAUSED:
        return (
            "global maintenance is off: the agent powers off a VM that stays paused, and starts it"
            " anew"
        )
    if flags.local:
        return (
            "this host is in local maintenance: its agent moves the VM to another host as soon as"
            " one can take it"
        )
    return ""
