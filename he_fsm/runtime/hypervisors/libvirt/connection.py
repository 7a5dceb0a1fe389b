"""
One connection to a libvirt daemon: every call has a deadline, and the connection may be lost.

A call of libvirt's waits for its daemon without end, so each is made in a thread of its own, which
is left alone when its time is up. Whoever waited throws the connection away then; libvirt's own
sign of life (keep-alive) breaks it within seconds, and with it the calls that still wait.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final, Optional, TypeVar

import libvirt

from he_fsm.errors import HypervisorError
from he_fsm.runtime.hypervisors.libvirt.events import EVENTS

T = TypeVar("T")

# An answer takes milliseconds; a daemon that gives none in this time hangs (seconds).
ANSWER_S: Final = 4.0
# A daemon that gives no sign of life for so many times so many seconds is given up.
_ALIVE_S: Final = 2
_ALIVE_COUNT: Final = 3
# How long whoever closes a connection waits for a daemon that may hang (seconds).
_CLOSED_S: Final = 2.0
_GONE: Final = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID)


class LibvirtSilentError(HypervisorError):
    """libvirt does not answer in time: it is not known whether it does what it was asked for."""


class LibvirtRefusedError(HypervisorError):
    """libvirt refuses, or its connection is lost; *code* is its own number."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Connection:
    """A connection that is open; made by `opened` or `Opening`."""

    def __init__(self, raw: Any) -> None:
        """Take libvirt's own connection."""
        self.raw = raw
        self._is_thrown_away = False
        self._callbacks: list[int] = []
        # Calls that have not ended.
        self._calls: set[_Asked] = set()

    @classmethod
    def opened(cls, uri: str, within_s: float = ANSWER_S) -> Connection:
        """Open one; raises `HypervisorError` where no daemon answers in time."""
        opening = Opening(uri)
        found = opening.wait(within_s)
        if found is None:
            opening.give_up()
            msg = f"libvirt does not answer at {uri}"
            raise LibvirtSilentError(msg)
        return found

    @property
    def is_usable(self) -> bool:
        """Whether the daemon is still at the other end, as far as that is known."""
        if self._is_thrown_away:
            return False
        try:
            # No call: the library's own knowledge.
            return bool(self.raw.isAlive())
        except libvirt.libvirtError:
            return False

    def call(self, what: str, function: Callable[[], T], within_s: float = ANSWER_S) -> T:
        """
        Return what *function* returns, which calls libvirt; *what* says so to people.

        Raises:
            LibvirtSilentError: there is no answer; the connection is not used any more.
            LibvirtRefusedError: libvirt says no, and why, or the connection is lost.
        """
        asked = _Asked(function, f"libvirt: {what}", self._calls)
        if not asked.is_done.wait(within_s):
            self._is_thrown_away = True
            msg = f"libvirt does not answer within {within_s:g} s: {what}"
            raise LibvirtSilentError(msg)
        answer: T = asked.answer(what)
        return answer

    def ping(self) -> None:
        """See whether the daemon answers, without a question about any domain."""
        self.version()

    def version(self) -> int:
        """Return the daemon's version, as libvirt counts them: 9000000 is 9.0.0."""
        return int(self.call("ask for its version", self.raw.getLibVersion))

    def register(self, on_close: Callable[..., None], **events: Callable[..., None]) -> None:
        """Have events of all domains reported, by libvirt's names, and the connection's end."""

        def register() -> None:
            self.raw.registerCloseCallback(on_close, None)
            for name, on_event in events.items():
                event = getattr(libvirt, f"VIR_DOMAIN_EVENT_ID_{name}")
                number = self.raw.domainEventRegisterAny(None, event, on_event, None)
                self._callbacks.append(number)

        self.call("ask for its events", register)

    # Domains.

    def domain(self, name: str) -> Optional[Any]:
        """Return the domain of a name; None: libvirt knows none."""
        try:
            return self.call("look for the domain", lambda: self.raw.lookupByName(name))
        except LibvirtRefusedError as error:
            if error.code == libvirt.VIR_ERR_NO_DOMAIN:
                return None
            raise

    def is_active(self, domain: Any) -> bool:
        """Whether a process of the domain is here."""
        return bool(self.call("ask whether the domain is active", domain.isActive))

    def xml(self, domain: Any, *, is_live: bool) -> str:
        """Return the domain's XML, as it is now or as it will be at its next start."""
        flags = 0 if is_live else libvirt.VIR_DOMAIN_XML_INACTIVE
        return str(self.call("read the domain's XML", lambda: domain.XMLDesc(flags)))

    def define(self, xml: str) -> Any:
        """Define a domain, or change the definition of the one with this name and UUID."""
        return self.call("define the domain", lambda: self.raw.defineXML(xml))

    def undefine(self, domain: Any) -> None:
        """Forget the definition of a domain that does not run."""
        self.call("forget the domain", domain.undefine)

    def update(self, domain: Any, xml: str) -> None:
        """Change a device of a domain that runs."""
        live = libvirt.VIR_DOMAIN_AFFECT_LIVE
        self.call("change a device", lambda: domain.updateDeviceFlags(xml, live))

    def destroy(self, domain: Any, within_s: float) -> None:
        """End the domain's process; nothing happens where it has ended."""
        try:
            self.call("end the domain", domain.destroy, within_s)
        except LibvirtRefusedError as error:
            if error.code not in _GONE:
                raise

    def close(self) -> None:
        """Close it; takes a moment at most, whatever the daemon does."""
        self._is_thrown_away = True
        raw, callbacks, calls = self.raw, tuple(self._callbacks), tuple(self._calls)
        asked = _Asked(lambda: _close_after(calls, raw, callbacks), "libvirt: close")
        asked.is_done.wait(_CLOSED_S)


class Opening:
    """
    A connection that is being opened, in a thread of its own.

    The library gives no way to break this off: who does not want to wait keeps it, and asks again.
    """

    def __init__(self, uri: str) -> None:
        """Begin."""
        self._uri = uri
        self._guard = threading.Lock()
        self._opened: Any = None
        self._is_given_up = False
        EVENTS.use()
        self._asked = _Asked(self._open, "libvirt: open")

    def wait(self, within_s: float) -> Optional[Connection]:
        """Return the connection; None: not yet. Raises `HypervisorError`."""
        if not self._asked.is_done.wait(within_s):
            return None
        return Connection(self._asked.answer(f"connect to {self._uri}"))

    def give_up(self) -> None:
        """Want it no more: it is closed as soon as it is there."""
        with self._guard:
            self._is_given_up = True
            opened, self._opened = self._opened, None
        if opened is not None:
            _close(opened)

    def _open(self) -> Any:
        try:
            raw = libvirt.open(self._uri)
        except libvirt.libvirtError:
            EVENTS.leave()
            raise
        try:
            raw.setKeepAlive(_ALIVE_S, _ALIVE_COUNT)
        except libvirt.libvirtError:
            _close(raw)
            raise
        with self._guard:
            is_wanted = not self._is_given_up
            self._opened = raw if is_wanted else None
        if not is_wanted:
            _close(raw)
        return raw


class _Asked:
    """One call, in a thread of its own that nobody has to wait for."""

    def __init__(
        self, function: Callable[[], Any], name: str, calls: Optional[set[_Asked]] = None
    ) -> None:
        """Begin; it is one of *calls* until it has ended."""
        self.is_done = threading.Event()
        self._calls = set() if calls is None else calls
        self._calls.add(self)
        self._function = function
        self._value: Any = None
        self._error: Optional[Exception] = None
        # What it raises is the caller's, so that nobody has to supervise it.
        threading.Thread(target=self._run, name=name, daemon=True).start()

    def answer(self, what: str) -> Any:
        """Return what came; the call has ended."""
        if isinstance(self._error, libvirt.libvirtError):
            text = " ".join(str(self._error).split())
            msg = f"libvirt can't {what}: {text}"
            raise LibvirtRefusedError(msg, self._error.get_error_code() or 0) from self._error
        if self._error is not None:
            raise self._error
        return self._value

    def _run(self) -> None:
        try:
            self._value = self._function()
        except Exception as error:  # noqa: BLE001 - it is raised where it is waited for
            self._error = error
        finally:
            self._calls.discard(self)
            self.is_done.set()


def _close_after(calls: Iterable[_Asked], raw: Any, callbacks: Iterable[int]) -> None:
    """
    Close a connection when the calls that still wait for its daemon have ended.

    safety: to close it is a call, too. While another one waits, libvirt (9.0) does not end it when
    it gives the daemon up. It hangs until the daemon goes on, and the process may crash then.
    """
    for call in calls:
        call.is_done.wait()
    _close(raw, callbacks)


def _close(raw: Any, callbacks: Iterable[int] = ()) -> None:
    try:
        # Each of them keeps the connection open, else.
        for number in callbacks:
            with suppress(libvirt.libvirtError):
                raw.domainEventDeregisterAny(number)
        with suppress(libvirt.libvirtError):
            raw.unregisterCloseCallback()
        raw.close()
    except libvirt.libvirtError:
        # It was lost before: there is nothing left to close.
        pass
    finally:
        EVENTS.leave()
