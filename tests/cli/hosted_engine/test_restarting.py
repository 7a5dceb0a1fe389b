"""`hosted-engine --vm-start` beside a VM that does not execute: it is ended first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Optional

import attrs
import pytest

from he_fsm.cli.hosted_engine.vm import end, launch
from he_fsm.runtime.vm_orders.order import Wanted


@attrs.define
class Told:
    """A VM whose looks are known beforehand; the last one holds."""

    looks: list[Optional[str]]
    deeds: list[str] = attrs.field(factory=list)

    def status(self) -> Optional[str]:
        return self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]

    def start(self, *, paused: bool = False, conf: Optional[Path] = None) -> None:
        assert (paused, conf) == (False, None)
        self.deeds.append("start")

    def shut_down(self) -> None:
        self.deeds.append("shut down")

    def power_off(self) -> None:
        self.deeds.append("power off")


@pytest.mark.parametrize(
    ("looks", "deeds"),
    [
        (["Paused", "Powering down", None], ["power off", "start"]),
        (["Down", None], ["power off", "start"]),
        # Without maintenance the agent may be faster.
        (["Paused", "WaitForLaunch"], ["power off"]),
        (["Paused", "Powering down", "Up"], ["power off"]),
    ],
)
def test_what_is_ended_is_started_anew_once(
    looks: Sequence[Optional[str]], deeds: Sequence[str]
) -> None:
    vm = Told(list(looks))
    end(vm)
    launch(vm, Wanted.START, None)
    assert vm.deeds == deeds
