"""A sanlock daemon of one host of a lab, faster than the clock where the rehearsal is."""

from __future__ import annotations

import glob
import grp
import os
import pwd
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Optional

from he_fsm.errors import HeFsmError
from he_fsm.lab.host import ENDS_WITHIN_S
from he_fsm.lab.sanlock.release import daemon_words
from he_fsm.runtime.leases.sanlock.daemon.command import SOCKET
from he_fsm.runtime.leases.sanlock.settings import RUN_DIR_VARIABLE

_LIBRARIES: Final = "/usr/lib*/*/faketime/libfaketimeMT.so.1"
# Where libfaketime keeps what it shares between processes, by pid.
_SHARED: Final = Path("/dev/shm")  # noqa: S108 - that is its place
_STARTS_WITHIN_S: Final = 5.0
_LOOK_S: Final = 0.005


def faketime() -> Optional[str]:
    """Return the path of the library that makes a process's clock run faster; None: none."""
    return next(iter(sorted(glob.glob(_LIBRARIES))), None)  # noqa: PTH207 - an absolute pattern


def _own_names() -> tuple[str, str]:
    """Return the names of this user and its group; `KeyError`: it has none."""
    return pwd.getpwuid(os.geteuid()).pw_name, grp.getgrgid(os.getegid()).gr_name


def has_names() -> bool:
    """Whether this user can have a daemon: its user and group have names."""
    try:
        _own_names()
    except KeyError:
        return False
    return True


def _command(name: str, *, has_watchdog: bool) -> list[str]:
    """Return the daemon's command: no real-time priority, no locked memory."""
    words = [*daemon_words(), "daemon", "-D", "-e", name, "-h", "0", "-l", "0"]
    words += ["-w", "1" if has_watchdog else "0"]
    if os.geteuid() != 0:
        # By their names: the daemon would take a number for the name of nobody, and root instead.
        user, group = _own_names()
        words += ["-U", user, "-G", group]
    return words


class SanlockProcess:
    """
    One daemon; its name is what tells a host that comes back from another.

    Without root it is the user's own.
    """

    def __init__(
        self,
        run_dir: Path,
        name: str,
        speed: float,
        *,
        has_watchdog: bool = False,
        within: Callable[[list[str]], list[str]] = list,
    ) -> None:
        """
        Start it, and wait until it answers.

        Args:
            run_dir: its folder.
            name: what it calls its host.
            speed: its clock is faster by this factor.
            has_watchdog: somebody serves /run/wdmd for it.
            within: gives the command that runs a command where the daemon is to be.

        Raises:
            HeFsmError: it does not come up.
        """
        run_dir.mkdir(parents=True, exist_ok=True)
        self.run_dir = run_dir
        self.name = name
        environment = {
            **os.environ,
            # Else it wants limits that root in a container can't set.
            "SANLOCK_PRIVILEGED": "0",
            RUN_DIR_VARIABLE: str(run_dir),
        }
        # For the daemon alone, and not for the process that becomes the daemon.
        fast = ["env", f"LD_PRELOAD={faketime()}", f"FAKETIME=+0 x{speed:g}"] if speed > 1 else []
        words = [*fast, *_command(name, has_watchdog=has_watchdog)]
        with (run_dir / "log").open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - the system's own daemon
                within(words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=environment,
                cwd=run_dir,
                start_new_session=True,
            )
        try:
            self._wait()
        except BaseException:
            self.kill()
            raise

    def _wait(self) -> None:
        until = time.monotonic() + _STARTS_WITHIN_S
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                msg = f"the sanlock daemon does not come up; see {self.run_dir / 'log'}"
                raise HeFsmError(msg)
            time.sleep(_LOOK_S)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(str(self.run_dir / SOCKET))
            except OSError:
                return False
        return True

    def stop(self) -> None:
        """Stop the process until `go_on`."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Continue the process after `stop`."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once: it ignores SIGTERM while it has a lockspace."""
        self.process.kill()
        self.process.wait(ENDS_WITHIN_S)
        self.clean_up()

    def clean_up(self) -> None:
        """Remove what a daemon that was killed leaves."""
        pid = self.process.pid
        for path in (
            _SHARED / f"faketime_shm_{pid}",
            _SHARED / f"sem.faketime_sem_{pid}",
            self.run_dir / SOCKET,
        ):
            with suppress(FileNotFoundError):
                path.unlink()
