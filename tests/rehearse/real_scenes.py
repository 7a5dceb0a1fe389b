"""Scenarios that every back end with real sanlock daemons and real VMs passes."""

from __future__ import annotations

SCENES = {
    "vm-killed": """
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 10s, engine: kill}
        until: 60s
        expect:
          - {after: 10s, by: 30s, engine_on: 1, engine: starting}
          - {after: 11s, by: 45s, engine_on: 1, engine: good}
          - {total: {starts: 1, refused_starts: 0, migrations: 0, downtime: "<= 30s"}}
        """,
    "gateway-lost": """
        world: {io_timeout: 2s, vm_boot: 5s, migration: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 10s, host: 1, set: {gateway: 0}}
        until: 110s
        expect:
          - {by: 105s, engine_on: 2, engine: good, state: {1: EngineDown, 2: EngineUp}}
          - {at: 108s, score: {1: 1400, 2: 2400}}
          - {total: {starts: 0, migrations: 1, failed_migrations: 0, downtime: "<= 15s"}}
        """,
    "host-power-off": """
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        # Which of two equal ones is first is a matter of tenths of a second here.
        hosts: [{id: 1}, {id: 2}, {id: 3, cpu_load: 0.9, mem_load: 0.9}]
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, power: off}
        until: 130s
        expect:
          - {from: 10s, to: 70s, engine: down, lease: 1}
          - {after: 72s, by: 105s, engine_on: 2, engine: starting}
          - {after: 72s, by: 120s, engine: good}
          - {total: {starts: 1, failed_starts: 0}}
        """,
    "agent-killed": """
        world: {io_timeout: 2s, vm_boot: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, agent: kill}
          - {at: 90s, host: 1, agent: start}
        until: 130s
        expect:
          - {engine_on: 1, engine: good, running: 1, from: 0s}
          - {by: 88s, problem: {2: {1: silent}}}
          - {by: 125s, state: {1: EngineUp}}
          - {total: {starts: 0, refused_starts: 0, migrations: 0}}
        """,
    "storage-hang": """
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, storage: hang}
        until: 130s
        expect:
          # sanlock asks it to end 16 s after its last renewal, and makes it 40 s later.
          - {from: 68s, to: 70s, running: 0, lease: 1}
          - {after: 72s, by: 105s, engine_on: 2, engine: starting}
          - {after: 72s, by: 120s, engine_on: 2, engine: good, state: {1: Unknown}}
          - {total: {starts: 1, refused_starts: 0}}
        """,
}
VM_SCENES = {
    # The death of the VM counts towards the block as well.
    "starts-fail": """
        policy: {base: talk, failed_starts_max: 4}
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        hosts: [{id: 1}, {id: 2, cpu_load: 0.9, mem_load: 0.9}]
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, starts: fail 2}
          - {at: 5s, engine: kill}
        until: 90s
        expect:
          - {after: 6s, by: 75s, engine_on: 1, engine: good}
          - {total: {failed_starts: 2, starts: 3, refused_starts: 0}}
        """,
    "vm-dies": """
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        hosts: [{id: 1}, {id: 2, cpu_load: 0.9, mem_load: 0.9}]
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, boots: die 20s}
          - {at: 5s, engine: kill}
          - {at: 20s, host: 1, boots: ok}
        until: 100s
        expect:
          - {after: 6s, by: 26s, engine_on: 1, engine: good}
          - {after: 26s, by: 50s, engine: starting}
          - {at: 90s, engine_on: 1, engine: good}
          - {total: {starts: 2}}
        """,
    "never-healthy": """
        policy: {base: talk, start_timeout_s: 30s}
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s, vm_shutdown: 5s}
        hosts: [{id: 1}, {id: 2, cpu_load: 0.9, mem_load: 0.9}]
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, boots: never}
          - {at: 5s, engine: kill}
        until: 60s
        expect:
          - {after: 6s, by: 20s, engine_on: 1, engine: starting}
          - {from: 20s, to: 30s, engine_on: 1, engine: starting, running: 1}
          - {after: 30s, by: 55s, total: {failed_starts: 1}}
          - {total: {failed_starts: 1}}
        """,
    "moved-by-somebody-outside": """
        world: {io_timeout: 2s, vm_boot: 5s, migration: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline: [{at: 10s, engine: migrate 2}]
        until: 60s
        expect:
          - {from: 0s, never: true, running: 2}
          - {after: 10s, by: 40s, engine_on: 2, engine: good, lease: 2, running: 1}
          - {by: 55s, state: {1: EngineDown, 2: EngineUp}}
          - {total: {starts: 0, migrations: 1, failed_migrations: 0, downtime: "<= 15s"}}
        """,
    "migration-fails": """
        world: {io_timeout: 2s, vm_boot: 5s, migration: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline:
          - {at: 5s, host: 1, migrations: fail 1}
          - {at: 10s, host: 1, set: {gateway: 0}}
        # A minute later it would be tried again.
        until: 95s
        expect:
          - {from: 0s, engine_on: 1}
          - {by: 80s, total: {failed_migrations: 1}}
          - {at: 90s, engine: good, lease: 1, running: 1}
          - {total: {starts: 0, migrations: 0, failed_migrations: 1}}
        """,
}
SANLOCK_SCENES = {
    "it ends": """
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        hosts: [{id: 1, watchdog: false}, {id: 2, watchdog: false}]
        engine: {running_on: 1}
        timeline: [{at: 5s, host: 1, sanlock: kill}]
        until: 130s
        expect:
          - {from: 20s, to: 70s, running: 0, lease: 1}
          - {after: 72s, by: 105s, engine_on: 2, engine: starting}
          - {after: 72s, by: 120s, engine_on: 2, engine: good}
          - {total: {starts: 1, resets: 0}}
        """,
    "it comes back": """
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        hosts: [{id: 1, watchdog: false}, {id: 2, watchdog: false}]
        engine: {running_on: 1}
        timeline: [{at: 5s, host: 1, sanlock: kill}, {at: 5s, host: 1, sanlock: start}]
        until: 80s
        expect:
          - {after: 6s, by: 20s, running: 0}
          - {after: 6s, by: 75s, engine: good, running: 1}
          - {total: {starts: 1, failed_starts: 0, resets: 0}}
        """,
    "it stands still": """
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        hosts: [{id: 1, watchdog: false}, {id: 2, watchdog: false}]
        engine: {running_on: 1}
        timeline: [{at: 5s, host: 1, sanlock: freeze}]
        until: 130s
        expect:
          # The agent gives it up 8 x io_timeout + 50 s after the last renewal.
          - {from: 10s, to: 60s, running: 1}
          - {from: 73s, to: 73s, running: 0, lease: 1}
          - {after: 73s, by: 105s, engine_on: 2, engine: starting}
          - {after: 73s, by: 120s, engine_on: 2, engine: good}
          - {total: {starts: 1, resets: 0}}
        """,
    "a watchdog does what no agent can": """
        world: {io_timeout: 2s, vm_start: 2s, vm_boot: 5s}
        hosts: 2
        engine: {running_on: 1}
        timeline: [{at: 5s, host: 1, agent: kill}, {at: 6s, host: 1, sanlock: kill}]
        until: 130s
        expect:
          - {from: 6s, to: 62s, running: 1, engine_on: 1}
          - {from: 73s, to: 73s, running: 0, lease: 1}
          - {after: 73s, by: 105s, engine_on: 2, engine: starting}
          - {total: {starts: 1, resets: 1}}
        """,
}
# Its kernel's farewell does not reach the target: its packets are dropped.
SOURCE_SILENT = """
    world: {io_timeout: 2s, vm_boot: 5s, migration: 30s, arrival_timeout: 1y}
    hosts: 2
    engine: {running_on: 1}
    timeline:
      - {at: 20s, engine: migrate 2}
      - {at: 30s, host: 1, power: off}
    until: 6m
    expect:
      - {from: 60s, to: 90s, running: 0}
      - {by: 3m, engine_on: 2, engine: good}
      - {total: {starts: 1}}
"""
