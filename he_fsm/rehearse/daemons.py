"""What the verbs `agent`, `broker` and `sanlock` do to a lab host's real daemons."""

from __future__ import annotations

from he_fsm.lab.host import LabHost
from he_fsm.rehearse.stage import AGENT, BROKER, Stage, start_again


def agent(stage: Stage, host: LabHost, word: str) -> None:
    """Kill, start, stop, freeze or continue the agent, or let it crash."""
    process = host.agent_process
    if word == "crash":
        _crash(stage, host, AGENT)
        return
    if word in ("kill", "stop", "start"):
        host.restarts_at.pop(AGENT, None)
    if word == "start":
        if host.is_powered and (process is None or process.poll() is not None):
            host.start_agent()
    elif process is None:
        return
    elif word == "kill":
        host.kill_agent()
    elif word == "stop":
        host.stop_agent()
    elif word == "freeze":
        host.freeze(AGENT)
    else:
        host.thaw(AGENT)


def broker(stage: Stage, host: LabHost, word: str) -> None:
    """Kill, start, freeze or continue the broker, or let it crash."""
    if not host.is_powered or host.is_frozen:
        return
    if word == "crash":
        _crash(stage, host, BROKER)
        return
    if word in ("kill", "start"):
        host.restarts_at.pop(BROKER, None)
    if word == "kill":
        host.kill_broker()
    elif word == "start" and host.broker_process is None:
        host.start_broker()
    elif word == "freeze":
        host.freeze(BROKER)
    elif word == "thaw":
        host.thaw(BROKER)


def _crash(stage: Stage, host: LabHost, name: str) -> None:
    """Kill a daemon; it is started again after the restart time of its unit."""
    process = host.daemon_process(name)
    if host.is_frozen or process is None or process.poll() is not None:
        return
    times = stage.scenario.world
    if name == AGENT:
        host.kill_agent()
        starts_at = stage.now() + times.agent_restart_s
    else:
        host.kill_broker()
        starts_at = stage.now() + times.broker_restart_s
    host.restarts_at[name] = starts_at
    stage.at(starts_at, lambda: start_again(host, starts_at))


def sanlock(stage: Stage, host: LabHost, word: str) -> None:
    """Kill, start, stop or continue sanlock; the host's watchdog takes note."""
    if not host.is_powered or host.is_frozen:
        return
    if host.daemon_process("sanlock") is None:
        if word == "start":
            host.start_sanlock()
    elif word == "kill":
        host.kill_sanlock()
        # A watchdog goes on counting for a daemon that has gone without a word.
        stage.reset_in_time(host, lambda: True)
    elif word == "freeze":
        host.freeze("sanlock")
        thaws = host.thaws
        stage.reset_in_time(host, lambda: host.thaws == thaws)
    elif word == "thaw":
        host.thaw("sanlock")
