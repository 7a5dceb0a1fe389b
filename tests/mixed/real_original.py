"""
oVirt's agent itself beside ours: its own state machine, its own parser of the whiteboard.

It is on no package index: `make interop VDSM=DIR HA=DIR` alone has it. Everything else uses the
model in `original.py`, which takes the same steps.
"""

from __future__ import annotations

import functools
import importlib
import json
import logging
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Final, Optional, Union

from he_fsm.metadata import EngineStatus, HostRecord
from tests.mixed.original import SLOT_BYTES, Original, Seen

# The checkout that tools/interop was given; empty: it does not run.
HA: Final = os.environ.get("HE_FSM_INTEROP_HA", "")
_PACKAGE: Final = "ovirt_hosted_engine_ha"
# What the state machine does not need, and what may not be there.
_ABSENT: Final = ("selinux", "vdsm.config", "vdsm.client", "yajsonrpc.stomp", "vdsm.virt.vmstatus")
_MADE: Final = ("agent.constants", "env.constants")
_SCORE: Final = {
    "base-score": "BASE_SCORE",
    "network-score-penalty": "NETWORK_SCORE_PENALTY",
    "mgmt-bridge-score-penalty": "MGMT_BRIDGE_SCORE_PENALTY",
    "free-memory-score-penalty": "FREE_MEMORY_SCORE_PENALTY",
    "cpu-load-score-penalty": "CPU_LOAD_SCORE_PENALTY",
    "engine-retry-score-penalty": "ENGINE_RETRY_SCORE_PENALTY",
    "cpu-load-penalty-min": "CPU_LOAD_PENALTY_MIN",
    "cpu-load-penalty-max": "CPU_LOAD_PENALTY_MAX",
    "not-uptodate-config-penalty": "NOT_UPTODATE_CONFIG_PENALITY",
}


def make(host_id: int, act: Callable[[str], bool]) -> Union[Original, RealOriginal]:
    """Return oVirt's agent for one host: itself where it is there, else the model."""
    return RealOriginal(host_id, act) if HA else Original(host_id, act)


class RealOriginal:
    """The same as `Original`, by oVirt's own code; what it asks of the host is the test's."""

    def __init__(self, host_id: int, act: Callable[[str], bool]) -> None:
        self.host_id = host_id
        self._seen: Optional[Seen] = None
        constants = _module("agent.constants")
        host = SimpleNamespace(
            host_id=host_id,
            min_memory_threshold=4096,
            score_config={key: getattr(constants, name) for key, name in _SCORE.items()},
            collect_stats=self._collect,
        )
        actions = {
            "START_VM": lambda: act("start"),
            "STOP_VM": lambda force=False: act("poweroff" if force else "shutdown"),
        }
        log = logging.getLogger(f"original.{host_id}")
        self._fsm: Any = _module("agent.state_machine").EngineStateMachine(host, log, actions)

    @property
    def state(self) -> str:
        """The state's name."""
        return type(self._fsm.state).__name__

    def look(self, seen: Seen) -> None:
        """Do one loop: steps at the same second until one waits."""
        self._seen = seen
        _module("lib.monotonic").time = lambda: seen.now
        while not next(self._fsm)[2]:
            pass

    def record(self, seen: Seen, *, is_stopped: bool = False) -> HostRecord:
        """Return what it publishes after a loop, or as its last words."""
        state = self._fsm.state
        if is_stopped:
            state = _module("agent.states").AgentStopped(state.data)
        said = state.metadata()
        return HostRecord(
            host_id=self.host_id,
            timestamp=seen.now,
            score=state.score(self._fsm.logger),
            engine=seen.engine,
            hostname=f"host{self.host_id}",
            local_maintenance=said["maintenance"],
            stopped=said["stopped"],
            text=f"state={said['state']}",
        )

    def _collect(self) -> dict[str, Any]:
        seen = self._seen
        assert seen is not None
        return {
            "metadata_too_new": False,
            "cluster": _global_of(seen.board),
            "host_id": self.host_id,
            "hosts": _hosts_of(seen.board, self.host_id),
            "local": {
                "engine-health": _plain(seen.engine),
                "network": seen.network,
                "bridge": True,
                "mem-free": 16000.0,
                "cpu-load": 0.1,
                "storage-domain": True,
                "maintenance": seen.is_local,
            },
            "maintenance": False,
        }


def _global_of(board: bytes) -> dict[str, Any]:
    if not board[0]:
        return {}
    metadata, log = _module("lib.metadata"), logging.getLogger("original")
    found: dict[str, Any] = metadata.parse_global_metadata_to_dict(log, board[:SLOT_BYTES].decode())
    return found


def _hosts_of(board: bytes, host_id: int) -> dict[int, dict[str, Any]]:
    """Return the other hosts' records as the original's own parser has them."""
    metadata, found = _module("lib.metadata"), {}
    for other in range(1, len(board) // SLOT_BYTES):
        block = board[other * SLOT_BYTES : (other + 1) * SLOT_BYTES]
        if block[0] and other != host_id:
            record = metadata.parse_metadata_to_dict(other, block.decode())
            found[other] = {**record, "engine-status": json.loads(record["engine-status"])}
    return found


def _plain(engine: EngineStatus) -> dict[str, str]:
    plain = {"vm": engine.vm, "health": engine.health, "detail": engine.detail}
    return plain if engine.reason is None else {**plain, "reason": engine.reason}


def _module(name: str) -> Any:
    """Return a module of oVirt's agent."""
    _prepare()
    return importlib.import_module(f"{_PACKAGE}.{name}")


@functools.cache
def _prepare() -> None:
    """Put in place what the agent's modules import, and this machine does not have."""
    sys.path.append(HA)
    # A build would fill in folders, of which none is used here.
    for name in _MADE:
        source = Path(HA).joinpath(_PACKAGE, *name.split(".")).with_suffix(".py.in").read_text()
        exec(source, vars(_stand_in(f"{_PACKAGE}.{name}")))  # noqa: S102 - the checkout's own
    for absent in _ABSENT:
        _stand_in(absent)
    # It asks whether the configuration is on the shared storage; here it is.
    upgrade = _stand_in(f"{_PACKAGE}.lib.upgrade")
    vars(upgrade)["is_conf_file_uptodate"] = lambda: True


def _stand_in(name: str) -> ModuleType:
    """Put a module in place of another one."""
    module = ModuleType(name)
    vars(module).update(config={}, ServerError=Exception, Disconnected=Exception, PAUSED="Paused")
    above, _, last = name.rpartition(".")
    if above and above not in sys.modules:
        try:
            importlib.import_module(above)
        except ImportError:
            _stand_in(above)
    if above:
        setattr(sys.modules[above], last, module)
    sys.modules[name] = module
    return module
