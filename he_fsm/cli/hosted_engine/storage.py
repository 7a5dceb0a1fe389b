"""`hosted-engine`: the storage that the hosts share, its slots and its lockspace."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Final

from he_fsm.cli.cleaning import clean_slot, reset_lockspace
from he_fsm.cli.hosted_engine.here import (
    FAILED,
    OK,
    WrongUseError,
    deployed_config,
    only,
    only_options,
    option,
)
from he_fsm.cli.options.asking import AGREED
from he_fsm.errors import BrokerError, RefusedRequestError, StorageError
from he_fsm.metadata.layout import HOST_ID_MAX
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.ports import ConnectsStorage
from he_fsm.runtime.storage.whiteboard_io import WhiteboardFile
from he_fsm.runtime.vm_orders.asking import by_hand_of

# What oVirt's agent ends with where a service that it needs does not run. Source:
# ovirt-hosted-engine-ha 2.5.
_NO_SERVICE: Final = 254


def connect_storage(words: Sequence[str]) -> int:
    """Connect the storage by vdsm; without vdsm, say what it is and whether it can be read."""
    only(words)
    config = deployed_config()
    vm = by_hand_of(config)
    if isinstance(vm, ConnectsStorage):
        vm.connect_storage()
        return OK
    return _say_storage(config)


def _say_storage(config: Config) -> int:
    path = config.storage.whiteboard
    try:
        found = Whiteboard.parse(WhiteboardFile(path, config.storage.offset).read())
    except StorageError as error:
        sys.stderr.write(
            f"hosted-engine: {error}. Without vdsm, the system of this host mounts the storage:"
            f" look at `findmnt -T {config.storage.path}`, and at /etc/fstab\n"
        )
        return FAILED
    if not found.records and found.global_block.problem is not None:
        sys.stderr.write(
            f"hosted-engine: {path} can be read, and holds no whiteboard: he-fsm storage init makes"
            " one\n"
        )
        return FAILED
    hosts = len(found.records)
    sys.stdout.write(
        f"The storage {config.storage.path} can be read; its whiteboard {path} has the records of"
        f" {hosts} {'host' if hosts == 1 else 'hosts'}. This host's own system has connected it.\n"
    )
    return OK


def disconnect_storage(words: Sequence[str]) -> int:
    """Disconnect the storage by vdsm; without vdsm, there is nothing to disconnect."""
    only(words)
    config = deployed_config()
    vm = by_hand_of(config)
    if isinstance(vm, ConnectsStorage):
        vm.disconnect_storage()
        return OK
    sys.stdout.write(
        f"The storage {config.storage.path} stays as it is: this host's own system has connected"
        " it, not this command.\n"
    )
    return OK


def clean_metadata(words: Sequence[str]) -> int:
    """Empty a slot of the whiteboard: this host's own, or that of a host that was removed."""
    only_options(words, "--host-id=", "--force-cleanup")
    config = deployed_config()
    wanted = option(words, "--host-id")
    host_id = config.host.id if wanted is None else _host_id(wanted)
    try:
        said = clean_slot(
            config, host_id, AGREED, is_forced="--force-cleanup" in words, force="--force-cleanup"
        )
    except RefusedRequestError:
        raise
    except BrokerError as error:
        sys.stderr.write(f"hosted-engine: {error}\n")
        return _NO_SERVICE
    sys.stdout.write(f"{said}\n")
    return OK


def _host_id(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= HOST_ID_MAX:
        msg = f"expected --host-id=N, where N is 1 to {HOST_ID_MAX}; got {text!r}"
        raise WrongUseError(msg)
    return int(text)


def reinitialize_lockspace(words: Sequence[str]) -> int:
    """Write the leases of the host ids anew, and the engine's with them."""
    only(words, "--force")
    config = deployed_config()
    for line in reset_lockspace(config, AGREED, is_forced="--force" in words):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return OK
