"""What the values of a configuration have to be together."""

from __future__ import annotations

from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import Node, is_null, refusal
from he_fsm.errors import LockspaceError
from he_fsm.runtime.config.lease import NAME_BYTES_MAX
from he_fsm.runtime.config.settings import Config, NetworkMonitorConfig
from he_fsm.runtime.config.vm import MoveConfig
from he_fsm.runtime.leases.sanlock_settings import SanlockSettings

# What each test of the network can't do without.
_NEEDED = {"ping": ("address",), "tcp": ("address", "port"), "file": ("path",)}


def check(config: Config, tree: Tree) -> None:
    """
    Check what one value says about another.

    Raises:
        DocumentError: at the value that is to be changed, or the nearest one above it.
    """
    _check_network(config.monitors.network, tree)
    _check_login(config, tree)
    _check_qemu(config, tree)
    _check_times(config, tree)
    settings = config.sanlock_settings
    if settings is not None:
        _check_sanlock(settings, config, tree)


def _check_network(network: NetworkMonitorConfig, tree: Tree) -> None:
    for key in _NEEDED.get(network.test, ()):
        if getattr(network, key) is None:
            message = f"the test {network.test} needs the key '{key}'"
            raise refusal(_nearest(tree, "monitors", "network", key), message)


def _check_login(config: Config, tree: Tree) -> None:
    smtp = config.notify.smtp
    if smtp is None:
        return
    if (smtp.user is None) != (smtp.password_file is None):
        there, missing = "user", "password_file"
        if smtp.user is None:
            there, missing = missing, there
        message = f"'{there}' needs the key '{missing}' beside it"
        raise refusal(_nearest(tree, "notify", "smtp", there), message)
    if smtp.user is not None and not smtp.starttls:
        message = "a password is only sent encrypted: set 'starttls: true', or name no user"
        raise refusal(_nearest(tree, "notify", "smtp", "user"), message)


def _check_qemu(config: Config, tree: Tree) -> None:
    hypervisor, vm = config.hypervisor, config.hypervisor.vm
    if hypervisor.kind != "qemu":
        return
    if vm is None:
        raise refusal(_nearest(tree, "hypervisor", "kind"), "kind qemu needs the key 'vm'")
    if config.engine.health.url is None:
        message = "a QEMU VM needs the address of its health page: 'url' in 'engine.health'"
        raise refusal(_nearest(tree, "engine", "health"), message)
    if vm.kernel is None and not vm.disks:
        message = "the VM has nothing to boot: give it 'disks', or a 'kernel'"
        raise refusal(_nearest(tree, "hypervisor", "vm"), message)
    if vm.kernel is None and vm.initrd is not None:
        message = "'initrd' needs the key 'kernel' beside it"
        raise refusal(_nearest(tree, "hypervisor", "vm", "initrd"), message)
    if vm.memory_limit is not None and vm.memory_limit <= vm.memory:
        message = f"expected more than the guest's own memory ({vm.memory} MiB)"
        raise refusal(_nearest(tree, "hypervisor", "vm", "memory_limit"), message)
    _check_move(hypervisor.move, tree)


def _check_move(move: MoveConfig, tree: Tree) -> None:
    if move.peers is None:
        return
    node = _nearest(tree, "hypervisor", "move", "peers")
    if "{id}" not in move.peers:
        raise refusal(node, "expected {id} in it, or all hosts have one address")
    if move.peers.startswith("tcp:") and move.secret_file is None:
        raise refusal(node, "migrations by tcp need the key 'secret_file' beside it")


def _check_times(config: Config, tree: Tree) -> None:
    policy, monitors = config.policy, config.monitors
    if config.storage.deadline_s >= policy.loop_s:
        message = (
            f"expected less than the policy's loop_s ({policy.loop_s:g} s), or a storage that"
            f" hangs is not noticed within a loop; got {config.storage.deadline_s:g} s"
        )
        raise refusal(_nearest(tree, "storage", "deadline"), message)
    network_s = _tries_s(monitors.network)
    key = "interval" if monitors.interval_s >= network_s else "network"
    slowest = max(monitors.interval_s, network_s)
    if slowest >= policy.reading_age_max_s:
        message = (
            f"a measurement every {slowest:g} s, expected less than the policy's reading_age_max_s"
            f" ({policy.reading_age_max_s:g} s): readings would be too old before the next"
        )
        raise refusal(_nearest(tree, "monitors", key), message)


def _check_sanlock(settings: SanlockSettings, config: Config, tree: Tree) -> None:
    for key, name in (("lockspace", settings.lockspace), ("resource", settings.resource)):
        if len(name.encode()) > NAME_BYTES_MAX:
            message = f"expected a name of at most {NAME_BYTES_MAX} bytes"
            raise refusal(_nearest(tree, "sanlock", key), message)
    ids_max = settings.host_id_max
    if ids_max is None:
        message = (
            "expected sectors of 512 bytes with an area of 1 MiB, or of 4096 bytes with one of"
            f" 1, 2, 4 or 8; got {settings.sector_bytes} bytes with {config.sanlock.area} MiB"
        )
        raise refusal(_nearest(tree, "sanlock", "sector"), message)
    if config.host.id > ids_max:
        message = f"expected at most {ids_max} with sanlock's area; got {config.host.id}"
        raise refusal(_nearest(tree, "host", "id"), message)
    _check_areas(settings, tree)
    try:
        settings.daemon_io_timeout(config.policy.io_timeout_s)
    except LockspaceError as error:
        raise refusal(_nearest(tree, "policy", "io_timeout_s"), str(error)) from error


def _check_areas(settings: SanlockSettings, tree: Tree) -> None:
    area = settings.align_bytes
    for key, offset in (
        ("offset", settings.offset),
        ("resource_offset", settings.resource_offset),
    ):
        if offset % area:
            message = f"expected a multiple of the area, {area} bytes; got {offset}"
            raise refusal(_nearest(tree, "sanlock", key), message)
    is_one = settings.path == settings.resource_path
    if is_one and settings.offset == settings.resource_offset:
        message = "expected another place than that of the host ids' leases"
        raise refusal(_nearest(tree, "sanlock", "resource_offset"), message)


def _tries_s(network: NetworkMonitorConfig) -> float:
    """How long the tries of a network that never answers take, which overlap, in seconds."""
    if network.test in ("none", "file"):
        return 0.0
    return network.timeout_s + (network.count - 1) * network.delay_s


def _nearest(tree: Tree, *keys: str) -> Node:
    """Give what stands at a path of keys, else the nearest node above that is something."""
    node: Node = tree
    for key in keys:
        below = node.get(key) if isinstance(node, Tree) else None
        if below is None or is_null(below):
            return node
        node = below
    return node
