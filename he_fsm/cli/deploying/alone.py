"""Where a deployment has its files on this host, and that it is the only one there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from he_fsm.deploy.carrying.journal import Journal
from he_fsm.deploy.planning.places import Own
from he_fsm.errors import DeployError
from he_fsm.runtime.service.lock import Claim


def own_of(path: Path, settings: dict[str, Any]) -> Own:
    """Return where this host's files are; settings may say otherwise for three folders."""
    found = Own(config=str(path.absolute()))
    ovirt = settings.get("ovirt")
    folder = ovirt.get("dir") if isinstance(ovirt, dict) else None
    return attrs.evolve(
        found,
        run_dir=str(settings.get("run_dir", found.run_dir)),
        state_dir=str(settings.get("state_dir", found.state_dir)),
        ovirt_dir=str(folder or found.ovirt_dir),
    )


def _remove_empty(folders: Sequence[Path]) -> None:
    """Remove folders, the innermost first, that were made for nothing."""
    for folder in folders:
        if folder.is_dir() and not any(folder.iterdir()):
            folder.rmdir()


@contextmanager
def alone(own: Own, *, is_dry: bool) -> Iterator[Journal]:
    """Be the only deployment of this host; yield the journal of an earlier one, or an empty one."""
    folder = Path(own.state_dir)
    journal = Journal.left(Path(own.journal))
    if is_dry:
        yield journal
        return
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o750)
    except OSError as error:
        msg = f"{folder} can't be made: {error.strerror}"
        raise DeployError(msg) from error
    lock = folder / "deploy.lock"
    claim = Claim.take(lock, "deployment")
    try:
        yield journal
    finally:
        lock.unlink(missing_ok=True)
        claim.release()
        if not Path(own.config).exists():
            _remove_empty(missing)
