"""
The engine's health page: good if its first line contains the expected words.

A wrong answer is bad; no answer at all is silence, which says something about the engine only while
this host's network is well.

Source: hosted-engine --check-liveliness, which looks for `DB Up` in the first line.
"""

from __future__ import annotations

import time
from typing import Optional, Union
from urllib.parse import urljoin, urlsplit

import attrs
import requests
import urllib3

from he_fsm.errors import MonitorError
from he_fsm.runtime.ports.monitors import HealthReport
from he_fsm.snapshot import Health

_READ_MAX_BYTES = 64 << 10
_REDIRECTS_MAX = 5
# Connecting and reading have the time-out each.
_MARGIN_S = 5.0


@attrs.frozen
class EngineHealth:
    """
    The page at *url*, which has to answer within *timeout_s*.

    *verify*: True for the certificates of the system's authorities, or the path of a file with
    authorities to trust, or False to trust everybody. Redirects are followed on the same host
    alone, and never from https to http. Proxies of the environment are not used: whether a proxy
    is well says nothing about the engine.
    """

    url: str
    body: str = "DB Up"
    timeout_s: float = 20.0
    verify: Union[bool, str] = True

    @property
    def deadline_s(self) -> float:
        """How long measuring may take."""
        return 2 * self.timeout_s + _MARGIN_S

    def measure(self) -> HealthReport:
        """
        Read the page once.

        Raises:
            MonitorError: the URL or the file of authorities can't be used; that says nothing
                about the engine.
        """
        began = time.monotonic()
        health = Health.BAD
        try:
            fault = self._fault(began + self.timeout_s)
        except (
            requests.exceptions.InvalidURL,
            requests.exceptions.InvalidSchema,
            requests.exceptions.MissingSchema,
        ) as error:
            msg = f"the health page {self.url!r} can't be asked: {error}"
            raise MonitorError(msg) from error
        except requests.exceptions.SSLError as error:
            # Another server has answered.
            fault = _sentence(error, self.timeout_s)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            health, fault = Health.SILENT, _sentence(error, self.timeout_s)
        except OSError as error:
            # requests says so of a file of authorities that is not there.
            msg = f"the health page {self.url!r} can't be asked: {error}"
            raise MonitorError(msg) from error
        took_s = time.monotonic() - began
        if fault is None:
            return HealthReport(Health.GOOD, f"{self.body!r} in {took_s:.2f} s", took_s)
        return HealthReport(health, fault, took_s)

    def _fault(self, ends_at: float) -> Optional[str]:
        """Say what is wrong with the page; None: nothing."""
        if self.verify is False:
            # The administrator chose so; a warning with every look helps nobody.
            urllib3.disable_warnings(urllib3.exceptions.InsecureRequestWarning)
        url = self.url
        with requests.Session() as session:
            session.trust_env = False
            for _ in range(_REDIRECTS_MAX + 1):
                with session.get(
                    url,
                    timeout=self.timeout_s,
                    verify=self.verify,
                    stream=True,
                    allow_redirects=False,
                    headers={"Accept-Encoding": "identity"},
                ) as response:
                    if not response.is_redirect:
                        return self._fault_of_page(response, ends_at)
                    target = urljoin(url, response.headers["Location"])
                if not may_follow(url, target):
                    return f"redirected to {target}, which is not followed"
                url = target
        return f"redirected more than {_REDIRECTS_MAX} times"

    def _fault_of_page(self, response: requests.Response, ends_at: float) -> Optional[str]:
        """Judge a page that has begun to answer: one that breaks off is a wrong answer."""
        try:
            return self._fault_of(response, ends_at)
        except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
            return _sentence(error, self.timeout_s)

    def _fault_of(self, response: requests.Response, ends_at: float) -> Optional[str]:
        if response.status_code != requests.codes.ok:
            return f"HTTP status {response.status_code}"
        line = b""
        while len(line) < _READ_MAX_BYTES:
            # Read what has arrived, and not all that is asked for: a page may trickle in for ever.
            piece = response.raw.read1(_READ_MAX_BYTES - len(line), decode_content=False)
            head, newline, _ = piece.partition(b"\n")
            line += head
            if newline or not piece or has_words(line, self.body):
                break
            if time.monotonic() > ends_at:
                return f"the page was not complete within {self.timeout_s:g} s"
        if has_words(line, self.body):
            return None
        beginning = line[:60].decode("utf-8", "replace")
        return f"the first line does not contain {self.body!r}; it begins {beginning!r}"


def has_words(line: bytes, words: str) -> bool:
    """Say whether the page's first line contains the words."""
    return words.encode() in line


def may_follow(url: str, target: str) -> bool:
    """Say whether a redirect stays on the same host, and does not give up encryption."""
    old, new = urlsplit(url), urlsplit(target)
    if new.scheme not in ("http", "https") or (old.scheme, new.scheme) == ("https", "http"):
        return False
    return old.hostname == new.hostname


def _sentence(error: Exception, timeout_s: float) -> str:
    if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)):
        return f"no answer within {timeout_s:g} s"
    if isinstance(error, requests.exceptions.SSLError):
        return f"the certificate or the TLS connection is not good: {_cause(error)}"
    if isinstance(error, requests.exceptions.ConnectionError):
        return f"no connection: {_cause(error)}"
    return f"no page: {_cause(error)}"


def _cause(error: BaseException) -> str:
    """Return the innermost cause: the outer ones repeat it with addresses of objects."""
    seen = error
    while True:
        inner = getattr(seen, "reason", None) or seen.__cause__ or seen.__context__
        if not isinstance(inner, BaseException):
            return str(seen)
        seen = inner
