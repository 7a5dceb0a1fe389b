"""The agent's process: it picks the adapters, and runs the loop."""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Optional

from he_fsm import tick
from he_fsm.errors import HeFsmError
from he_fsm.history.look import keep_nothing
from he_fsm.metadata.layout import RELEASE
from he_fsm.metadata.policy_print import policy_print
from he_fsm.runtime import parts
from he_fsm.runtime.agent.loop import Broker, Loop
from he_fsm.runtime.agent.memory_file import MemoryFile
from he_fsm.runtime.agent.peer_names import LOOK_S, PeerNames
from he_fsm.runtime.broker.client import BrokerClient
from he_fsm.runtime.config import Config
from he_fsm.runtime.history.keeper import make_keeper, session_of
from he_fsm.runtime.kinds import Guard
from he_fsm.runtime.logind.shutdown import system_shutdown
from he_fsm.runtime.service.daemon import (
    EXIT_BUSY,
    EXIT_OK,
    EXIT_SUPERSEDED,
    Signals,
    ended,
    reloaded,
)
from he_fsm.runtime.service.lock import Claim
from he_fsm.runtime.service.log import set_up_logging
from he_fsm.runtime.service.sd_notify import SystemdNotifier
from he_fsm.runtime.service.supervised import SupervisedThread

_log = logging.getLogger("he_fsm.agent")
# How long one long poll for a change waits at the broker, and after a failed one.
_POLL_S = 30.0
_POLL_AGAIN_S = 0.25
# How often it is seen to that the guard of the lease goes on.
_GUARD_S = 2.0
# How much longer than its storage's deadline, and the wait for its turn, the broker may take.
_SLACK_S = 1.0


def run(path: Path, config: Config, *, once: bool = False) -> int:
    """
    Look after the engine until a signal ends it; return the exit status.

    Args:
        path: the file of *config*, which is read again at a reload.
        config: what it says now.
        once: look once, do what follows, and print what was decided as JSON.
    """
    set_up_logging(config.log.level)
    for finding in parts.findings(config):
        _log.log(logging.ERROR if finding.is_fatal else logging.WARNING, "%s", finding)
    try:
        claim = Claim.take(config.run_dir / "agent.lock", "agent")
    except HeFsmError as error:
        _log.error("%s", error)
        return EXIT_BUSY
    try:
        return ended(_log, "agent", lambda: _Agent(path, config).run(once=once))
    finally:
        claim.release()


class _Agent:
    """The process: the loop, what wakes it, and what the administrator asks of it."""

    def __init__(self, path: Path, config: Config) -> None:
        self._path = path
        self._config = config
        self._woken = threading.Event()
        self._systemd = SystemdNotifier()
        # What renews a broker within this process; None: the broker is another one.
        self._renew_broker: Optional[Callable[[Config], None]] = None
        self._keeper = make_keeper(config, identity_of(config))
        # What ends a VM whose lease nobody looks after.
        self._guard: Optional[Guard] = None
        self._shutdown = system_shutdown(self._woken.set)

    def run(self, *, once: bool) -> int:
        signals = Signals(self._woken.set)
        with self._broker() as broker:
            loop = self._loop(broker)
            if self._keeper is not None:
                self._keeper.start()
            self._guard = parts.make_guard(self._config)
            try:
                if once:
                    return self._look_once(loop)
                return self._run(loop, broker, signals)
            finally:
                self._shutdown.close()
                if self._guard is not None:
                    self._guard.close()
                loop.hypervisor.close()
                if self._keeper is not None:
                    self._keeper.close()

    @contextlib.contextmanager
    def _broker(self) -> Iterator[Broker]:
        config = self._config
        if config.broker == "embedded":
            # A process without a broker of its own does without its libraries.
            from he_fsm.runtime import broker_parts  # noqa: PLC0415

            service = broker_parts.make_service(config)
            self._renew_broker = functools.partial(broker_parts.renew_service, service)
            try:
                yield service
            finally:
                service.close()
        else:
            yield BrokerClient(str(config.broker_socket), 2 * config.storage.deadline_s + _SLACK_S)

    def _loop(self, broker: Broker) -> Loop:
        config = self._config
        return Loop(
            identity=identity_of(config),
            policy=config.policy,
            broker=broker,
            hypervisor=parts.make_hypervisor(config),
            memory_file=MemoryFile(config.state_dir / "memory.json"),
            keep=keep_nothing if self._keeper is None else self._keeper.take,
            shutdown=self._shutdown,
        )

    def _look_once(self, loop: Loop) -> int:
        """Do one pass with all that follows from it, say what was decided, and stop."""
        loop.look()
        decision = loop.decision
        if decision is not None:
            found = {
                "state": decision.memory.state.value,
                "why": decision.reason,
                "score": loop.score,
                "alive": sorted(decision.liveness.alive),
                "placement": decision.placement.reason,
                "effects": [type(effect).__name__ for effect in decision.effects],
            }
            sys.stdout.write(json.dumps(found, indent=2) + "\n")
        return self._stop(loop)

    def _run(self, loop: Loop, broker: Broker, signals: Signals) -> int:
        loop.hypervisor.watch(self._woken.set)
        self._shutdown.start()
        SupervisedThread("poller", lambda: self._poll(broker)).start()
        SupervisedThread("names", lambda: self._look_at_names(loop)).start()
        _log.info("host %d looks every %g s", self._config.host.id, loop.policy.loop_s)
        is_ready = False
        while not signals.wants_end:
            self._woken.clear()
            if signals.take_reload():
                self._reload(loop)
            wake_at = loop.look()
            if loop.stop_reason is not None:
                break
            state = loop.memory.state.value
            self._systemd.status(f"{state}, score {loop.score}")
            if not is_ready:
                self._systemd.ready()
                is_ready = True
            self._wait(wake_at, signals)
        self._systemd.stopping()
        return self._stop(loop)

    def _stop(self, loop: Loop) -> int:
        loop.stop()
        if loop.stop_reason is not None:
            _log.warning("stopped: %s", loop.stop_reason)
            return EXIT_SUPERSEDED
        _log.info("stopped")
        return EXIT_OK

    def _wait(self, wake_at: float, signals: Signals) -> None:
        """Wait for the time or for something to happen; tell the watchdog, and see to the guard."""
        while not signals.wants_end:
            self._systemd.watchdog()
            if self._guard is not None:
                self._guard.check()
            left_s = wake_at - time.monotonic()
            if left_s <= 0:
                return
            step_s = min(left_s, _GUARD_S)
            if self._systemd.watchdog_interval_s is not None:
                step_s = min(step_s, self._systemd.watchdog_interval_s / 2)
            if self._woken.wait(step_s):
                return

    def _poll(self, broker: Broker) -> None:
        """
        Wake the loop when the broker says that something changed.

        It goes on to the very end: by it a broker that is stopped at the same time sees that
        there is an agent with last words to say.
        """
        seen = 0
        while True:
            try:
                count = broker.wake(seen, _POLL_S)
            except HeFsmError:
                # The loop says so, with its own questions.
                time.sleep(_POLL_AGAIN_S)
                continue
            if count != seen:
                seen = count
                self._woken.set()

    def _look_at_names(self, loop: Loop) -> None:
        """Look now and then whether the other hosts can be found; resolving takes its time."""
        names = PeerNames(lambda host_id: parts.peer_name(self._config, host_id))
        while True:
            decision = loop.decision
            if decision is not None:
                names.look(decision.liveness.alive - {self._config.host.id})
            time.sleep(LOOK_S)

    def _reload(self, loop: Loop) -> None:
        """Read the configuration again; one that can't be used changes nothing."""
        self._systemd.reloading()
        try:
            config = reloaded(self._path, self._config)
            if self._renew_broker is not None:
                self._renew_broker(config)
        except HeFsmError as error:
            _log.error("not reloaded: %s", error)
        else:
            self._config = config
            loop.reload(identity_of(config), config.policy)
            if self._keeper is not None:
                self._keeper.renew(session_of(identity_of(config), config.policy))
            set_up_logging(config.log.level)
            _log.info("reloaded %s", self._path)
        self._systemd.ready()


def identity_of(config: Config) -> tick.Identity:
    """Return what an agent says of itself, by its configuration."""
    return tick.Identity(
        host_id=config.host.id,
        hostname=config.host.hostname,
        memory_needed_mib=config.engine.memory,
        version=config.parse_version,
        policy_print=policy_print(config.policy),
        release=RELEASE,
        preference=config.host.preference,
    )
