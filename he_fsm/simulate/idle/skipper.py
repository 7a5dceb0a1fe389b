"""Skipping quiet times: a look is left out that would change nothing."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from typing import Optional

from he_fsm.crowd import CrowdSightings
from he_fsm.liveness import NEVER
from he_fsm.memory import Sighting
from he_fsm.metadata.record import EngineStatus, HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.score import Score
from he_fsm.simulate.before import Before, LastLook
from he_fsm.simulate.host import Agent, SimHost
from he_fsm.simulate.idle.crowds import Crowds, beats, founding_pulses, is_crowd
from he_fsm.simulate.idle.hooks import IdleHooks
from he_fsm.simulate.idle.looks import Asked, Look, last_shown
from he_fsm.simulate.idle.pulse import COPIES, Pulse, Spans, Trust
from he_fsm.simulate.page import Page
from he_fsm.simulate.schedule import FIRST, LAST, Moment
from he_fsm.simulate.world import World
from he_fsm.step import Step
from he_fsm.tick import Facts


class Skipper(IdleHooks):
    """
    Knows which looks may be skipped, and what became of those that were.

    A *heartbeat* is a record that differs from its host's last one in nothing but the timestamp. A
    host is a *pulse* from the moment on from which its slot shows its heartbeats and nothing else,
    until something happens to it, its agent or its slot. A pulse *trusts* in another once it has
    really read one of its heartbeats: from then on it remembers the other as growing for ever.

    **What holds of every look that is skipped.** The agent would have

    1. written a heartbeat,
    2. read nothing new but heartbeats of those in whom it trusts, each of them before it would have
       taken the other for silent,
    3. found all other facts as with its last look: VM, readings, flags, leases,
    4. got from `step` no edge, no effect, and the memory that it had, but for the sightings of
       those in whom it trusts and for the times that every look sets.

    The last follows from the others: a look that was not skipped has got this very answer and left
    the memory as it was, and `step` says itself until when the answer holds while nothing but
    heartbeats comes (`idle_until`). So an agent's next look is then, or at its first loop after one
    of 1 to 3 may have become false; each method says which. A look too many costs time and changes
    nothing: it asks `step`, as it would have done anyway.

    What became of skipped looks is computed when somebody wants to know: the records that they
    wrote, and whose growth they saw when (`Pulse`, `Trust`). All comparisons of what was before
    what go by time *and* turn (`schedule.Moment`), as the looks themselves do.
    """

    def __init__(self, world: World, *, skips: bool) -> None:
        """Begin with no pulse; without *skips* there never is one."""
        self._world = world
        self._skips = skips
        self._latency_s = world.times.storage_latency_s
        self._pulses: dict[int, Pulse] = {}
        self._crowds = Crowds()
        # The member of the crowd that just begins a page which all others will read.
        self._turning: Optional[int] = None
        self._rates = (1.0, 1.0)
        self._spans = self._spans_at(1.0)

    def note_rate(self, rate: float) -> None:
        """A host's clock is to run at *rate*: a heartbeat may come later than was reckoned (2)."""
        self.end_all()
        self._spans = self._spans_at(rate)

    def _spans_at(self, rate: float) -> Spans:
        slowest, fastest = min(rate, self._rates[0]), max(rate, self._rates[1])
        self._rates = slowest, fastest
        return Spans.of(self._world.times, self._world.policy.dead_after_s, slowest, fastest)

    def pulse_of(self, host: SimHost) -> Optional[Pulse]:
        """Return what is known of a host as a pulse, None: it is none."""
        pulse = self._pulses.get(host.host_id)
        return pulse if pulse is not None and pulse.host is host else None

    def _catch_up(self, pulse: Pulse) -> None:
        """Note which looks of a pulse were before now."""
        world, count = self._world, self._spans.looks
        if world.damages_slots and count < COPIES:
            count = COPIES
        pulse.catch_up(world.moment, count)

    # One look, in the order in which it calls.

    def before_look(self, host: SimHost, agent: Agent) -> Optional[Pulse]:
        """Bring an agent's memory up to the last look before this one."""
        pulse = self.pulse_of(host)
        if pulse is None:
            return None
        self._catch_up(pulse)
        pulse.forget(self._world.now - self._spans.memory_s)
        world, memory = self._world, agent.memory
        if pulse.stale:
            changed = {slot: self._read_again(pulse, slot) for slot in pulse.stale}
            pulse.stale.clear()
            pulse.given_up_at = NEVER
            pulse.answered = None
            pulse.remember(self._crowds.changed(pulse, changed, world.moment))
        elif memory.waits_on_evidence or self._crowds.is_older(memory.sightings, world.moment):
            # When it looked matters to nothing else.
            pulse.remember(self._crowds.changed(pulse, {}, world.moment))
        pulse.has_looked = True
        return pulse

    def _read_again(self, pulse: Pulse, slot: int) -> Sighting:
        """Trust no more in one whose slot shows something else; return what to compare it with."""
        trust = pulse.trusts.pop(slot)
        other, now = trust.pulse, self._world.moment
        if slot in self._pulses:
            pulse.strangers.add(slot)
            if self._pulses[slot] is other and other.page_grows and other.page_since < now:
                # What is read now is newer than all that was read before, whatever that was.
                return trust.seen
        # What its last heartbeats show from now on, this one has to read.
        for key in other.unread:
            if key > now:
                heapq.heappush(pulse.dues, key)
        return self._remembered(pulse, trust)

    def _remembered(self, pulse: Pulse, trust: Trust) -> Sighting:
        other = trust.pulse
        if self._pulses.get(other.host.host_id) is other:
            self._catch_up(other)
        return trust.remembered(pulse.looks, self._latency_s)

    def heartbeat(
        self, pulse: Pulse, facts: Facts, score: Score, status: EngineStatus
    ) -> Optional[HostRecord]:
        """
        Take note of a look that writes a heartbeat, which is written when somebody wants to know.

        Returns:
            The record, with an older timestamp; None: what the agent writes now is no heartbeat.
        """
        page, memory = pulse.page, pulse.agent.memory
        if not page.says(score.total, status, facts.local_maintenance):
            return None
        record = page.record
        if not page.shows(memory, facts, score):
            page = Page(record, memory, facts, score, page.version)
        time, turn = self._world.moment
        pulse.write(Look(time, turn, facts.now, page))
        return record

    def write(self, host: SimHost, agent: Agent, page: Page, now: float) -> None:
        """Write a record that is no heartbeat; with it a host becomes a pulse, if all is well."""
        world, storage, slot = self._world, self._world.storage, host.host_id
        pulse = self.pulse_of(host)
        if pulse is not None:
            self._write_owed(pulse)
            self._turning = slot if self._crowds.has(slot) else None
        can_begin = pulse is None and self._skips and storage.is_plain(slot)
        shown_at = page.write(storage, host, world.now)
        since = max((shown_at, FIRST), world.moment)
        if pulse is not None:
            self._turning = None
            pulse.begin_page(page, since)
            self._crowds.take_page(pulse)
        elif (
            can_begin
            and shown_at == world.now + self._latency_s
            and not page.record.stopped
            and self._spans.fresh_s >= 0
            and beats(world, host, agent)
        ):
            pulse = self._begin(Pulse(host, agent, page, since))
        else:
            return
        pulse.looks.append(Look(world.now, world.moment[1], now, page))

    def _begin(self, pulse: Pulse) -> Pulse:
        """Make a host a pulse, in which nobody trusts yet."""
        slot, world = pulse.host.host_id, self._world
        for other in self._pulses.values():
            other.strangers.add(slot)
        pulse.strangers = set(self._pulses)
        # Of what is under way it has not been told.
        pulse.dues = sorted([(at, FIRST) for at in world.storage.shown_later(world.now, slot)])
        self._pulses[slot] = pulse
        self._crowds.join(pulse)
        return pulse

    def read(self, host: SimHost, pulse: Optional[Pulse]) -> Whiteboard:
        """Read the whiteboard; heartbeats can be read of those in whom this host does not trust."""
        world, pulses = self._world, self._pulses
        board = world.storage.read(world.now, host.identity.version)
        if pulse is not None:
            seen = pulse.agent.memory.sightings
            if type(seen) is CrowdSightings:
                return self._crowds.read(board, seen, pulse.strangers, self._shown)
        if not (pulses if pulse is None else pulse.strangers):
            return board
        changed: dict[int, HostRecord] = {}
        for slot in pulses if pulse is None else pulse.strangers:
            record = self._shown(slot)
            if record is not None and record is not board.slots.get(slot):
                changed[slot] = record
        return Whiteboard(board.global_block, {**board.slots, **changed}) if changed else board

    def _shown(self, slot: int) -> Optional[HostRecord]:
        """Return the record that a pulse's slot shows now; None: what is on the storage."""
        other, moment = self._pulses[slot], self._world.moment
        if other.since >= moment:
            return None
        self._catch_up(other)
        place = last_shown(other.looks, *moment, self._latency_s)
        return None if place is None else other.looks[place].record

    def answer_holds(
        self,
        pulse: Pulse,
        facts: Facts,
        own: Optional[HostRecord],
        whiteboard: Optional[Whiteboard],
    ) -> bool:
        """Whether `step` would be asked what it has answered already (4)."""
        asked, pulse.answered = pulse.answered, None
        if asked is None or facts.now >= pulse.until:
            return False
        if asked.is_same(facts, own, whiteboard):
            pulse.answered = asked
            return True
        return False

    def after_decision(self, pulse: Pulse, decision: Step, asked: Asked) -> None:
        """Trust in those of whom a heartbeat has really been read (2), and keep the answer (4)."""
        if pulse.strangers:
            trusted = pulse.newly_trusted(self._pulses, self._world.moment, self._spans.fresh_s)
            if trusted:
                memory, sightings = pulse.agent.memory, self._crowds.trusting(pulse, trusted)
                pulse.agent.memory = memory.seeing(sightings, memory.read_at)
        pulse.answered = None
        # What it has learnt with this look, it may publish or decide by with the next.
        if (
            decision.edge is None
            and not asked.facts.results
            and decision.memory.is_but_for_sight(asked.memory)
        ):
            pulse.answered = asked
            pulse.until = pulse.holds_until(decision, self._world.policy.dead_after_s)

    def next_look(self, pulse: Pulse) -> Optional[float]:
        """Return when an agent looks next, on its monotonic clock; None: no look is skipped."""
        if pulse.answered is None:
            return None
        until = min(pulse.until, pulse.given_up_at)
        now, dues = self._world.moment, pulse.dues
        while dues and dues[0] < now:
            heapq.heappop(dues)
        leases, page = self._leases_change(pulse), self._crowds.next_page(pulse)
        due = min(filter(None, (dues[0] if dues else None, leases, page)), default=None)
        for slot in pulse.strangers:
            since = max(self._pulses[slot].since, now)
            if due is None or since < due:
                due = since
        return until if due is None else min(until, pulse.agent.loops.at(pulse.first_loop(due)))

    # How a large cluster begins.

    def begins_with_crowd(self) -> bool:
        """Whether the hosts are so many that what they see alike is worth being kept once."""
        return self._skips and self._spans.fresh_s >= 0 and is_crowd(self._world)

    def begin_crowd(self, before: Before, last_looks: Mapping[str, LastLook]) -> None:
        """Begin with all hosts that look and write as pulses that trust in each other."""
        self._pulses.update(founding_pulses(self._world, last_looks))
        self._crowds.found(self._world, self._pulses, before, last_looks)

    # What makes one look that slept.

    def stir(self, host: SimHost) -> None:
        """Something on a host is not as it was (3)."""
        pulse = self.pulse_of(host)
        if pulse is not None:
            self._is_due(pulse, self._world.moment)

    def slot_changes(self, slot: int, shown_at: float) -> None:
        """From a time on something can be read in a slot that is no heartbeat, or is none (2)."""
        key = max((shown_at, FIRST), self._world.moment)
        pulses, crowds = self._pulses, self._crowds
        if slot == self._turning:
            for own, pulse in crowds.sleepers.items():
                if own != slot and pulse.agent.next_tick >= max(key[0], self._world.now):
                    self._look_earlier(pulse, pulse.agent.loops.at(pulse.first_loop(key)))
            crowds.sleepers.clear()
            pulses = crowds.odd
        for own, pulse in pulses.items():
            if own != slot:
                if slot in pulse.trusts:
                    pulse.stale.add(slot)
                self._is_due(pulse, key)

    def leases_change(self, at_once: bool) -> None:
        """The lease manager tells something else, *at_once* or as `_leases_change` says (3)."""
        for pulse in self._pulses.values():
            due = self._world.moment if at_once else self._leases_change(pulse)
            if due is not None:
                self._is_due(pulse, due)

    def _leases_change(self, pulse: Pulse) -> Optional[Moment]:
        """Return after when a pulse is told something else of the leases, if nothing happens."""
        liveness = pulse.agent.liveness
        # The death of one that it does not take for alive changes nothing for it.
        found = self._world.lockspace.changes_at(
            pulse.host.member, self._world.now, liveness.alive, liveness.pending
        )
        return None if found is None else (found[0], LAST if found[1] else FIRST)

    def _is_due(self, pulse: Pulse, key: Moment) -> None:
        """Schedule a pulse's pass for its first loop after *key*."""
        dues, agent = pulse.dues, pulse.agent
        # One that looks just now finds that when it plans its next look; one that knows of
        # something earlier looks early enough.
        is_first = not dues or key < dues[0]
        heapq.heappush(dues, key)
        if is_first and agent.next_tick >= key[0] and agent.next_tick > self._world.now:
            self._look_earlier(pulse, agent.loops.at(pulse.first_loop(key)))

    def _look_earlier(self, pulse: Pulse, asked_for: float) -> None:
        world, agent = self._world, pulse.agent
        time = max(world.now, pulse.host.clock.true_time(asked_for))
        # The first look of a run is planned as that of everybody else.
        if time < agent.next_tick and pulse.has_looked:
            world.look_at(pulse.host, agent, time, asked_for)

    # When a host is no pulse any more.

    def end_irregular(self) -> None:
        """Find the hosts that are no pulses any more after something has happened."""
        for pulse in list(self._pulses.values()):
            if not beats(self._world, pulse.host, pulse.agent):
                self.end(pulse.host)

    def end_all(self, slot: Optional[int] = None) -> None:
        """End every pulse, or the one of a *slot* to which something is to happen."""
        for own, pulse in list(self._pulses.items()):
            if slot in (None, own):
                self.end(pulse.host)

    def end(self, host: SimHost) -> None:
        """
        End a host's pulse: leave the host and the storage as its last pass before now left them.

        Those who trust in it go on to, until they look, or until they would find it silent.
        """
        pulse = self.pulse_of(host)
        if pulse is None:
            return
        agent, slot = pulse.agent, host.host_id
        self._catch_up(pulse)
        sightings = dict(agent.memory.sightings)
        for other_slot, trust in pulse.trusts.items():
            sightings[other_slot] = self._remembered(pulse, trust)
        pulse.remember(sightings)
        agent.own = pulse.looks[-1].record
        self._write_owed(pulse)
        del self._pulses[slot]
        self._crowds.leave(slot)
        pulse.answered = None
        for other in self._pulses.values():
            other.strangers.discard(slot)
            theirs = other.trusts.get(slot)
            if theirs is not None and theirs.pulse is pulse:
                self._expect_silence(other, theirs)
            else:
                for key in pulse.unread:
                    self._is_due(other, key)
        if agent.next_tick > self._world.now:
            self._look_earlier(pulse, agent.loops.next)

    def _expect_silence(self, pulse: Pulse, trust: Trust) -> None:
        """Schedule a pass for when a host would find another silent in which it trusts (2)."""
        self._catch_up(pulse)
        grew_at = trust.end(pulse, self._latency_s)
        pulse.stale.add(trust.pulse.host.host_id)
        given_up_at = grew_at + self._world.policy.dead_after_s
        pulse.given_up_at = min(pulse.given_up_at, given_up_at)
        if pulse.agent.next_tick > self._world.now:
            self._look_earlier(pulse, given_up_at)

    def _write_owed(self, pulse: Pulse) -> None:
        """Write the heartbeats of a pulse that are not on the storage yet, if they can matter."""
        world = self._world
        copies = COPIES if world.damages_slots else 0
        pulse.write_owed(world.storage, self._latency_s, world.now, copies)

    def finish(self) -> None:
        """Write what is owed at the end of the run."""
        for pulse in self._pulses.values():
            self._catch_up(pulse)
            pulse.agent.own = pulse.looks[-1].record
            self._write_owed(pulse)
