"""`he-fsm capture`: everything that can be had, and no secret, wherever it stands."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Callable
from urllib.parse import quote

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from he_fsm.cli.past import parts
from he_fsm.cli.past.secrets import Secrets, secrets_in
from he_fsm.errors import HeFsmError
from he_fsm.history.book import Recorded, read
from he_fsm.history.frames import KEY, Frame, unframed
from he_fsm.metadata import Whiteboard
from he_fsm.snapshot import Outcome, Result
from tests.cli.conftest import Ran, command_line, environment
from tests.cli.past.kept import configured, keeping
from tests.history.recordings import Looks, recorded, ring_of

Run = Callable[..., Ran]

SECRETS = {
    "admin": "Adm1n-of-the-engine",
    "smtp": "mail pass, with a comma}",
    "hook": "h00k-w0rd",
    "hook word": "second%w0rd",
    "url": "ur1-p@ss",
    "console": "c0ns\"ole's <ticket>",
    "migration": "m1gration-psk-0123456789",
    "migration file": "m1gration-psk-of-a-file",
    "iscsi": "chap\\secret",
    "yaml": "brok3n-yaml-secret",
    "root": "r00t-of-the-guest",
}


def members(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as tar:
        found = {}
        for member in tar:
            content = tar.extractfile(member)
            assert content is not None
            assert member.mode == 0o600
            found[member.name.removeprefix("he-fsm-capture/")] = content.read()
        return found


def unpacked(files: dict[str, bytes]) -> bytes:
    """Return every byte of an archive, and what the frames of rings hold."""
    texts = []
    for name, data in files.items():
        texts += [name.encode(), data]
        if name.endswith(".ring"):
            squeezed = zlib.decompressobj()
            for frame in unframed(data):
                assert isinstance(frame, Frame)
                if frame.kind == KEY:
                    squeezed = zlib.decompressobj()
                texts.append(squeezed.decompress(frame.content))
    return b"\n".join(texts)


def forms(secret: str) -> Iterator[bytes]:
    """A secret as it stands, and as other formats write it."""
    yield secret.encode()
    yield json.dumps(secret)[1:-1].encode()
    yield quote(secret, safe="").encode()
    yield base64.b64encode(secret.encode())


def ring_with(looks: Looks, text: str) -> bytes:
    """Return a ring in which the result of an order, and a reason, say something."""
    session, look = looks[-1]
    facts = look.seen.facts._replace(results=(Result(Outcome.START_FAILED, text),))
    seen = attrs.evolve(look.seen, facts=facts, score_why=text)
    decided = attrs.evolve(look.decided, reason=f"because of {text}")
    return ring_of([*looks, (session, attrs.evolve(look, seen=seen, decided=decided))])


@attrs.frozen
class Taken:
    """What `he-fsm capture` did, and its archive."""

    ran: subprocess.CompletedProcess[bytes]
    out: Path


@pytest.fixture(scope="module")
def taken(tmp_path_factory: pytest.TempPathFactory) -> Taken:
    """Capture a host with a secret in every place that may have one, for all to read it."""
    tmp_path = tmp_path_factory.mktemp("secrets")
    path, out = host_with_secrets(tmp_path), tmp_path / "out.tar.gz"
    ran = subprocess.run(
        [
            *command_line("capture", "--config", path, "-o", out),
            *("--log", str(tmp_path / "agent.log")),
        ],
        env=environment({}),
        umask=0,
        capture_output=True,
        check=False,
        timeout=120,
    )
    return Taken(ran, out)


@pytest.fixture
def no_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask no doctor, which takes its time: another test does."""

    def unasked(_: Any) -> None:
        msg = "not asked"
        raise HeFsmError(msg)

    monkeypatch.setattr(parts.Captor, "_doctor", unasked)


def host_with_secrets(tmp_path: Path) -> Path:
    """Make such a host; return its configuration."""
    etc, ovirt = tmp_path / "etc", tmp_path / "ovirt"
    for folder in (etc, ovirt):
        folder.mkdir()
    smtp_file = etc / "mail.txt"
    smtp_file.write_text(SECRETS["smtp"] + "\n")
    smtp_file.chmod(0o640)
    path = configured(
        tmp_path,
        notify={
            "smtp": {"user": "u", "starttls": True, "password_file": str(smtp_file)},
            "hook": [
                *("/bin/true", f"--api-token={SECRETS['hook']}"),
                *("--password", SECRETS["hook word"]),
            ],
        },
        engine={
            "health": {"url": f"http://admin:{quote(SECRETS['url'], safe='')}@127.0.0.1:9/health"}
        },
        ovirt={
            "dir": str(ovirt),
            "agent_dir": str(ovirt),
            "state_dir": str(ovirt),
            "run_dir": str(ovirt),
        },
    )
    (ovirt / "answers.conf").write_text(
        "[environment:default]\n"
        f"OVEHOSTED_ENGINE/adminPassword=str:{SECRETS['admin']}\n"
        f"OVEHOSTED_STORAGE/iSCSIPortalPassword=str:{SECRETS['iscsi']}\n"
        f"#OVEHOSTED_VM/cloudinitRootPwd=str:{SECRETS['root']}\n"
        "OVEHOSTED_VM/consoleType=str:vnc\n"
    )
    (tmp_path / "migration.conf").write_text(f"migration_psk: {SECRETS['migration']}\n")
    (tmp_path / "run" / "psk.key").write_text(SECRETS["migration file"])
    (tmp_path / "move.yaml").write_text(f"move: {{secret: {tmp_path}/run/psk.key}}\n")
    (tmp_path / "console-password").write_text(SECRETS["console"] + "\n")
    (tmp_path / "notes.yaml").write_text(f"secret: |\n  {SECRETS['yaml']}\n")
    everything = " ; ".join(SECRETS.values())
    ring = tmp_path / "state" / "history"
    ring.mkdir()
    (ring / "000000000001.ring").write_bytes(ring_with(recorded()["2"], everything))
    record = recorded()["2"][-1][1].seen.own
    assert record is not None
    board = Whiteboard.build([record._replace(text=f"score-why={everything}\n")])
    (tmp_path / "shared" / "whiteboard").write_bytes(board)
    log = [form.decode() for secret in SECRETS.values() for form in forms(secret)]
    log += [
        "set_password: {'password': 'never-seen-before-1'}",
        "<graphics type='vnc' passwd='never-seen-before-2'/>",
        "GET http://user:never-seen-before-3@host/",
        "Authorization: Basic never-seen-before-4",
        "-----BEGIN PRIVATE KEY-----\nnever-seen-before-5\n-----END PRIVATE KEY-----",
        "the password is void",
    ]
    (tmp_path / "agent.log").write_text("\n".join(log) + "\n")
    return path


def test_no_secret_is_in_any_byte_of_the_archive_nor_printed(taken: Taken) -> None:
    ran = taken.ran
    assert ran.returncode == 0, ran.stderr
    files = members(taken.out)
    # Each place that had one is there.
    assert {
        *("manifest.json", "configuration.json", "whiteboard", "doctor.json", "versions.json"),
        *("ring/000000000001.ring", "log/1-agent.log"),
    } <= set(files)
    content = unpacked(files)
    found = [
        (name, form)
        for name, secret in SECRETS.items()
        for form in forms(secret)
        if form in content or form in ran.stdout or form in ran.stderr
    ]
    assert found == []
    assert b"never-seen-before" not in content
    assert b"the password is void" in content


def test_what_is_taken_out_leaves_the_rest_to_be_read(run: Run, taken: Taken) -> None:
    files = members(taken.out)
    looks = [each for each in read(files["ring/000000000001.ring"]) if isinstance(each, Recorded)]
    assert len(looks) == len(recorded()["2"]) + 1
    assert "(left out)" in looks[-1].look.decided.reason
    assert [each.look for each in looks[:-1]] == [look for _, look in recorded()["2"]]
    values = json.loads(files["configuration.json"])["values"]
    assert values["host"]["hostname"] == "host2"
    assert values["notify"]["hook"] == [
        *("/bin/true", "--api-token=(left out)", "--password", "(left out)")
    ]
    assert values["notify"]["smtp"]["password_file"].endswith("mail.txt")
    assert Whiteboard.parse(files["whiteboard"]).records[2].score == 1400
    assert run("replay", taken.out).status in (0, 1)


def test_only_its_owner_can_read_it_whatever_the_umask_is(taken: Taken) -> None:
    assert taken.out.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("no_doctor")
def test_a_ring_without_secrets_is_copied_byte_for_byte(run: Run, tmp_path: Path) -> None:
    path, out = keeping(tmp_path), tmp_path / "out.tar.gz"
    run("capture", "--config", path, "-o", out)
    assert members(out)["ring/000000000001.ring"] == ring_of(recorded()["2"])


@pytest.mark.usefixtures("no_doctor")
def test_what_can_not_be_had_is_named_in_the_archive_and_the_rest_is_there(
    run: Run, tmp_path: Path
) -> None:
    path, out = configured(tmp_path), tmp_path / "out.tar.gz"
    ran = run("capture", "--config", path, "-o", out, "--log", tmp_path / "no.log")
    assert ran.status == 0
    files = members(out)
    missing = json.loads(files["manifest.json"])["missing"]
    assert set(missing) == {"whiteboard", "status", "ring", "memory", "log", "doctor"}
    assert missing["log"] == f"{tmp_path}/no.log: can't be read: No such file or directory"
    assert [line.split(":")[1] for line in ran.err.splitlines()] == [
        f" without {name}" for name in missing
    ]
    assert sorted(files) == sorted([*json.loads(files["manifest.json"])["files"], "manifest.json"])


@pytest.mark.usefixtures("no_doctor")
def test_a_configuration_that_can_not_be_used_goes_in_as_it_stands_without_secrets(
    run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "he-fsm.yaml"
    path.write_text("host: {id: none\nsmtp_password: hunter22\n")
    out = tmp_path / "out.tar.gz"
    assert run("capture", "--config", path, "-o", out).status == 0
    files = members(out)
    assert files["configuration.txt"].decode().splitlines() == [
        "host: {id: none",
        "smtp_password: (left out)",
    ]
    missing = json.loads(files["manifest.json"])["missing"]
    assert missing["ring"].startswith(f"{path}:")


@pytest.mark.usefixtures("no_doctor")
def test_a_part_with_a_bug_costs_no_other(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: Any) -> None:
        msg = "oops"
        raise ZeroDivisionError(msg)

    monkeypatch.setattr(parts.Captor, "_memory", broken)
    out = tmp_path / "out.tar.gz"
    assert run("capture", "--config", keeping(tmp_path), "-o", out).status == 0
    missing = json.loads(members(out)["manifest.json"])["missing"]
    assert missing["memory"] == "this part fails: ZeroDivisionError: oops"


def test_nothing_is_written_over(refused: Callable[..., str], tmp_path: Path) -> None:
    path = configured(tmp_path)
    said = refused("capture", "--config", path, "-o", path)
    assert said == f"{path} exists: choose another name (--output FILE)"


@pytest.mark.usefixtures("no_doctor")
def test_a_folder_that_is_not_there_is_named(refused: Callable[..., str], tmp_path: Path) -> None:
    out = tmp_path / "no" / "out.tar.gz"
    said = refused("capture", "--config", configured(tmp_path), "-o", out)
    assert said == f"can't write {out}: No such file or directory"


@pytest.mark.usefixtures("no_doctor")
def test_without_a_name_it_has_the_host_and_the_time(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = configured(tmp_path)
    monkeypatch.chdir(tmp_path / "run")
    assert run("capture", "--config", path).status == 0
    [out] = (tmp_path / "run").glob("*.tar.gz")
    assert out.name.startswith("he-fsm-host2-20")


# Letters of a password that any format quotes in its own way.
passwords = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Zs", "Zl", "Zp")),
    min_size=6,
    max_size=20,
).filter(lambda text: text.isprintable() and text.lower() != "(left out)")


@given(passwords)
@settings(max_examples=25)
def test_any_password_of_a_configuration_is_found_and_taken_out(secret: str) -> None:
    import yaml

    for text in (
        yaml.safe_dump({"a": [{"admin_password": secret}]}),
        yaml.safe_dump({"hook": ["x", "--token", secret]}, default_flow_style=True),
        f"OVEHOSTED_ENGINE/adminPassword=str:{secret}\n",
    ):
        secrets = Secrets(secrets_in(text, Path("/nowhere")))
        clean = secrets.without(f"before {secret} after")
        assert secret not in clean
        assert secret.encode() not in secrets.blotted(f"x{secret}y".encode())
        assert secret not in json.dumps(secrets.without_in({"a": secret}), ensure_ascii=False)


def test_a_huge_line_takes_no_time() -> None:
    secrets = Secrets(())
    text = "a/b" * 300_000
    assert secrets.without(text) == text


def test_the_first_half_line_of_a_log_s_end_is_left_out(tmp_path: Path) -> None:
    from he_fsm.cli.past import logs

    path = tmp_path / "a.log"
    path.write_bytes(b"x" * logs._TAIL_BYTES + b"\nlast\n")
    assert logs.tail(path) == "last\n"


def test_the_log_of_a_daemon_is_found_by_the_lock_that_it_holds(tmp_path: Path) -> None:
    from he_fsm.cli.past import logs
    from he_fsm.testing.waiting import until

    lock, log = tmp_path / "agent.lock", tmp_path / "agent.log"
    code = (
        "import sys; from pathlib import Path\n"
        "from he_fsm.runtime.service.lock import Claim\n"
        f"Claim.take(Path({str(lock)!r}), 'x')\n"
        "sys.stdin.read()"
    )
    with log.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stderr=file)
    try:
        until(lambda: logs.log_file(lock) is not None)
        assert logs.log_file(lock) == log
    finally:
        process.communicate()
    assert logs.log_file(lock) is None
