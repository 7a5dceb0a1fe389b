"""What a configuration only names, looked at: paths, interfaces, names, other hosts."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Optional
from urllib.parse import urlsplit

from he_fsm.errors import HeFsmError
from he_fsm.metadata.layout import RELEASE, SLOT_BYTES, WHITEBOARD_BYTES
from he_fsm.metadata.policy_print import with_another_policy
from he_fsm.metadata.record import HostRecord
from he_fsm.metadata.told import told_release
from he_fsm.metadata.whiteboard import Whiteboard
from he_fsm.runtime import parts
from he_fsm.runtime.config import Config
from he_fsm.runtime.logind.shutdown import system_logind
from he_fsm.runtime.ports import Finding, Peer
from he_fsm.words import hosts_text

_INIT: Final = "he-fsm storage init, once, on one host"
_INTERFACES: Final = Path("/sys/class/net")
_WATCHDOGS: Final = (Path("/dev/watchdog"), Path("/dev/watchdog0"))
_WDMD: Final = Path("/run/wdmd/wdmd.sock")
_CONNECT_S: Final = 2.0
# Folders of oVirt's that need not be there.
_OPTIONAL: Final = ("ovirt",)
# What the daemons make themselves, in a folder that has to be there.
_MADE_IN: Final = ("socket", "run_dir", "hosts_dir")


def deep_findings(config: Config) -> Iterator[Finding]:
    """Yield what is wrong outside the file; names are resolved and peers are asked, in seconds."""
    plain = config.to_plain()
    for key, value in _values(plain, ""):
        if value.startswith("/") and not key.startswith(_OPTIONAL):
            yield from _path(key, Path(value))
    if config.leases == "embedded":
        yield from _path("storage.leases", config.storage.leases)
    yield from _interfaces(plain)
    yield from _names(config, plain)
    if config.leases in ("sanlock", "vdsm"):
        yield from _watchdog()
    yield from _shutdown_delay(config)
    board = _whiteboard(config)
    if board is not None:
        yield from _others(config, board)
        yield from _peers(config, plain, board)
        yield from parts.moves_hindered(config, list(_other_hosts(config, board)))


def _shutdown_delay(config: Config) -> Iterator[Finding]:
    """Yield a finding if logind lets a shutdown of this host wait for a time that is too short."""
    try:
        logind = system_logind()
        try:
            delay_s = logind.delay_s
        finally:
            logind.close()
    except HeFsmError:
        # A host without logind shuts down without its agent, which says so in its log.
        return
    needed_s = config.policy.shutdown_needs_s
    if delay_s < needed_s:
        how = config.policy.on_shutdown
        yield Finding(
            what=f"a shutdown of this host waits for {delay_s:g} s at most until the engine has "
            f"left, and policy.on_shutdown {how} needs {needed_s:g} s",
            mend="set InhibitDelayMaxSec=5min in /etc/systemd/logind.conf.d/he-fsm.conf, under "
            "[Login], then systemctl restart systemd-logind",
            is_fatal=False,
        )


def named_once(known: Iterable[Finding], further: Iterable[Finding]) -> list[Finding]:
    """
    Return all findings, *known* first, with one about each path.

    One of *further*, which names the key, stays instead of a known one about the same path or one
    below it, unless only the known one says that no VM can be started.
    """
    left = list(further)
    found = []
    for finding in known:
        path = finding.path
        again = [
            each
            for each in left
            if path is not None and each.path is not None and each.path in (path, *path.parents)
        ]
        if not again or (finding.is_fatal and not any(each.is_fatal for each in again)):
            found.append(finding)
            left = [each for each in left if each not in again]
    return found + left


def _values(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield each text of a configuration with its dotted key."""
    if isinstance(value, dict):
        for name, each in value.items():
            yield from _values(each, f"{key}.{name}" if key else str(name))
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from _values(each, f"{key}[{number}]")
    elif isinstance(value, str):
        yield key, value


def _path(key: str, path: Path) -> Iterator[Finding]:
    name = key.rpartition(".")[2]
    if name in _MADE_IN or name.endswith("socket"):
        path = path if path.exists() else path.parent
    try:
        path.stat()
    except OSError as error:
        mend = _INIT if key in ("storage.whiteboard", "storage.leases") else ""
        yield Finding(what=f"{key}: {path}: {error.strerror}", mend=mend, path=path)
        return
    if name in ("run_dir", "state_dir") and not os.access(path, os.W_OK):
        yield Finding(
            what=f"{key}: {path} can't be written by this user",
            mend="run this command as the daemons' user: sudo -u he-fsm he-fsm config check --deep",
            is_fatal=False,
            path=path,
        )
    elif not os.access(path, os.R_OK):
        what = f"{key}: {path} can't be read by this user"
        yield Finding(what=what, is_fatal=False, path=path)


def _interfaces(plain: dict[str, Any]) -> Iterator[Finding]:
    bridge = plain["monitors"]["bridge"]
    # Where a file says how the bridge is, its name is not asked for.
    wanted = {"monitors.bridge.name": None if bridge.get("path") else bridge.get("name")}
    vm = plain["hypervisor"].get("vm") or {}
    for number, nic in enumerate(vm.get("nics", ())):
        if nic["kind"] in ("tap", "bridge"):
            field = "name" if nic["kind"] == "tap" else "bridge"
            wanted[f"hypervisor.vm.nics[{number}].{field}"] = nic[field]
    for key, name in wanted.items():
        if name and not (_INTERFACES / name).exists():
            yield Finding(
                what=f"{key}: this host has no network interface {name}",
                mend=f"ip link show {name}",
            )


def _names(config: Config, plain: dict[str, Any]) -> Iterator[Finding]:
    wanted = {"monitors.network.address": plain["monitors"]["network"].get("address")}
    if config.health_url is not None:
        wanted["engine.health.url"] = urlsplit(config.health_url).hostname
    smtp = plain["notify"].get("smtp") or {}
    wanted["notify.smtp.server"] = smtp.get("server")
    for key, name in wanted.items():
        if name and not _resolves(name):
            yield Finding(what=f"{key}: the name {name} does not resolve", is_fatal=False)


def _resolves(name: str) -> bool:
    try:
        socket.getaddrinfo(name, None)
    except (OSError, UnicodeError):
        return False
    return True


def _watchdog() -> Iterator[Finding]:
    if not any(path.exists() for path in _WATCHDOGS):
        yield Finding(
            what="this host has no /dev/watchdog: sanlock can't reset it",
            mend="load the machine's driver, or modprobe softdog",
        )
    if not _WDMD.exists():
        yield Finding(what=f"{_WDMD} is not there", mend="systemctl enable --now wdmd sanlock")


def _whiteboard(config: Config) -> Optional[Whiteboard]:
    try:
        with config.storage.whiteboard.open("rb") as file:
            file.seek(config.storage.offset)
            return Whiteboard.parse(file.read(WHITEBOARD_BYTES))
    except OSError:
        # The path itself is a finding.
        return None


def _others(config: Config, board: Whiteboard) -> Iterator[Finding]:
    """Compare this host with what the others have written."""
    policy, here = config.policy, config.host.id
    try:
        room = config.storage.whiteboard.stat().st_size - config.storage.offset
    except OSError:
        room = 0
    if config.storage.whiteboard.is_file() and room < SLOT_BYTES * (here + 1):
        yield Finding(
            what=f"storage.whiteboard: it has no room for host id {here}",
            mend=f"he-fsm storage init --hosts {here} says how to make it longer",
        )
    for number, record in board.records.items():
        if number == here:
            if record.hostname != config.host.hostname:
                yield Finding(
                    what=f"host.id: slot {here} was last written by {record.hostname!r},"
                    f" not by {config.host.hostname!r}",
                    mend="give each host an id of its own",
                    is_fatal=False,
                )
        elif not record.stopped:
            yield from _other(policy.score_max, policy.watchdog_s, policy.name, record)
    others = [record for number, record in board.records.items() if number != here]
    yield from _releases(others)
    unlike = with_another_policy(
        # The score says it already.
        (record for record in others if record.score <= policy.score_max),
        policy,
    )
    if unlike:
        yield Finding(
            what=f"policy: {hosts_text(unlike)} {'has' if len(unlike) == 1 else 'have'} another"
            " policy than this host",
            mend="compare the sections `policy` (he-fsm config show), and the releases"
            " (he-fsm --version)",
            is_fatal=False,
        )


def _releases(others: Iterable[HostRecord]) -> Iterator[Finding]:
    for record in others:
        told = told_release(record.host_id, record.timestamp, record.text)
        if told is not None and told != RELEASE and not record.stopped:
            yield Finding(
                what=f"host {record.host_id} ({record.hostname}) has release {told} of he_fsm,"
                f" this host {RELEASE}",
                mend="upgrade all hosts, one after the other",
                is_fatal=False,
            )


def _other(score_max: int, watchdog_s: float, name: str, record: HostRecord) -> Iterator[Finding]:
    who = f"host {record.host_id} ({record.hostname})"
    if record.score > score_max:
        yield Finding(
            what=f"policy: {who} has score {record.score}, above {score_max}, the highest of"
            f" policy {name}: it has another policy",
            mend="give all hosts the same policy",
        )
    if record.watchdog_s is not None and record.watchdog_s != watchdog_s:
        yield Finding(
            what=f"policy.watchdog_s: {who} says {record.watchdog_s:g} s, this host"
            f" {watchdog_s:g} s",
            mend="give all hosts the same",
        )


def _peers(config: Config, plain: dict[str, Any], board: Whiteboard) -> Iterator[Finding]:
    """Ask where the other hosts' agents wait for migrations."""
    move = plain["hypervisor"].get("move") or {}
    peers = move.get("peers")
    if not peers:
        return
    for peer in _other_hosts(config, board):
        address = peers.replace("{id}", str(peer.host_id))
        reason = _why_silent(address)
        if reason:
            yield Finding(
                what=f"hypervisor.move.peers: host {peer.host_id} at {address}: {reason}",
                mend="check the name, the firewall, and that its agent runs",
                is_fatal=False,
            )


def _other_hosts(config: Config, board: Whiteboard) -> Iterator[Peer]:
    for number, record in board.records.items():
        if number != config.host.id and not record.stopped:
            yield Peer(number, record.hostname)


def _why_silent(address: str) -> str:
    """Return why nothing answers at an address of `peers`; empty: it does."""
    kind, _, rest = address.partition(":")
    if kind == "unix":
        return "" if Path(rest).exists() else "there is no such socket"
    host, _, port = rest.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""
