"""The storage domain of a lab's vdsm: sanlock's lockspace, and the disk of the engine."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import Any, Final, Optional

from he_fsm.errors import JoinPendingError, LockspaceError
from he_fsm.runtime.config import Config
from he_fsm.runtime.leases.rules import Rules
from he_fsm.runtime.leases.sanlock.lockspace import SanlockLeases
from he_fsm.runtime.leases.sanlock.section import settings_of
from he_fsm.runtime.leases.sanlock.sight import SanlockSight
from he_fsm.runtime.leases.vm_lock import VmLock
from he_fsm.runtime.service.log import Repeats
from he_fsm.runtime.vdsm.interface import VdsmError

_log = logging.getLogger(__name__)

# vdsm's codes; source: vdsm 4.50.7, `storage/exception.py`.
_GENERAL: Final = 200
_NO_VOLUME: Final = 201
_NO_IMAGE: Final = 254
_NO_DOMAIN: Final = 358
_NO_HOST_ID: Final = 661
_VERSION: Final = 5
# How often it is seen to that the lockspace is joined (seconds); vdsm's own monitor takes 10 s.
_AGAIN_S: Final = 0.25


class LabDomain:
    """One domain, whose lockspace is joined when somebody has it monitored."""

    def __init__(self, config: Config) -> None:
        """Join nothing yet; the daemon may have joined for an earlier process."""
        self._settings = settings_of(config)
        self._storage = config.storage.path
        self._host_id = config.host.id
        policy = config.policy
        rules = Rules(io_timeout_s=policy.io_timeout_s, watchdog_s=policy.watchdog_s)
        lock = VmLock.named(self._settings.vm_lock, "")
        self._leases = SanlockLeases(self._settings, self._host_id, rules, vm_is_gone=lock.is_free)
        self._sight = SanlockSight(self._settings, self._host_id, rules)
        self._guard = threading.Lock()
        self._is_wanted = threading.Event()
        self._monitor: Optional[threading.Thread] = None
        self._repeats = Repeats(_log)

    @property
    def name(self) -> str:
        """The domain's UUID, which is the lockspace's name."""
        return self._settings.lockspace

    def start_monitoring(self, domain: str, host_id: int) -> bool:
        """Begin to join the lockspace, and to join it anew whenever it is lost, as vdsm does."""
        self._check(domain)
        if host_id != self._host_id:
            raise VdsmError(_NO_HOST_ID, f"Cannot acquire host id: ('{domain}', {host_id})")
        with self._guard:
            if not self._is_wanted.is_set():
                self._is_wanted.set()
                self._monitor = threading.Thread(target=self._keep, name="monitor", daemon=True)
                self._monitor.start()
        return True

    def _keep(self) -> None:
        while self._is_wanted.is_set():
            try:
                self._leases.join()
            except JoinPendingError:
                continue
            except LockspaceError as error:
                # Another has the id, the storage is away, or the daemon is: it is tried again.
                self._repeats.complain("join", "%s", error)
            else:
                self._repeats.end("join", "the lockspace is joined again")
            time.sleep(_AGAIN_S)

    def stop_monitoring(self, domain: str) -> bool:
        """Leave the lockspace; refused while the engine runs here, which vdsm would let die."""
        self._check(domain)
        with self._guard:
            self._is_wanted.clear()
            monitor, self._monitor = self._monitor, None
        if monitor is not None:
            monitor.join()
        try:
            self._leases.leave()
        except LockspaceError as error:
            raise VdsmError(_GENERAL, f"General Storage Exception: {error}") from error
        return True

    def repo_stats(self, domains: list[str]) -> dict[str, Any]:
        """Answer Host.getStorageRepoStats; a domain that is not monitored is absent."""
        if not self._is_wanted.is_set() or (domains and self.name not in domains):
            return {}
        began_at = time.monotonic()
        is_valid = Path(self._settings.path).exists()
        return {
            self.name: {
                "code": 0 if is_valid else _NO_DOMAIN,
                "lastCheck": "0.0",
                "delay": f"{time.monotonic() - began_at:.6f}",
                "valid": is_valid,
                "version": _VERSION,
                "acquired": self._leases.is_joined,
                "actual": True,
            }
        }

    def info(self, domain: str) -> dict[str, Any]:
        """Answer StorageDomain.getInfo."""
        self._check(domain)
        return {
            "uuid": domain,
            "name": "hosted_storage",
            "type": "NFS",
            "class": "Data",
            "role": "Regular",
            "pool": [],
            "version": str(_VERSION),
            "block_size": self._settings.sector_bytes,
            "alignment": self._settings.align_bytes,
        }

    def image_path(self, domain: str, image: str, volume: str) -> dict[str, str]:
        """Answer Image.prepare."""
        self._check(domain)
        path = self._storage / "images" / image / volume
        if not path.exists():
            raise VdsmError(_NO_IMAGE, f"Image path does not exist or cannot be accessed: {path}")
        return {"path": str(path)}

    def volume(self, domain: str, volume: str) -> dict[str, Any]:
        """Answer Volume.getInfo of the engine's disk."""
        self._check(domain)
        if volume != self._settings.resource:
            raise VdsmError(_NO_VOLUME, f"Volume does not exist: ('{volume}',)")
        owners, version = self._owners()
        lease = {
            "path": self._settings.resource_path,
            "offset": self._settings.resource_offset,
            "owners": owners,
            "version": version,
        }
        return {"uuid": volume, "domain": domain, "status": "OK", "format": "RAW", "lease": lease}

    def lease(self, domain: str, lease: str) -> dict[str, Any]:
        """Answer Lease.status."""
        self._check(domain)
        if lease != self._settings.resource:
            raise VdsmError(_GENERAL, f"General Storage Exception: no lease {lease}")
        owners, version = self._owners()
        return {"owners": owners, "version": version, "metadata": {}}

    def _owners(self) -> tuple[list[int], int]:
        try:
            seen = self._sight.seen()
        except LockspaceError as error:
            raise VdsmError(_GENERAL, f"General Storage Exception: {error}") from error
        return ([] if seen.owner is None else [seen.owner]), seen.version

    def _check(self, domain: str) -> None:
        if domain != self.name:
            raise VdsmError(_NO_DOMAIN, f"Storage domain does not exist: ('{domain}',)")
