"""libvirt's daemon restarts or hangs, and the agent ends and comes back, beside a holder."""

from __future__ import annotations

import pytest

from tests.runtime.hypervisors.libvirt.libvirt_hosts import NEEDS_LIBVIRT
from tests.runtime.hypervisors.libvirt.test_daemons import (
    daemon,
    test_a_daemon_killed_during_a_start,
    test_a_daemon_that_hangs_makes_the_state_unknown_and_costs_nothing_else,
    test_a_daemon_that_restarts_costs_the_domain_nothing,
    test_a_domain_can_be_ended_while_its_daemon_hangs,
    test_a_domain_killed_while_it_starts_is_a_failed_start,
    test_a_guest_that_ignores_the_button_is_stopping_until_it_is_powered_off,
    test_a_guest_that_powers_itself_off_is_gone,
    test_an_agent_begins_and_ends_beside_a_daemon_that_hangs,
    test_many_adapters_leave_nothing_behind,
    test_power_off_needs_no_daemon,
    test_what_happens_while_there_is_no_daemon_is_made_up_for,
)

__all__ = (
    "daemon",
    "test_a_daemon_killed_during_a_start",
    "test_a_daemon_that_hangs_makes_the_state_unknown_and_costs_nothing_else",
    "test_a_daemon_that_restarts_costs_the_domain_nothing",
    "test_a_domain_can_be_ended_while_its_daemon_hangs",
    "test_a_domain_killed_while_it_starts_is_a_failed_start",
    "test_a_guest_that_ignores_the_button_is_stopping_until_it_is_powered_off",
    "test_a_guest_that_powers_itself_off_is_gone",
    "test_an_agent_begins_and_ends_beside_a_daemon_that_hangs",
    "test_many_adapters_leave_nothing_behind",
    "test_power_off_needs_no_daemon",
    "test_what_happens_while_there_is_no_daemon_is_made_up_for",
)

pytestmark = [*NEEDS_LIBVIRT, pytest.mark.long]
