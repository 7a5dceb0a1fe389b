"""E-mail by SMTP."""

from __future__ import annotations

import email.message
import email.policy
import re
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Optional

import attrs

from he_fsm.alarms import MEANING
from he_fsm.errors import ConfigError, NotifyError
from he_fsm.runtime.notify.passwords import read_password
from he_fsm.runtime.notify.rules import is_failed_start, is_migration
from he_fsm.runtime.ports import Event, Message
from he_fsm.runtime.service.log import one_line

_PATIENCE_S = 3600.0
# Long reasons stay in the text.
_SUBJECT_MAX = 120
_NOT_IN_NAMES = re.compile(r"[^A-Za-z0-9.-]")


@attrs.frozen(kw_only=True)
class Mail:
    """
    E-mail from *sender* to *recipients* by way of one server.

    *starttls*: encrypt, with the server's certificate verified by the system's authorities or
    by those in *ca_file*. *user*: log in with the password in *password_file*, which is read
    for each message and only sent encrypted. *timeout_s* is for each step of the dialogue.
    """

    server: str
    port: int = 25
    sender: str
    recipients: tuple[str, ...]
    starttls: bool = False
    ca_file: Optional[Path] = None
    user: Optional[str] = None
    password_file: Optional[Path] = None
    timeout_s: float = 10.0
    patience_s: float = _PATIENCE_S
    name: str = "mail"

    def send(self, message: Message) -> None:
        """
        Send one e-mail.

        Raises:
            NotifyError: it was not taken by the server; some recipients refused count as well.
        """
        mail = compose(message, self.sender, self.recipients)
        with self._faults(), self._session(self.timeout_s) as smtp:
            refused = smtp.send_message(mail)
        if refused:
            # Another try would send a second copy to those who were not refused.
            raise NotifyError(_refused(refused), can_retry=False)

    def probe(self, within_s: float) -> None:
        """
        See whether the server would take a mail: greet it, encrypt, log in; nothing is sent.

        Raises:
            NotifyError: it would not, or each step of that may take longer than *within_s*.
        """
        with self._faults(), self._session(min(within_s, self.timeout_s)) as smtp:
            smtp.noop()

    @contextmanager
    def _session(self, timeout_s: float) -> Iterator[smtplib.SMTP]:
        """Connect, encrypt and log in, as far as that is configured; *timeout_s* for each step."""
        with smtplib.SMTP(
            self.server,
            self.port,
            # Without it smtplib asks the name servers, which may hang.
            local_hostname=_ascii(socket.gethostname()),
            timeout=timeout_s,
        ) as smtp:
            if self.starttls:
                smtp.starttls(context=self._tls())
            if self.user is not None:
                self._log_in(smtp, self.user)
            yield smtp

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Raise `NotifyError` for whatever the dialogue raises."""
        try:
            yield
        except smtplib.SMTPRecipientsRefused as error:
            can_retry = all(code < 500 for code, _ in error.recipients.values())
            raise NotifyError(_refused(error.recipients), can_retry=can_retry) from error
        except smtplib.SMTPAuthenticationError as error:
            # The password file may be put right meanwhile.
            msg = f"{self._where}: the login is refused: {_text(error)}"
            raise NotifyError(msg) from error
        except smtplib.SMTPResponseException as error:
            msg = f"{self._where}: {error.smtp_code} {_text(error)}"
            raise NotifyError(msg, can_retry=error.smtp_code < 500) from error
        except (OSError, smtplib.SMTPException, ValueError) as error:
            msg = f"{self._where}: {error}"
            raise NotifyError(msg) from error

    @property
    def _where(self) -> str:
        return f"{self.server}:{self.port}"

    def _tls(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=None if self.ca_file is None else self.ca_file)

    def _log_in(self, smtp: smtplib.SMTP, user: str) -> None:
        if not self.starttls:
            msg = f"{self._where}: no password is sent without starttls"
            raise NotifyError(msg, can_retry=False)
        smtp.login(user, _password(self.password_file))


def compose(
    message: Message, sender: str, recipients: tuple[str, ...]
) -> email.message.EmailMessage:
    """Write the e-mail; whatever the event's texts hold, they add no header and no line."""
    event = message.event
    host, why = one_line(event.hostname), one_line(event.why)
    what = one_line(event.subject if event.alarm else f"{event.source}-{event.to}")
    subject = f"he_fsm {host}: {what}: {why}"
    mail = email.message.EmailMessage(policy=email.policy.SMTP)
    mail["Subject"] = subject if len(subject) <= _SUBJECT_MAX else subject[: _SUBJECT_MAX - 1] + "…"
    mail["From"] = sender
    mail["To"] = ", ".join(recipients)
    mail["Date"] = message.at
    # One id for all tries: a server that has accepted the mail unnoticed recognises it.
    mail["Message-ID"] = f"<{message.id}@{_ascii(sender.rpartition('@')[2].rstrip('> '))}>"
    # Source: RFC 3834; keeps out-of-office notes away.
    mail["Auto-Submitted"] = "auto-generated"
    lines = [
        one_line(event.subject),
        "",
        f"Host: {host} (id {event.host_id})",
        *(_lines_of_alarm(event) if event.alarm else _lines_of_edge(event)),
        f"Why:  {why}",
        f"When: {message.at.isoformat(sep=' ', timespec='seconds')}",
    ]
    mail.set_content("\n".join(lines) + "\n")
    return mail


def _lines_of_edge(event: Event) -> list[str]:
    kind = "failed start" if is_failed_start(event) else "migration" if is_migration(event) else ""
    return [
        f"From: {one_line(event.source)}",
        f"To:   {one_line(event.to)}",
        f"Edge: {one_line(event.edge)}" + (f" ({kind})" if kind else ""),
    ]


def _lines_of_alarm(event: Event) -> list[str]:
    name = one_line(event.alarm)
    what = f"What: {MEANING.get(name, name)}"
    if event.is_over:
        return [what]
    return [what, f"Told: {event.told} times before" if event.told else "Told: for the first time"]


def _password(path: Optional[Path]) -> str:
    if path is None:
        msg = "there is a user to log in, and no password file"
        raise NotifyError(msg, can_retry=False)
    try:
        return read_password(path)
    except ConfigError as error:
        # The file may be corrected before the next try.
        raise NotifyError(str(error)) from error


def _refused(recipients: dict[str, tuple[int, bytes]]) -> str:
    said = ", ".join(
        f"{who}: {code} {one_line(text.decode('utf-8', 'replace'))}"
        for who, (code, text) in sorted(recipients.items())
    )
    return f"recipients refused: {said}"


def _text(error: smtplib.SMTPResponseException) -> str:
    text = error.smtp_error
    return one_line(text.decode("utf-8", "replace") if isinstance(text, bytes) else text)


def _ascii(name: str) -> str:
    """Return a host name that may stand in SMTP's commands and in a message id."""
    return _NOT_IN_NAMES.sub("", name) or "localhost"
