"""E-mail to a real SMTP server on the loopback."""

from __future__ import annotations

import datetime as dt
import email.message
import email.policy
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable, Optional

import aiosmtpd.controller
import aiosmtpd.smtp
import attrs
import pytest
import trustme

from he_fsm.alarms import MEANING
from he_fsm.errors import NotifyError
from he_fsm.runtime.config import (
    Config,
    HostConfig,
    NotifyConfig,
    SmtpConfig,
    StorageConfig,
)
from he_fsm.runtime.notify.hook import Hook
from he_fsm.runtime.notify.mail import Mail, compose
from he_fsm.runtime.notify.make import make_channels, make_notifier
from he_fsm.runtime.notify.notifier import probed
from he_fsm.runtime.ports import Event, Message
from he_fsm.testing.waiting import until

EVENT = Event(
    subject="EngineUp-EngineDown",
    host_id=2,
    hostname="node2.example.com",
    source="EngineUp",
    to="EngineDown",
    edge="vm_gone",
    why="the VM is gone",
)
MESSAGE = Message(
    EVENT, at=dt.datetime(2026, 5, 1, 14, 0, tzinfo=dt.timezone(dt.timedelta(hours=2))), id="0123"
)
PASSWORD = "correct horse"  # noqa: S105 - of the server below


class Mailbox:
    """What a server received, and how it answers."""

    def __init__(self) -> None:
        self.envelopes: list[aiosmtpd.smtp.Envelope] = []
        self.was_encrypted: list[bool] = []
        self.users: list[str] = []
        self.refusals: dict[str, str] = {}
        self.answer = "250 taken"

    async def handle_RCPT(  # noqa: N802 - the library's name
        self, _server: Any, _session: Any, envelope: Any, address: str, _options: Any
    ) -> str:
        if address in self.refusals:
            return self.refusals[address]
        envelope.rcpt_tos.append(address)
        return "250 fine"

    async def handle_DATA(self, _server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        if self.answer.startswith("2"):
            self.envelopes.append(envelope)
            self.was_encrypted.append(session.ssl is not None)
        return self.answer

    def authenticate(
        self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, data: Any
    ) -> aiosmtpd.smtp.AuthResult:
        is_right = data.password == PASSWORD.encode()
        if is_right:
            self.users.append(data.login.decode())
        return aiosmtpd.smtp.AuthResult(success=is_right, handled=False)

    def mail(self) -> email.message.EmailMessage:
        content = self.envelopes[-1].content
        assert isinstance(content, bytes)
        mail = email.message_from_bytes(content, policy=email.policy.default)
        assert isinstance(mail, email.message.EmailMessage)
        return mail


Serve = Callable[..., int]


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def ca_file(authority: trustme.CA, tmp_path: Path) -> Path:
    path = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return path


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def serve(mailbox: Mailbox) -> Iterator[Serve]:
    controllers: list[aiosmtpd.controller.Controller] = []

    def begin(**options: Any) -> int:
        controller = aiosmtpd.controller.Controller(
            mailbox, hostname="127.0.0.1", port=free_port(), server_hostname="mail", **options
        )
        controller.start()
        controllers.append(controller)
        return int(controller.port)

    yield begin
    for controller in controllers:
        controller.stop()


@pytest.fixture
def tls_port(serve: Serve, authority: trustme.CA, mailbox: Mailbox) -> int:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    return serve(
        tls_context=context,
        require_starttls=True,
        auth_required=True,
        authenticator=mailbox.authenticate,
    )


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def to(port: int, **settings: Any) -> Mail:
    given = {
        "server": "127.0.0.1",
        "port": port,
        "sender": "he-fsm@example.com",
        "recipients": ("admin@example.com", "night@example.com"),
        "timeout_s": 10.0,
        **settings,
    }
    return Mail(**given)


def test_a_mail_arrives(serve: Serve, mailbox: Mailbox) -> None:
    to(serve()).send(MESSAGE)
    (envelope,) = mailbox.envelopes
    assert envelope.mail_from == "he-fsm@example.com"
    assert envelope.rcpt_tos == ["admin@example.com", "night@example.com"]
    mail = mailbox.mail()
    assert mail["Subject"] == "he_fsm node2.example.com: EngineUp-EngineDown: the VM is gone"
    assert mail["From"] == "he-fsm@example.com"
    assert mail["To"] == "admin@example.com, night@example.com"
    assert mail["Date"] == "Fri, 01 May 2026 14:00:00 +0200"
    assert mail["Message-ID"] == "<0123@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail.get_content().splitlines() == [
        "EngineUp-EngineDown",
        "",
        "Host: node2.example.com (id 2)",
        "From: EngineUp",
        "To:   EngineDown",
        "Edge: vm_gone",
        "Why:  the VM is gone",
        "When: 2026-05-01 14:00:00+02:00",
    ]


ALARM = Event(
    subject="Alarm: engine-down",
    host_id=2,
    hostname="node2.example.com",
    alarm="engine-down",
    told=2,
    why="the engine runs nowhere. To end it: he-fsm maintenance local --off, on host 1",
)


def test_an_alarm_says_what_is_wrong_how_often_it_was_told_and_what_ends_it(
    serve: Serve, mailbox: Mailbox
) -> None:
    to(serve()).send(attrs.evolve(MESSAGE, event=ALARM))
    mail = mailbox.mail()
    assert mail["Subject"] == (
        "he_fsm node2.example.com: Alarm: engine-down: the engine runs nowhere. To end it: he-fsm "
        "maintenance local --off, on ho…"
    )
    assert mail.get_content().splitlines() == [
        "Alarm: engine-down",
        "",
        "Host: node2.example.com (id 2)",
        f"What: {MEANING['engine-down']}",
        "Told: 2 times before",
        "Why:  the engine runs nowhere. To end it: he-fsm maintenance local --off, on host 1",
        "When: 2026-05-01 14:00:00+02:00",
    ]


@pytest.mark.parametrize(
    ("changes", "told"),
    [({"told": 0}, "Told: for the first time"), ({"told": 0, "is_over": True}, None)],
)
def test_how_often_an_alarm_was_told_is_said_while_it_lasts(
    changes: dict[str, Any], told: Optional[str]
) -> None:
    event = attrs.evolve(ALARM, **changes)
    lines = compose(Message(event), "a@b", ("c@d",)).get_content().splitlines()
    assert [line for line in lines if line.startswith("Told: ")] == ([told] if told else [])


@pytest.mark.parametrize(
    ("source", "to_state", "edge", "kind"),
    [
        ("EngineStarting", "EngineDown", "start_failed", "start_failed (failed start)"),
        ("EngineUp", "EngineMigratingAway", "better_host", "better_host (migration)"),
    ],
)
def test_a_mail_says_what_kind_of_event_it_is(
    source: str, to_state: str, edge: str, kind: str
) -> None:
    event = attrs.evolve(EVENT, source=source, to=to_state, edge=edge)
    assert f"Edge: {kind}" in compose(Message(event), "a@b", ("c@d",)).get_content()


def test_names_add_neither_headers_nor_lines(serve: Serve, mailbox: Mailbox) -> None:
    evil = "node\r\nBcc: all@example.com\r\n\r\nforged"
    event = attrs.evolve(EVENT, hostname=evil, why=evil, edge=evil, subject=evil, source=evil)
    to(serve()).send(Message(event))
    mail = mailbox.mail()
    assert mail["Bcc"] is None
    assert set(mail.keys()) <= {
        "Subject",
        "From",
        "To",
        "Date",
        "Message-ID",
        "Auto-Submitted",
        "MIME-Version",
        "Content-Type",
        "Content-Transfer-Encoding",
        "X-Peer",
        "X-MailFrom",
        "X-RcptTo",
    }
    assert len(mail.get_content().splitlines()) == 8
    assert mailbox.envelopes[0].rcpt_tos == ["admin@example.com", "night@example.com"]


def test_names_of_all_scripts_arrive(serve: Serve, mailbox: Mailbox) -> None:
    event = attrs.evolve(EVENT, hostname="ホスト2.example.com", why="größer")
    to(serve()).send(Message(event))
    assert mailbox.mail()["Subject"] == "he_fsm ホスト2.example.com: EngineUp-EngineDown: größer"
    assert "Why:  größer" in mailbox.mail().get_content()


def test_a_long_reason_stays_in_the_text() -> None:
    mail = compose(Message(attrs.evolve(EVENT, why="x" * 5000)), "a@b", ("c@d",))
    assert len(mail["Subject"]) == 120
    assert mail["Subject"].endswith("…")
    assert "x" * 5000 in mail.get_content()


def test_a_mail_that_is_sent_twice_is_the_same_mail(serve: Serve, mailbox: Mailbox) -> None:
    mail = to(serve())
    mail.send(MESSAGE)
    mail.send(MESSAGE)
    first, second = (envelope.content for envelope in mailbox.envelopes)
    # Whoever reads them sees one: a try may have succeeded without our knowing.
    assert first == second


def test_the_dialogue_is_encrypted_and_logged_in(
    tls_port: int, mailbox: Mailbox, ca_file: Path, password_file: Path
) -> None:
    to(tls_port, starttls=True, ca_file=ca_file, user="he-fsm", password_file=password_file).send(
        MESSAGE
    )
    assert mailbox.was_encrypted == [True]
    assert mailbox.users == ["he-fsm"]


def test_the_password_is_read_for_each_mail(
    tls_port: int, mailbox: Mailbox, ca_file: Path, password_file: Path
) -> None:
    password_file.write_text("wrong\n")
    mail = to(tls_port, starttls=True, ca_file=ca_file, user="he-fsm", password_file=password_file)
    with pytest.raises(NotifyError, match="the login is refused: ") as raised:
        mail.send(MESSAGE)
    assert raised.value.can_retry
    password_file.write_text(PASSWORD)
    mail.send(MESSAGE)
    assert len(mailbox.envelopes) == 1


def test_a_password_that_others_can_read_is_not_used(
    tls_port: int, ca_file: Path, password_file: Path
) -> None:
    password_file.chmod(0o644)
    mail = to(tls_port, starttls=True, ca_file=ca_file, user="he-fsm", password_file=password_file)
    with pytest.raises(NotifyError, match="others can read"):
        mail.send(MESSAGE)


def test_a_server_that_nobody_vouches_for_gets_nothing(
    tls_port: int, mailbox: Mailbox, password_file: Path
) -> None:
    mail = to(tls_port, starttls=True, user="he-fsm", password_file=password_file)
    with pytest.raises(NotifyError, match="CERTIFICATE_VERIFY_FAILED"):
        mail.send(MESSAGE)
    assert (mailbox.users, mailbox.envelopes) == ([], [])


def test_a_server_without_encryption_is_not_used(serve: Serve, mailbox: Mailbox) -> None:
    with pytest.raises(NotifyError, match="STARTTLS"):
        to(serve(), starttls=True).send(MESSAGE)
    assert mailbox.envelopes == []


def test_no_password_is_sent_in_the_clear(
    serve: Serve, mailbox: Mailbox, password_file: Path
) -> None:
    port = serve(authenticator=mailbox.authenticate, auth_require_tls=False)
    with pytest.raises(NotifyError, match="no password is sent without starttls") as raised:
        to(port, user="he-fsm", password_file=password_file).send(MESSAGE)
    assert not raised.value.can_retry
    assert mailbox.users == []


def test_a_login_needs_a_password(tls_port: int, ca_file: Path) -> None:
    with pytest.raises(NotifyError, match="no password file"):
        to(tls_port, starttls=True, ca_file=ca_file, user="he-fsm").send(MESSAGE)


@pytest.mark.parametrize(
    ("answer", "can_retry"), [("451 busy\x1b", True), ("552 full of mail", False)]
)
def test_a_refusal_says_whether_to_try_again(
    serve: Serve, mailbox: Mailbox, answer: str, can_retry: bool
) -> None:
    mailbox.answer = answer
    with pytest.raises(NotifyError, match=f": {answer[:8]}") as raised:
        to(serve()).send(MESSAGE)
    assert raised.value.can_retry is can_retry


def test_those_who_are_not_refused_get_the_mail_once(serve: Serve, mailbox: Mailbox) -> None:
    mailbox.refusals = {"night@example.com": "450 asleep"}
    with pytest.raises(NotifyError, match=r"refused: night@example\.com: 450 asleep") as raised:
        to(serve()).send(MESSAGE)
    assert not raised.value.can_retry
    assert mailbox.envelopes[0].rcpt_tos == ["admin@example.com"]


@pytest.mark.parametrize(("code", "can_retry"), [(450, True), (550, False)])
def test_everybody_refused_may_be_for_now_or_for_good(
    serve: Serve, mailbox: Mailbox, code: int, can_retry: bool
) -> None:
    mailbox.refusals = dict.fromkeys(("admin@example.com", "night@example.com"), f"{code} no")
    with pytest.raises(NotifyError, match=f"admin@example.com: {code} no, night@") as raised:
        to(serve()).send(MESSAGE)
    assert raised.value.can_retry is can_retry


def test_a_server_that_is_not_there_may_come_back() -> None:
    with pytest.raises(NotifyError, match="Connection refused") as raised:
        to(free_port()).send(MESSAGE)
    assert raised.value.can_retry


def test_a_server_that_says_nothing_is_given_up_in_time() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        with pytest.raises(NotifyError, match="timed out") as raised:
            to(listener.getsockname()[1], timeout_s=0.3).send(MESSAGE)
        assert raised.value.can_retry


def configured(tmp_path: Path, **settings: Any) -> Config:
    return Config(
        host=HostConfig(id=1, hostname="a"),
        storage=StorageConfig(path=tmp_path),
        notify=NotifyConfig(**settings),
    )


def test_the_configuration_chooses_the_channels(tmp_path: Path, password_file: Path) -> None:
    assert make_channels(configured(tmp_path)) == ()
    smtp = SmtpConfig(
        server="mail.example.com",
        port=587,
        starttls=True,
        user="he-fsm",
        password_file=password_file,
        sender="he-fsm@example.com",
        recipients=("admin@example.com",),
        timeout_s=7.0,
    )
    # In the order of their kinds' names; each has a queue of its own.
    assert make_channels(configured(tmp_path, smtp=smtp, hook=("page", "me"))) == (
        Hook(argv=("page", "me")),
        Mail(
            server="mail.example.com",
            port=587,
            starttls=True,
            user="he-fsm",
            password_file=password_file,
            sender="he-fsm@example.com",
            recipients=("admin@example.com",),
            timeout_s=7.0,
        ),
    )


def test_an_event_becomes_a_mail(tmp_path: Path, serve: Serve, mailbox: Mailbox) -> None:
    smtp = SmtpConfig(server="127.0.0.1", port=serve(), recipients=("admin@example.com",))
    notifier = make_notifier(configured(tmp_path, smtp=smtp))
    notifier.tell(EVENT)
    notifier.tell(EVENT)
    until(lambda: mailbox.envelopes)
    notifier.close()
    assert len(mailbox.envelopes) == 1


def test_a_probe_greets_encrypts_and_logs_in_and_sends_nothing(
    tls_port: int, mailbox: Mailbox, ca_file: Path, password_file: Path
) -> None:
    mail = to(tls_port, starttls=True, ca_file=ca_file, user="fsm", password_file=password_file)
    mail.probe(10.0)
    assert mailbox.users == ["fsm"]
    assert mailbox.envelopes == []


def test_a_probe_says_why_no_mail_would_be_taken(
    tls_port: int, ca_file: Path, password_file: Path
) -> None:
    password_file.write_text("wrong\n")
    mail = to(tls_port, starttls=True, ca_file=ca_file, user="fsm", password_file=password_file)
    port = free_port()
    hook = Hook(argv=("/no/such/program",))
    names = {attrs.evolve(mail, name="login"), to(port, name="nobody"), hook}
    found = probed(names, 10.0)
    assert "the login is refused" in str(found["login"])
    assert f"127.0.0.1:{port}: " in str(found["nobody"])
    assert str(found["hook"]).startswith("/no/such/program can't be run")
    assert probed([Hook(argv=("/bin/true",))], 1.0) == {"hook": None}
