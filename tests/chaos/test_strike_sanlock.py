"""A short campaign on real sanlock daemons and real VMs; `make chaos-real` is the long one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from he_fsm.chaos.run import campaign
from he_fsm.chaos.strike_sanlock import SANLOCK_KIT
from he_fsm.errors import HeFsmError
from he_fsm.lab.sanlock.needs import missing

SPEED = 10.0
WHY_NOT = "; ".join(missing(SPEED))
ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.sanlock,
    pytest.mark.qemu,
    pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT or "all is here"),
]


def test_whatever_fails_one_engine_is_up_in_the_end():
    summary = campaign(seed=1, for_s=10.0, speed=SPEED, kit=SANLOCK_KIT)
    assert summary.problems == ()
    assert summary.doubles == 0
    assert summary.settled_s <= summary.bound_s
    assert summary.strikes > 0


def test_what_can_not_be_done_is_said_before_anything_is_started():
    with pytest.raises(HeFsmError, match="not slower"):
        campaign(seed=1, for_s=10.0, speed=0.5, kit=SANLOCK_KIT)


def test_the_command_says_in_a_sentence_what_can_not_be_done():
    command = [sys.executable, str(ROOT / "tools" / "chaos"), "--real", "--speed", "0.5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "not slower" in done.stderr
    assert "Traceback" not in done.stderr
