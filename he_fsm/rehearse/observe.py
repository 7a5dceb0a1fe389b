"""The truth about a lab, whatever its hosts believe: observed many times a second."""

from __future__ import annotations

import time
from typing import Any, Callable, Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab.host import LabHost
from he_fsm.lab.lab import Lab
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.rehearse.host_seen import HostSeen
from he_fsm.rehearse.observe_vms import STARTING_UP, VmObserver
from he_fsm.report.events import Event
from he_fsm.report.truth import Truth
from he_fsm.runtime.hypervisors.vm_file import Phase, VmRecord
from he_fsm.scenario.judging.judge import Judge
from he_fsm.scenario.judging.matching import Seen
from he_fsm.states.names import State
from he_fsm.states.table import ROWS

_ROW = {(row.source.value, row.name): row for row in ROWS}
_BEFORE_THE_FACTS = (State.GLOBAL_MAINTENANCE.value, State.UNKNOWN.value)
# The blocks of each slot, as they were written, the oldest first.
Blocks = dict[int, list[bytes]]


class Observer:
    """
    Looks at a lab, and reports what changed to the judge; keeps the events of the run.

    Times that it reports are those of the scenario: seconds since it began, multiplied by the
    speed. *began_at* is on the machine's monotonic clock.
    """

    def __init__(
        self,
        lab: Lab,
        judge: Judge,
        began_at: float,
        lease: Optional[str],
        blocks: Optional[Blocks] = None,
    ) -> None:
        """
        Begin to look; events before *began_at* do not count.

        Args:
            lab: what is looked at.
            judge: the judge to which changes are reported.
            began_at: time 0 of the scenario, on the monotonic clock.
            lease: the name of the host that has the engine's lease at that time.
            blocks: what another observer has kept of the time before.
        """
        self.lab = lab
        self.judge = judge
        self.events: list[Event] = []
        self.truth = Truth()
        self._began_at = began_at
        self._hosts = {name: HostSeen(last_event_at=began_at) for name in lab.hosts}
        self._vms = VmObserver(lab, judge, self._hosts, self.note)
        self._lease = lease
        self._is_first = True
        self._last_t = 0.0
        # Blocks as they were written, for a storage that shows an old one.
        self.blocks: Blocks = {} if blocks is None else blocks
        self.on_write: Optional[Callable[[int, bytes, bytes], None]] = None

    def time(self) -> float:
        """Return the scenario's time."""
        return (time.monotonic() - self._began_at) * self.lab.speed

    def scenario_time(self, monotonic: float) -> float:
        """Return the scenario's time of a monotonic one, never before its beginning."""
        return max(0.0, (monotonic - self._began_at) * self.lab.speed)

    def note(self, t: float, host: Optional[str], kind: str, text: str, **details: Any) -> None:
        """Write down what happened."""
        self.events.append(Event(t, host, kind, {"text": text, **details}))

    def host(self, name: str) -> HostSeen:
        """Return what was last seen of a host."""
        return self._hosts[name]

    def look(self, at: Optional[float] = None) -> float:
        """
        Look once at everything; give the time of the look.

        *at*: what is seen was so at this time already, if nothing was seen later.
        """
        records = {name: host.vm() for name, host in self.lab.hosts.items()}
        is_good = self._page_is_good(records)
        if not is_good:
            # A page that does not answer may be that of a VM that has just gone.
            records = {name: host.vm() for name, host in self.lab.hosts.items()}
        # However long the first look takes: it is the state in which the scenario begins.
        t = 0.0 if self._is_first else max(self._last_t, self.time() if at is None else at)
        self._last_t = t
        words = self._vms.observe(t, records, is_good=is_good, is_first=self._is_first)
        self._show_engine(t, words, records, is_good=is_good)
        self._show_lease(t)
        self._show_whiteboard(t)
        for name, host in self.lab.hosts.items():
            self._show_agent(t, name, host)
        self._is_first = False
        return t

    # The engine.

    def _page_is_good(self, records: dict[str, Optional[VmRecord]]) -> bool:
        """Return whether the health page answers well on a host whose VM could serve it."""
        return any(
            self.lab.hosts[name].page_is_good(record)
            for name, record in records.items()
            if record is not None
            and record.phase in (Phase.RUNNING, Phase.STOPPING)
            and self.lab.hosts[name].executes(record)
        )

    def _show_engine(
        self,
        t: float,
        words: dict[str, str],
        records: dict[str, Optional[VmRecord]],
        *,
        is_good: bool,
    ) -> None:
        executing = [
            name
            for name, word in words.items()
            if word != STARTING_UP and self._executes(name, records[name])
        ]
        main = next(iter(executing), None) or next(iter(words), None)
        shown = {name: "starting" if word == STARTING_UP else word for name, word in words.items()}
        judge = self.judge
        judge.observe(t, ("engine_on",), main)
        judge.observe(t, ("engine",), "down" if main is None else shown[main])
        judge.observe(t, ("running",), len(executing))
        judge.observe(t, ("healthy",), is_good)
        self.truth.show_engine(t, main, shown, is_good=is_good)

    def _executes(self, name: str, record: Optional[VmRecord]) -> bool:
        return record is not None and self.lab.hosts[name].executes(record)

    def _show_lease(self, t: float) -> None:
        try:
            owner_id = self.lab.lease_owner()
        except HeFsmError:
            return
        owner = None if owner_id is None else self.lab.name_of(owner_id)
        self.judge.observe(t, ("lease",), owner)
        self.truth.show(t, "lease", owner, None if owner is None else "held")
        if owner != self._lease:
            self._lease = owner
            text = "the engine's lease is free"
            if owner is not None:
                text = f"host {owner} holds the lease"
            self.note(t, owner, "lease", text, owner=owner)

    # The whiteboard, and what agents say.

    def _show_whiteboard(self, t: float) -> None:
        try:
            data = self.lab.read_whiteboard()
        except HeFsmError:
            return
        found = Whiteboard.parse(data, version=max(h.version for h in self.lab.hosts.values()))
        for name, host in self.lab.hosts.items():
            record = found.slots.get(host.host_id)
            seen = self._hosts[name]
            is_own = isinstance(record, HostRecord) and record.hostname == host.hostname
            if not is_own or record == seen.record or not isinstance(record, HostRecord):
                continue
            begin = host.host_id * 4096
            self._keep(host.host_id, data[begin : begin + 4096])
            seen.record, seen.record_since = record, t
            self.judge.observe(t, ("score", name), record.score)
            self.judge.observe(t, ("record", name), _seen(record, t))
            if record.score != seen.score:
                seen.score = record.score
                why = _line_of(record.text, "score-why")
                self.note(t, name, "score", f"score {record.score}: {why}", score=record.score)

    def _keep(self, slot: int, block: bytes) -> None:
        kept = self.blocks.setdefault(slot, [])
        before = kept[-1] if kept else b""
        kept.append(block)
        del kept[:-8]
        if self.on_write is not None:
            self.on_write(slot, before, block)

    def _show_agent(self, t: float, name: str, host: LabHost) -> None:
        process = host.agent_process
        seen = self._hosts[name]
        if process is None or process.poll() is not None:
            self._show_state(t, name, None)
            return
        if host.is_frozen or "broker" in host.frozen:
            return
        try:
            report = host.client.last_report()
        except HeFsmError:
            return
        if "state" not in report:
            return
        for event in report["events"]:
            if event["at"] > seen.last_event_at:
                seen.last_event_at = event["at"]
                if "alarm" in event:
                    self._note_alarm(name, event)
                elif not self._is_arriving(seen, event["source"]):
                    self._note_edge(name, event)
        self._show_state(t, name, report["state"])
        judge = self.judge
        judge.observe(t, ("alive", name), frozenset(report["alive"]))
        for key in judge.wanted:
            if key[0] == "problem" and key[1] == name:
                judge.observe(t, key, report["problems"].get(str(key[2])))
            elif key[0] == "sees" and key[1] == name:
                judge.observe(t, key, self._sees(t, report, key[2]))
        self._note_problems(t, name, seen, report["problems"])

    def _is_arriving(self, seen: HostSeen, source: str) -> bool:
        """Return whether an edge belongs to the warm-up, and not to the scenario."""
        seen.is_arriving = seen.is_arriving and source in _BEFORE_THE_FACTS
        return seen.is_arriving

    def arrive_in_states(self) -> None:
        """Pass over the edges by which the agents leave the warm-up's maintenance."""
        for seen in self._hosts.values():
            seen.is_arriving = True

    def _sees(self, t: float, report: dict[str, Any], other: str) -> Optional[Seen]:
        found = report["sees"].get(str(self.lab.hosts[other].host_id))
        if found is None:
            return None
        vm = found["vm"]
        return Seen(
            score=found["score"],
            vm="down" if vm.startswith("down") else vm,
            hostname=found["hostname"],
            maintenance=found["maintenance"],
            stopped=found["stopped"],
            since=t - (found["age_s"] + report["age_s"]) * self.lab.speed,
        )

    def _show_state(self, t: float, name: str, state: Optional[str]) -> None:
        seen = self._hosts[name]
        self.judge.observe(t, ("state", name), state)
        if state != seen.state:
            seen.state = state
            self.truth.show(t, "state", name, state)

    def _note_edge(self, name: str, event: dict[str, Any]) -> None:
        """Write down an edge at its own time, and count what it orders."""
        row = _ROW[event["source"], event["edge"]]
        t = self.time()
        details = {"edge": event["edge"], "from": event["source"], "to": event["to"]}
        self.note(self.scenario_time(event["at"]), name, "state", event["why"], **details)
        counted = {
            "failed_starts": row.counts_failed_start,
            "shutdowns": "shut the VM down" in row.does,
            "poweroffs": "power the VM off" in row.does,
            "notifications": event["told"],
            "refused_starts": row.name == "lease_held",
        }
        for kind, happened in counted.items():
            if happened:
                self.judge.count(t, kind, name)

    def _note_alarm(self, name: str, event: dict[str, Any]) -> None:
        """Write down an alarm that was notified, or its end."""
        self.judge.count(self.time(), "notifications", name)
        text = f"alarm {event['alarm']}: {event['why']}"
        at = self.scenario_time(event["at"])
        self.note(at, name, "notification", text, over=event["is_over"])

    def _note_problems(self, t: float, name: str, seen: HostSeen, problems: dict[str, str]) -> None:
        for slot in sorted({*problems, *seen.problems}):
            word = problems.get(slot)
            if word != seen.problems.get(slot):
                text = f"slot {slot}: {word}" if word else f"slot {slot} is believed again"
                self.note(t, name, "problem", text, slot=int(slot), word=word)
        seen.problems = problems


def _seen(record: HostRecord, since: float) -> Seen:
    vm = record.engine.vm
    return Seen(
        score=record.score,
        vm="down" if vm.startswith("down") else vm,
        hostname=record.hostname,
        maintenance=record.local_maintenance,
        stopped=record.stopped,
        since=since,
    )


def _line_of(text: str, key: str) -> str:
    lines = dict(line.split("=", 1) for line in text.split("\n") if "=" in line)
    return lines.get(key, "")
