"""What each field of `Policy` means, for the pages that show or change it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# By section: the unit of each field, and a sentence. A field without one is an error of
# tools/generate-docs, which makes the tables of docs/policy.md from this.
FIELDS: Final[Mapping[str, Mapping[str, tuple[str, str]]]] = {
    "Score": {
        "name": ("", "what messages call the policy"),
        "base_score": ("points", "the highest score; by default the sum of the weights"),
        "gateway_weight": (
            "points",
            "points for a gateway that answers; lost pings cost points in proportion",
        ),
        "bridge_weight": ("points", "points for a management bridge that is up"),
        "memory_weight": (
            "points",
            "points for enough free memory for the VM; the host that runs the VM always has them",
        ),
        "cpu_load_weight": ("points", "points for a low CPU load"),
        "mem_load_weight": ("points", "points for a low memory use"),
        "config_weight": ("points", "points for a configuration that is the one on shared storage"),
        "cpu_load_low": ("of capacity", "up to this CPU load, no points are lost"),
        "cpu_load_high": (
            "of capacity",
            (
                "from this CPU load on, the whole weight is lost; between the two, a part in "
                "proportion"
            ),
        ),
        "mem_load_limit": ("of capacity", "from this memory use on, the whole weight is lost"),
        "failed_start_penalty": (
            "points",
            (
                "cost of each failed start or bad ending, until it is forgotten; the first death "
                "of a good run costs nothing"
            ),
        ),
        "failed_starts_max": (
            "endings",
            "this many failed starts and bad endings block the host: its score is 0 for `block_s`",
        ),
        "score_floor": (
            "points",
            (
                "the lowest score of an eligible host after penalties; at 0, penalties can make a "
                "host ineligible"
            ),
        ),
        "reading_age_max_s": (
            "s",
            "how long the last value of a monitor that does not answer counts",
        ),
    },
    "Liveness": {
        "dead_after_s": (
            "s",
            "a host whose timestamp has not grown for this time, on the reader's clock, is dead",
        ),
    },
    "Starting": {
        "settle_loops": (
            "loops",
            "how long a new agent waits for signs of other hosts before it starts an engine",
        ),
        "stagger_s": (
            "s",
            "the time between the tries of equally good hosts, which go in the order of their ids",
        ),
        "stagger_total_s": ("s", "the longest wait of the last of many equally good hosts"),
        "lease_claim_s": (
            "s",
            (
                "a host claims an expiring lease this long before it acquires the lease; twice "
                "the time in which all others have read its slot"
            ),
        ),
        "lease_settle_s": (
            "s",
            (
                "for this time after a VM has come, what is read of its lease may be out of date; "
                "afterwards, a lease with another owner ends the VM"
            ),
        ),
        "refused_retry_s": ("s", "how long a host waits before it retries a refused start"),
        "start_timeout_s": (
            "s",
            "a started VM that is not healthy after this time is shut down; this is a failed start",
        ),
        "start_timeout_max_s": (
            "s",
            (
                "the longest such limit; each start that took too long doubles the limit of the "
                "next one"
            ),
        ),
    },
    "Bad endings": {
        "block_s": ("s", "duration of the first block; each further bad ending doubles it"),
        "block_max_s": ("s", "maximum duration of a block"),
        "endings_forget_s": (
            "s",
            (
                "a host's bad endings are forgotten after the engine has run well for this time, "
                "on any host"
            ),
        ),
    },
    "Running here": {
        "bad_health_s": (
            "s",
            "a VM whose health page is bad for this time is shut down; this is a failed start",
        ),
        "paused_limit_s": ("s", "a VM that is paused for this time is powered off"),
        "stop_timeout_s": (
            "s",
            "a VM that is still there this long after a shutdown was ordered is powered off",
        ),
        "power_off_retry_s": ("s", "the time after which powering off is ordered again"),
    },
    "Moving": {
        "migration_threshold": (
            "points",
            "the engine moves to a host whose score is better by this much",
        ),
        "migration_hold_s": ("s", "how long another host has to be better"),
        "migration_timeout_s": ("s", "a live migration that takes longer is cancelled"),
        "migration_backoff_s": (
            "s",
            "the wait after the first move or failed migration; each further one doubles it",
        ),
        "migration_backoff_max_s": ("s", "the maximum of this wait"),
        "drain_retry_s": (
            "s",
            "the wait between migrations while local maintenance waits for the host to be empty",
        ),
        "move_by_restart": (
            "",
            "move the engine by a shutdown here and a start there, not by live migration",
        ),
        "live_migration": (
            "",
            (
                "whether the engine can move while it runs; no for the kinds `command` and "
                "`systemd`, "
                "whatever is written, and of use where a VM has no way to move"
            ),
        ),
    },
    "Shutdown of the host": {
        "on_shutdown": (
            "",
            (
                "what becomes of the engine when its host is shut down or rebooted in order: "
                "`migrate` "
                "(it moves first), `stop` (it is shut down, and starts on another host) or "
                "`freeze` "
                "(it is shut down, and starts nowhere until the host is back)"
            ),
        ),
        "shutdown_stop_s": (
            "s",
            "an engine that has not moved is shut down this long before its host goes down",
        ),
        "shutdown_last_s": (
            "s",
            "a VM that is still there is powered off this long before its host goes down",
        ),
    },
    "Slot 0": {
        "slot_0_writers": (
            "hosts",
            (
                "hosts that know the value of a damaged slot 0 write it again, one loop apart; "
                "from this many on, all the rest together"
            ),
        ),
        "empty_global_is_none": (
            "",
            "an empty slot 0 means that there is no global maintenance, and raises no alarm",
        ),
    },
    "Alarms": {
        "alarm_repeat_s": (
            "s",
            "the pause before an alarm is notified again; it doubles each time",
        ),
        "alarm_repeat_max_s": ("s", "the maximum of this pause"),
    },
    "The environment": {
        "loop_s": (
            "s",
            "the time from one pass of an agent to the next; in a scenario, `world.loop`",
        ),
        "io_timeout_s": ("s", "sanlock's io_timeout; in a scenario, `world.io_timeout`"),
        "watchdog_s": ("s", "how long a watchdog may take to reset a host"),
        "watchdog_unsaid_s": (
            "s",
            (
                "the watchdog's time of a host whose record tells none: sanlock's own, the only "
                "one "
                "before its release 3.9"
            ),
        ),
        "sigterm_watchdog_s": (
            "s",
            "with a watchdog of less time, sanlock sends no SIGTERM and runs no killpath",
        ),
        "kill_grace_s": (
            "s",
            (
                "sanlock's `-g`: the time from SIGTERM to SIGKILL for a VM whose lease can't be "
                "renewed"
            ),
        ),
    },
}
