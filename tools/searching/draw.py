"""
Drawing scenarios at random: any faults, at times that matter, in all sorts of surroundings.

A scenario is drawn as the plain object that a scenario file holds, so that it can be printed and
made smaller. Much is drawn on purpose that seldom comes by chance: several things at one moment,
times just under, at and over the machine's own, looks that coincide, slow storage with short loops.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, Callable

import yaml

from he_fsm.errors import ScenarioError
from he_fsm.scenario.language.reading import parse_scenarios
from he_fsm.scenario.model import Scenario

Spec = dict[str, Any]

# A run that steps through quiet hours makes about this many looks at most.
_LOOKS = 1200
_DAMAGE = (
    *("corrupt", "zero", "bad-crc", "bad-text", "too-new", "too-old", "wrong-id", "stale", "torn"),
    *("torn", "torn", "torn 40", "torn 511", "torn 4000", "score 1000", "score 99999"),
    *("snapshot", "snapshot", "replay", "replay", "text abc"),
)
_OF_SLOT_0 = ("corrupt", "zero", "torn", "torn 3", "text maintenanbe=1", "text maintenance=q")
_WORDS: dict[str, tuple[Any, ...]] = {
    "power": ("off", "on", "on", "reset", "freeze", "thaw"),
    "agent": ("kill", "stop", "start", "start", "freeze", "thaw"),
    "broker": ("kill", "start", "freeze", "thaw"),
    "sanlock": ("kill", "start", "freeze", "thaw"),
    "storage": ("cut", "hang", "slow 15s", "slow 3s", "slow 70s", "restore", "restore"),
    "hypervisor": ("lost", "back"),
    "starts": ("ok", "fail", "fail 2"),
    "boots": ("ok", "never", "die 20"),
    "migrations": ("ok", "fail", "fail 1", "hang"),
    "failed_starts": (0, 1, 2, 3),
    "version": (0, 1, 2),
    "maintenance": ("on", "off"),
    "clock": ("+1h", "-1h", "rate 1.01", "rate 0.99", "rate 1", "rate 1.0001"),
    "slot": _DAMAGE,
}
_ENGINE = ("kill", "panic", "shutdown", "hang", "heal", "pause", "resume")
# Faults of one kind come together more often than chance would have it.
_THEMES: dict[str, tuple[str, ...]] = {
    "anything": (*_WORDS, "set", "engine", "engine", "global", "slot 0"),
    "slots": ("slot", "slot", "slot", "slot", "slot 0", "power", "agent", "engine"),
    "freezes": ("agent", "agent", "power", "sanlock", "broker", "engine"),
    "moments": ("maintenance", "maintenance", "global", "agent", "power", "engine", "set"),
    "clocks": ("clock", "clock", "power", "agent", "engine", "slot"),
    "storage": ("storage", "storage", "broker", "sanlock", "engine", "power"),
    "moves": ("set", "maintenance", "migrations", "engine", "engine", "failed_starts", "starts"),
    "versions": ("version", "agent", "power", "engine", "slot"),
}
_CONDITIONS = (
    {"engine": "down"},
    {"engine": "good"},
    {"engine": "starting"},
    {"engine_on": None},
    {"lease": None},
    {"total": {"starts": 1}},
)


class _Drawing:
    """One scenario as it is drawn."""

    def __init__(self, draws: random.Random) -> None:
        self._draws = draws
        self.hosts = draws.choice((1, 2, 2, 3, 3, 3, 4, 5, 6, 7))
        self.loop_s = draws.choice((10, 10, 10, 5, 5, 2, 1, 1, 0.5))
        self.io_timeout_s = draws.choice((10, 10, 10, 5, 2, 1))
        self.until = round(_LOOKS / self.hosts * self.loop_s * draws.uniform(0.2, 1.0))
        self.until = max(60, min(self.until, 5400))
        self._moments: list[float] = []

    def any_of(self, values: Sequence[Any]) -> Any:
        return self._draws.choice(values)

    def is_so(self, share: float) -> bool:
        return self._draws.random() < share

    def world(self) -> Spec:
        loop_s = self.loop_s
        world: Spec = {
            "loop": loop_s,
            "io_timeout": self.io_timeout_s,
            "cold": self.is_so(0.5),
            "jitter": self.any_of((0, 0, loop_s / 10, loop_s / 10, loop_s / 3, loop_s)),
            "storage_latency": self.any_of((0, 0.01, 0.01, 0.01, 0.3, 1, 2.5, 4)),
            "reboot": self.any_of((120, 120, 30, 200, 5)),
        }
        if self.is_so(0.4):
            world["vm_start"] = self.any_of((0, 5, 1))
            world["vm_boot"] = self.any_of((0, 5, 55, 100))
            world["vm_shutdown"] = self.any_of((0, 20, 400))
            world["migration"] = self.any_of((0, 15, 40, 400))
        return world

    def policy(self) -> Any:
        if self.is_so(0.6):
            return self.any_of(("talk", "talk", "talk", "ovirt"))
        loop_s = self.loop_s
        numbers: dict[str, tuple[Any, ...]] = {
            "dead_after_s": (2.1 * loop_s, 2.5 * loop_s, 3 * loop_s, 4 * loop_s, 30, 90, 200),
            "stagger_total_s": (0, 5, 20),
            "stagger_s": (0, 0.5, 2),
            "settle_loops": (0, 1, 2, 5),
            "lease_claim_s": (0, 2, 10, 30),
            "refused_retry_s": (0.5, 10, 60),
            "start_timeout_s": (30, 100, 600),
            "bad_health_s": (5, 60, 300),
            "paused_limit_s": (1, 10, 60),
            "stop_timeout_s": (10, 60, 300),
            "power_off_retry_s": (1, 30),
            "migration_threshold": (1, 400, 800),
            "migration_hold_s": (0, 5, 30),
            "migration_timeout_s": (5, 60, 300),
            "migration_backoff_s": (1, 60),
            "failed_starts_max": (1, 3),
            "failed_starts_forget_s": (20, 100, 600),
            "watchdog_s": (45, 60, 120),
            "move_by_restart": (True, False),
        }
        count = self._draws.randint(1, 5)
        chosen = self._draws.sample(sorted(numbers), count)
        base = self.any_of(("talk", "ovirt"))
        return {"base": base, **{name: self.any_of(numbers[name]) for name in chosen}}

    def moment(self) -> float:
        """Return a time: often one at which something else happens, or one of the machine's own."""
        at: float
        if self._moments and self.is_so(0.35):
            at = self.any_of(self._moments)
            if self.is_so(0.4):
                own = (0.01, 1, 10, 59.9, 60, 60.1, self.loop_s, 2 * self.loop_s, 130, 140, 300)
                at += self.any_of(own)
        elif self.is_so(0.5):
            at = self.any_of((0, self.loop_s, 60, 119.9, 120, 120.1, 200, 360, 480, 660, 661))
        else:
            at = self._draws.uniform(0, self.until)
            at = round(at) if self.is_so(0.4) else round(at, 1)
        at = round(min(float(at), float(self.until)), 3)
        self._moments.append(at)
        return at

    def some_hosts(self) -> Any:
        if self.is_so(0.25):
            return "all"
        if self.is_so(0.7):
            return self._draws.randint(1, self.hosts)
        return sorted(
            self._draws.sample(range(1, self.hosts + 1), self._draws.randint(1, self.hosts))
        )

    def entry(self, theme: Sequence[str]) -> Spec:
        at, kind = self.moment(), self.any_of(theme)
        entry: Spec = {"at": at}
        if self.is_so(0.05):
            entry = {"since": self.any_of(_CONDITIONS), "at": self.any_of((0, 0, 1, 10))}
        if kind == "global":
            return {**entry, "maintenance": self.any_of(("global", "none", "none"))}
        if kind == "engine":
            words = [*_ENGINE, "kill", *(f"migrate {host}" for host in range(1, self.hosts + 1))]
            return {**entry, "engine": self.any_of(words)}
        if kind == "slot 0":
            entry = {**entry, "host": 0, "slot": self.any_of(_OF_SLOT_0)}
        elif kind == "set":
            name = self.any_of(("gateway", "bridge", "cpu_load", "mem_free"))
            values = (0, 9000) if name == "mem_free" else (0, 0.5, 1)
            entry = {**entry, "hosts": self.some_hosts(), "set": {name: self.any_of(values)}}
        else:
            entry = {**entry, "hosts": self.some_hosts(), kind: self.any_of(_WORDS[kind])}
        if entry.get("slot", "snapshot") != "snapshot" and self.is_so(0.4):
            entry["for"] = self.any_of((0.5, 5, 10, 59.9, 60.1, 300))
        return entry

    def timeline(self) -> list[Spec]:
        theme = _THEMES[self.any_of(sorted(_THEMES))]
        count = self.any_of((1, 1, 2, 2, 3, 4, 6, 9, 12))
        entries: list[Spec] = []
        while len(entries) < count:
            entry = self.entry(theme)
            entries.append(entry)
            undone = _UNDONE.get((_verb(entry), _value(entry)))
            if undone is not None and self.is_so(0.7):
                later = {**entry, _verb(entry): undone}
                later.pop("since", None)
                later["at"] = self.moment()
                entries.append(later)
        return sorted(entries, key=lambda entry: float(entry["at"]))

    def cluster(self) -> Any:
        if self.is_so(0.6):
            return self.hosts
        listed = []
        for host_id in range(1, self.hosts + 1):
            host: Spec = {"id": host_id}
            if self.is_so(0.3):
                host["cpu_load"] = 0.9
            if self.is_so(0.15):
                host["gateway"] = self.any_of((0, 0.5))
            if self.is_so(0.1):
                host["agent"] = "stopped"
            if self.is_so(0.1):
                host["maintenance"] = True
            listed.append(host)
        return listed

    def expectations(self) -> list[Spec]:
        """Ask to see what hosts believe: what comes of it is compared, not judged."""
        viewer, of = self._draws.randint(1, self.hosts), self._draws.randint(1, self.hosts)
        at = self.moment()
        asked: list[Spec] = [
            {"alive": {viewer: [of]}},
            {"problem": {viewer: {of: None}}},
            {"sees": {viewer: {of: {"score": 2400}}}},
            {"sees": {viewer: {of: {"vm": "up"}}}},
            {"record": {of: {"score": 2400}}},
            {"state": {viewer: "EngineDown"}},
        ]
        count = self._draws.randint(1, 3)
        return [{"from": at, **conditions} for conditions in self._draws.sample(asked, count)]


_UNDONE: dict[tuple[str, Any], str] = {
    ("power", "off"): "on",
    ("power", "freeze"): "thaw",
    ("agent", "kill"): "start",
    ("agent", "stop"): "start",
    ("agent", "freeze"): "thaw",
    ("broker", "kill"): "start",
    ("broker", "freeze"): "thaw",
    ("sanlock", "kill"): "start",
    ("sanlock", "freeze"): "thaw",
    ("storage", "cut"): "restore",
    ("storage", "hang"): "restore",
    ("storage", "slow 15s"): "restore",
    ("hypervisor", "lost"): "back",
    ("maintenance", "on"): "off",
    ("maintenance", "global"): "none",
    ("engine", "pause"): "resume",
    ("slot", "snapshot"): "replay",
}


def _verb(entry: Spec) -> str:
    return next(key for key in entry if key not in ("at", "since", "host", "hosts", "for"))


def _value(entry: Spec) -> Any:
    value = entry[_verb(entry)]
    return value if isinstance(value, (str, int)) else None


def any_scenario(draws: random.Random) -> Spec:
    """Draw a scenario of one to seven hosts that can be read."""
    return readable(draws, _any)


def readable(draws: random.Random, drawn: Callable[[random.Random], Spec]) -> Spec:
    """Draw until the reader takes it: what contradicts itself is refused."""
    while True:
        spec = drawn(draws)
        try:
            read(spec)
        except ScenarioError:
            continue
        return spec


def read(spec: Spec) -> Scenario:
    """
    Read a scenario that was drawn.

    Raises:
        ScenarioError: it can't be used.
    """
    return parse_scenarios(text_of(spec), "drawn")[0]


def text_of(spec: Spec) -> str:
    """Return the scenario as the text of a file."""
    return str(yaml.safe_dump({"scenarios": [spec]}, sort_keys=False, width=120))


def _any(draws: random.Random) -> Spec:
    drawing = _Drawing(draws)
    running_on = drawing.any_of([None, *range(1, drawing.hosts + 1), 1])
    spec: Spec = {
        "name": "drawn",
        "policy": drawing.policy(),
        "world": drawing.world(),
        "hosts": drawing.cluster(),
        "engine": {"running_on": running_on},
        "seed": draws.randrange(10_000),
        "timeline": drawing.timeline(),
        "until": drawing.until,
    }
    if drawing.is_so(0.1):
        spec["maintenance"] = "global"
    if drawing.is_so(0.3):
        spec["expect"] = drawing.expectations()
    return spec
