"""Undoing what a deployment has made, entry by entry of its journal."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from he_fsm.deploy.carrying.course import ran
from he_fsm.deploy.carrying.daemons import ENDS_S, end_processes
from he_fsm.deploy.carrying.journal import Entry
from he_fsm.deploy.carrying.machine import connections, firewalld_runs
from he_fsm.deploy.carrying.vm import end
from he_fsm.errors import ConfigError, DeployError, HeFsmError, cause_of
from he_fsm.files.whole import write_whole
from he_fsm.runtime.config import load_config

_PIECE: Final = 1 << 20
_ANSWER_S: Final = 30.0
# What a deployment has just started may need so long to give its file system back (seconds).
_UMOUNT_S: Final = 60.0


def undo(entry: Entry) -> None:
    """
    Undo one entry; nothing happens where it is undone already.

    Raises:
        DeployError: it can't be undone; the message says what is left, and how to remove it.
    """
    _UNDO[entry["kind"]](entry)


def _file(entry: Entry) -> None:
    path = Path(entry["path"])
    if not os.path.lexists(path):
        # A file system that is read-only refuses to remove even what is not there.
        return
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        msg = f"{path} is left ({error.strerror}): rm {path}"
        raise DeployError(msg) from error


def _folder(entry: Entry) -> None:
    path = Path(entry["path"])
    try:
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno == errno.ENOTEMPTY and path.name != "lost+found":
            held = ", ".join(sorted(each.name for each in path.iterdir())[:3])
            msg = f"{path} is left, because it holds {held}"
            raise DeployError(msg) from error
        msg = f"{path} is left ({error.strerror}): rmdir {path}"
        raise DeployError(msg) from error


def _contents(entry: Entry) -> None:
    """Empty a folder of what the daemons have put there; what was there before stays."""
    path = Path(entry["path"])
    try:
        for each in path.iterdir():
            if each.name in entry["kept"]:
                continue
            if each.is_dir() and not each.is_symlink():
                shutil.rmtree(each)
            else:
                each.unlink(missing_ok=True)
    except FileNotFoundError:
        return
    except OSError as error:
        msg = f"{path} is not as it was before: {cause_of(error)}"
        raise DeployError(msg) from error


def _tree(entry: Entry) -> None:
    path = Path(entry["path"])
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        msg = f"{path} is left ({error.strerror}): rm -r {path}"
        raise DeployError(msg) from error


def _blank(entry: Entry) -> None:
    """Write zeroes over what was empty before."""
    path, size = Path(entry["path"]), int(entry["bytes"])
    try:
        with path.open("r+b") as file:
            size = min(size, file.seek(0, os.SEEK_END))
            for start in range(0, size, _PIECE):
                file.seek(start)
                file.write(bytes(min(_PIECE, size - start)))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        count = -(-size // _PIECE)
        msg = (
            f"{path} is not blank again ({error.strerror}): dd if=/dev/zero of={path} bs=1M"
            f" count={count}"
        )
        raise DeployError(msg) from error


def _processes(entry: Entry) -> None:
    end_processes(str(entry["config"]))


def _vm(entry: Entry) -> None:
    path = Path(entry["config"])
    if not path.exists():
        return
    try:
        config = load_config(path)
    except ConfigError as error:
        msg = f"a VM may run here, and the configuration can't be read: {error}"
        raise DeployError(msg) from error
    end(config)


def _units(entry: Entry) -> None:
    ran(["systemctl", "stop", *reversed(entry["units"])], within_s=ENDS_S)


def _theirs(entry: Entry) -> None:
    """Enable and start oVirt's agents again."""
    ran(["systemctl", "enable", "--now", *entry["units"]], within_s=ENDS_S)


def _enabled(entry: Entry) -> None:
    ran(["systemctl", "disable", "--now", *reversed(entry["units"])], within_s=ENDS_S)


def _mount(entry: Entry) -> None:
    path = Path(entry["path"])
    if path.is_mount():
        ran(["umount", str(path)], within_s=_UMOUNT_S)


def _line(entry: Entry) -> None:
    path = Path(entry["path"])
    text = path.read_text(encoding="utf-8")
    if entry["line"] in text:
        mode = path.stat().st_mode & 0o777
        write_whole(path, text.replace(entry["line"], "", 1).encode(), mode=mode)


def _login(entry: Entry) -> None:
    node = ["iscsiadm", "-m", "node", "-T", entry["target"], "-p", entry["portal"]]
    ran([*node, "--logout"])


def _connection(entry: Entry) -> None:
    if entry["name"] in connections():
        ran(["nmcli", "connection", "delete", entry["name"]])


def _ports(entry: Entry) -> None:
    if not firewalld_runs():
        # Nothing was opened: the deployment asks the same before it opens anything.
        return
    for port in entry["ports"]:
        ran(["firewall-cmd", *entry["when"], f"--remove-port={port}"])


def _domain(entry: Entry) -> None:
    from he_fsm.runtime.hypervisors.libvirt.connection import Connection  # noqa: PLC0415 - optional

    name = entry["name"]
    try:
        connection = Connection.opened(entry["uri"], _ANSWER_S)
        try:
            domain = connection.domain(name)
            if domain is not None:
                connection.undefine(domain)
        finally:
            connection.close()
    except HeFsmError as error:
        msg = f"the domain {name} is left ({error}): virsh undefine {name}"
        raise DeployError(msg) from error


_UNDO: Final[dict[str, Callable[[Entry], None]]] = {
    "file": _file,
    "folder": _folder,
    "contents": _contents,
    "tree": _tree,
    "blank": _blank,
    "processes": _processes,
    "vm": _vm,
    "units": _units,
    "theirs": _theirs,
    "enabled": _enabled,
    "mount": _mount,
    "line": _line,
    "login": _login,
    "connection": _connection,
    "ports": _ports,
    "domain": _domain,
}
