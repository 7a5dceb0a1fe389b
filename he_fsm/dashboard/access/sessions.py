"""Sessions of browsers: who has logged in, and the sign that a request comes from our own page."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Optional

import attrs

# A session ends after so long without a request (seconds).
IDLE_S: Final = 12 * 3600.0
# Of those who have logged in; the one that was used least recently ends first.
_SESSIONS_MAX: Final = 200
# So many wrong tokens from everywhere within a minute, and none is compared for the rest of it.
_FAILURES_MAX: Final = 10
_FAILURES_WITHIN_S: Final = 60.0
_ID_BYTES: Final = 24


@attrs.define
class _Session:
    user: str
    used_at: float


class Sessions:
    """
    The sessions of one process; all of them end with it.

    Nothing is kept of a browser that has not logged in: its sign is computed from its cookie.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin without any; *clock* is monotonic (seconds)."""
        self._clock = clock
        self._secret = secrets.token_bytes(32)
        self._found: OrderedDict[str, _Session] = OrderedDict()
        self._failures: list[float] = []

    @staticmethod
    def new_id() -> str:
        """Return the cookie of a browser that has none."""
        return secrets.token_urlsafe(_ID_BYTES)

    def sign_of(self, cookie: str) -> str:
        """Return what only a page that this process has served to that browser can know."""
        return hmac.new(self._secret, cookie.encode(), hashlib.sha256).hexdigest()

    def is_sign(self, cookie: str, sign: str) -> bool:
        """Whether that is the sign of a browser."""
        return hmac.compare_digest(self.sign_of(cookie).encode(), sign.encode("utf-8", "replace"))

    def log_in(self, user: str) -> str:
        """Begin a session, and return its cookie; no earlier one is used for it."""
        cookie = self.new_id()
        self._found[cookie] = _Session(user, self._clock())
        while len(self._found) > _SESSIONS_MAX:
            self._found.popitem(last=False)
        return cookie

    def log_out(self, cookie: str) -> None:
        """End a session."""
        self._found.pop(cookie, None)

    def user_of(self, cookie: str) -> Optional[str]:
        """Return who has logged in with this cookie; None: nobody, or too long ago."""
        session = self._found.get(cookie)
        if session is None:
            return None
        now = self._clock()
        if now - session.used_at > IDLE_S:
            del self._found[cookie]
            return None
        session.used_at = now
        self._found.move_to_end(cookie)
        return session.user

    def may_try(self) -> bool:
        """Whether a token is compared now; False: too many were wrong a moment ago."""
        now = self._clock()
        self._failures = [at for at in self._failures if now - at < _FAILURES_WITHIN_S]
        return len(self._failures) < _FAILURES_MAX

    def has_failed(self) -> None:
        """Note that a token was wrong."""
        self._failures.append(self._clock())
