"""What every hypervisor promises to the loop: a test class of each inherits one of these two."""

from __future__ import annotations

import signal
import time

import attrs
import pytest

from he_fsm.errors import HypervisorError
from he_fsm.runtime.ports import LeaseUse, Peer
from he_fsm.snapshot import Health, Outcome, VmState
from he_fsm.testing.vm_hosts import VmHosts
from he_fsm.testing.waiting import until

# An event is seen by then, not with the next look.
EVENT_S = 0.5


class HypervisorContract:
    """
    What the agent's loop can rely on; see `he_fsm.runtime.ports.hypervisor`.

    A test class of a hypervisor inherits these tests. It, or its module, has the fixture `hosts`::

        class TestMine(HypervisorContract):
            @pytest.fixture
            def hosts(self, tmp_path):
                hosts = MyHosts(tmp_path)
                yield hosts
                hosts.tear_down()
    """

    def test_without_an_order_there_is_no_vm(self, hosts: VmHosts) -> None:
        seen = hosts.hypervisor(1).observe()
        assert (seen.vm.state, seen.vm.health) == (VmState.ABSENT, Health.UNKNOWN)
        assert (seen.results, seen.progress) == ((), None)
        assert hosts.access(1).identity() is None

    def test_a_start_is_seen_at_once_and_the_page_is_good_after_the_boot(
        self, hosts: VmHosts
    ) -> None:
        hypervisor = hosts.hypervisor(1)
        hypervisor.start()
        assert hypervisor.observe().vm.state is VmState.STARTING
        hosts.reaches(1, VmState.UP)
        until(lambda: hosts.page() == 200)
        assert hosts.owner() == 1
        assert hosts.told[1] == []

    def test_a_second_order_to_start_changes_nothing(self, hosts: VmHosts) -> None:
        hosts.start(1)
        pid = hosts.pid(1)
        hosts.hypervisor(1).start()
        assert hosts.state(1) is VmState.UP
        assert hosts.pid(1) == pid
        assert hosts.told[1] == []

    def test_no_method_waits(self, hosts: VmHosts) -> None:
        hosts.starts_slowly(1)
        hypervisor = hosts.hypervisor(1)
        began_at = time.monotonic()
        hypervisor.start()
        hypervisor.observe()
        hypervisor.shut_down()
        hypervisor.migrate(Peer(2))
        hypervisor.cancel_migration()
        hypervisor.power_off()
        assert time.monotonic() - began_at < 1.0

    def test_a_start_without_the_lease_is_refused_and_has_not_failed(self, hosts: VmHosts) -> None:
        hosts.start(1)
        hosts.hypervisor(2).start()
        until(lambda: hosts.state(2) is VmState.ABSENT)
        assert [result.outcome for result in hosts.told[2]] == [Outcome.START_REFUSED]
        assert "held by host 1" in hosts.told[2][0].detail
        assert hosts.is_good_on(1)

    def test_a_result_is_told_once(self, hosts: VmHosts) -> None:
        hosts.start(1)
        hosts.hypervisor(2).start()
        seen = [hosts.hypervisor(2).observe()]
        while seen[-1].vm.state is VmState.STARTING:
            seen.append(hosts.hypervisor(2).observe())
        # Not before its consequence, and not after it.
        assert [each.vm.state for each in seen if each.results] == [VmState.ABSENT]
        assert [each.vm.state for each in seen[:-1]] == [VmState.STARTING] * (len(seen) - 1)
        assert hosts.hypervisor(2).observe().results == ()

    def test_a_shut_down_vm_goes_and_its_lease_is_free(self, hosts: VmHosts) -> None:
        hosts.shuts_down_slowly(1)
        hosts.start(1)
        hosts.hypervisor(1).shut_down()
        hosts.reaches(1, VmState.STOPPING)
        hosts.reaches(1, VmState.ABSENT)
        assert hosts.page() is None
        assert hosts.told[1] == []
        hosts.start(2)

    def test_a_powered_off_vm_is_gone(self, hosts: VmHosts) -> None:
        hosts.start(1)
        hosts.hypervisor(1).power_off()
        hosts.reaches(1, VmState.ABSENT)
        assert hosts.told[1] == []
        hosts.start(1)

    def test_orders_to_no_vm_do_nothing(self, hosts: VmHosts) -> None:
        hypervisor = hosts.hypervisor(1)
        hypervisor.shut_down()
        hypervisor.power_off()
        hypervisor.cancel_migration()
        assert hosts.state(1) is VmState.ABSENT
        assert hosts.told[1] == []

    def test_a_paused_vm_is_seen_and_goes_on(self, hosts: VmHosts) -> None:
        hosts.start(1)
        hosts.pause(1)
        hosts.reaches(1, VmState.PAUSED)
        # Its guest does not see the button.
        hosts.hypervisor(1).shut_down()
        hosts.resume(1)
        until(lambda: hosts.is_good_on(1))

    def test_a_paused_vm_can_be_powered_off(self, hosts: VmHosts) -> None:
        hosts.start(1)
        hosts.pause(1)
        hosts.reaches(1, VmState.PAUSED)
        hosts.hypervisor(1).power_off()
        hosts.reaches(1, VmState.ABSENT)

    def test_the_death_of_the_vm_is_an_event(self, hosts: VmHosts) -> None:
        hosts.start(1)
        event = hosts.wake_event(1)
        hosts.signal(1, signal.SIGKILL)
        assert event.wait(EVENT_S)
        assert hosts.state(1) is VmState.ABSENT
        assert hosts.told[1] == []

    def test_a_pause_and_its_end_are_events(self, hosts: VmHosts) -> None:
        hosts.start(1)
        event = hosts.wake_event(1)
        hosts.pause(1)
        assert event.wait(EVENT_S)
        event.clear()
        hosts.resume(1)
        assert event.wait(EVENT_S)

    def test_nothing_happening_is_no_event(self, hosts: VmHosts) -> None:
        hosts.start(1)
        assert not hosts.wake_event(1).wait(EVENT_S)

    def test_a_new_agent_finds_the_vm_of_the_last_one(self, hosts: VmHosts) -> None:
        hosts.start(1)
        pid = hosts.pid(1)
        hosts.restart_agent(1)
        event = hosts.wake_event(1)
        assert hosts.is_good_on(1)
        assert hosts.pid(1) == pid
        hosts.signal(1, signal.SIGKILL)
        assert event.wait(EVENT_S)
        assert hosts.state(1) is VmState.ABSENT

    def test_a_new_agent_sees_a_start_of_the_last_one_to_its_end(self, hosts: VmHosts) -> None:
        hosts.starts_slowly(1)
        hosts.hypervisor(1).start()
        hosts.restart_agent(1)
        assert hosts.state(1) is VmState.STARTING
        pid = hosts.pid(1)
        hosts.hypervisor(1).start()
        until(lambda: hosts.is_good_on(1))
        assert hosts.pid(1) == pid
        assert hosts.told[1] == []

    def test_no_vm_no_migration(self, hosts: VmHosts) -> None:
        hosts.hypervisor(1).migrate(Peer(2))
        assert hosts.state(1) is VmState.ABSENT
        assert [result.outcome for result in hosts.told[1]] == [Outcome.MIGRATION_FAILED]

    def test_giving_up_no_arrival_does_nothing(self, hosts: VmHosts) -> None:
        hosts.hypervisor(1).give_up_arrival()
        assert hosts.state(1) is VmState.ABSENT
        hosts.start(1)
        hosts.hypervisor(1).give_up_arrival()
        assert hosts.state(1) is VmState.UP
        assert hosts.told[1] == []

    def test_anybody_on_the_host_finds_the_vm_and_can_end_it(self, hosts: VmHosts) -> None:
        access = hosts.access(1)
        hosts.start(1)
        vm = access.identity()
        assert vm is not None
        assert vm.lease is LeaseUse.HAS
        assert vm.name
        # Another process of its number stays.
        access.kill_now(attrs.evolve(vm, incarnation="1"))
        assert hosts.is_good_on(1)
        event = hosts.wake_event(1)
        access.kill_now(vm)
        assert event.wait(EVENT_S)
        hosts.reaches(1, VmState.ABSENT)
        assert access.identity() is None
        access.kill_now(vm)

    def test_without_a_screen_there_is_no_console(self, hosts: VmHosts) -> None:
        with pytest.raises(HypervisorError, match="no screen"):
            hosts.access(1).console(60)

    def test_closing_leaves_the_vm_running(self, hosts: VmHosts) -> None:
        hosts.start(1)
        hosts.wake_event(1)
        hosts.hypervisor(1).close()
        assert hosts.page() == 200
        assert hosts.running() == [1]


class MigrationContract(HypervisorContract):
    """The same, for a hypervisor whose VMs move to another host while they execute."""

    def test_a_migrated_vm_runs_on_the_other_host(self, hosts: VmHosts) -> None:
        hosts.start(1)
        event = hosts.wake_event(2)
        hosts.migrates(1, 2)
        until(lambda: hosts.state(2) is VmState.ARRIVING)
        progress = hosts.hypervisor(1).observe().progress
        assert progress is not None
        assert 0.0 <= progress < 1.0
        assert event.wait(EVENT_S)
        hosts.reaches(1, VmState.ABSENT)
        until(lambda: hosts.is_good_on(2))
        assert [result.outcome for result in hosts.told[1]] == [Outcome.MIGRATION_DONE]
        assert hosts.told[2] == []
        assert hosts.owner() == 2
        assert hosts.hypervisor(1).observe().progress is None

    def test_from_the_order_on_a_vm_is_leaving(self, hosts: VmHosts) -> None:
        hosts.start(1)
        # There is somebody who takes it.
        hosts.hypervisor(2)
        hosts.hypervisor(1).migrate(Peer(2))
        # The agent looks again at once: a VM that is seen to stay has failed to leave.
        assert hosts.state(1) is VmState.LEAVING
        until(lambda: hosts.is_good_on(2))
        assert VmState.ABSENT is hosts.state(1)

    def test_a_vm_that_arrived_is_the_new_hosts_own(self, hosts: VmHosts) -> None:
        hosts.start(1)
        hosts.migrates(1, 2)
        until(lambda: hosts.is_good_on(2))
        event = hosts.wake_event(2)
        hosts.signal(2, signal.SIGKILL)
        assert event.wait(EVENT_S)
        assert hosts.state(2) is VmState.ABSENT
        hosts.start(2)

    def test_a_cancelled_migration_leaves_the_vm_here(self, hosts: VmHosts) -> None:
        hosts.migrates_slowly(1)
        hosts.start(1)
        hosts.migrates(1, 2)
        until(lambda: hosts.state(2) is VmState.ARRIVING)
        hosts.hypervisor(1).cancel_migration()
        until(lambda: hosts.is_good_on(1))
        assert [result.outcome for result in hosts.told[1]] == [Outcome.MIGRATION_FAILED]
        hosts.reaches(2, VmState.ABSENT)

    def test_while_a_vm_arrives_no_other_starts(self, hosts: VmHosts) -> None:
        hosts.migrates_slowly(1)
        hosts.start(1)
        hosts.migrates(1, 2)
        hosts.reaches(2, VmState.ARRIVING)
        hosts.hypervisor(2).start()
        assert hosts.state(2) is VmState.ARRIVING
        assert [result.outcome for result in hosts.told[2]] == [Outcome.START_REFUSED]
        assert hosts.state(1) is VmState.LEAVING

    def test_an_arrival_can_be_given_up(self, hosts: VmHosts) -> None:
        hosts.migrates_slowly(1)
        hosts.start(1)
        hosts.migrates(1, 2)
        hosts.reaches(2, VmState.ARRIVING)
        # Power off is for the VM, which is still the source's.
        hosts.hypervisor(2).power_off()
        assert hosts.state(2) is VmState.ARRIVING
        hosts.hypervisor(2).give_up_arrival()
        hosts.reaches(2, VmState.ABSENT)
        assert hosts.told[2] == []
        until(lambda: hosts.is_good_on(1))
        assert hosts.outcomes(1) == [Outcome.MIGRATION_FAILED]

    def test_a_vm_that_moves_says_so(self, hosts: VmHosts) -> None:
        hosts.migrates_slowly(1)
        hosts.start(1)
        hosts.migrates(1, 2)
        hosts.reaches(2, VmState.ARRIVING)
        found = [hosts.access(host_id).identity() for host_id in (1, 2)]
        assert [vm and vm.lease for vm in found] == [LeaseUse.MOVES] * 2
