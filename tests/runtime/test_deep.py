"""`he-fsm config check --deep`: what the file only names is looked at."""

from __future__ import annotations

import socket
from pathlib import Path

import attrs
import pytest
from click.testing import CliRunner

from he_fsm import OVIRT, __version__
from he_fsm.cli.config import config as config_command
from he_fsm.metadata import SLOT_BYTES, EngineStatus, HostRecord, Whiteboard, encode_slot
from he_fsm.metadata.policy_print import policy_print
from he_fsm.runtime.config import Config, parse_config
from he_fsm.runtime.deep import deep_findings, named_once
from he_fsm.runtime.ports import Finding

DOWN = EngineStatus("down", "bad", "unknown", "vm not running on this host")
TEXT = """\
host: {id: 1, hostname: one}
ovirt: none
run_dir: run
state_dir: state
storage: {path: shared}
monitors: {network: {test: none}, bridge: {name: lo}}
engine: {health: {url: 'http://127.0.0.1:1/'}}
"""
EMBEDDED = "hypervisor: {hosts_dir: hosts}\n"


def record(host_id: int, hostname: str, score: int = 2400) -> HostRecord:
    return HostRecord(host_id=host_id, timestamp=7, score=score, engine=DOWN, hostname=hostname)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder in which nothing is missing."""
    for name in ("run", "state", "shared", "shared/leases"):
        (tmp_path / name).mkdir()
    write(tmp_path, record(1, "one"), record(2, "two"))
    return tmp_path


def write(folder: Path, *records: HostRecord) -> None:
    (folder / "shared" / "whiteboard").write_bytes(Whiteboard.build(records))


def read(folder: Path, text: str = TEXT + EMBEDDED) -> Config:
    return parse_config(text, "f.yaml", folder)


def said(config: Config) -> list[str]:
    return [str(finding) for finding in deep_findings(config)]


def test_where_nothing_is_missing_nothing_is_said(folder: Path) -> None:
    assert said(read(folder)) == []


@pytest.mark.parametrize(
    ("gone", "says"),
    [
        ("state", "state_dir: "),
        ("shared/leases", "he-fsm storage init, once, on one host"),
        ("shared/whiteboard", "storage.whiteboard: "),
    ],
)
def test_a_path_that_is_not_there_is_named_with_its_key(folder: Path, gone: str, says: str) -> None:
    path = folder / gone
    if path.is_dir():
        path.rmdir()
    else:
        path.unlink()
    (line,) = said(read(folder))
    assert says in line
    assert f"{path}: No such file or directory" in line


def test_a_disk_a_tap_and_an_interface_are_looked_for(folder: Path) -> None:
    vm = (
        "hypervisor: {kind: qemu, vm: {disks: [{path: engine.raw}],"
        " nics: [{kind: tap, name: nosuchtap}]}}\n"
    )
    text = TEXT.replace("name: lo", "name: nosuchbridge") + vm + "leases: sanlock\n"
    found = said(read(folder, text))
    assert any("vm.disks[0].path: " in line and "engine.raw: No such" in line for line in found)
    assert any("vm.nics[0].name: this host has no network interface nosuchtap" in f for f in found)
    assert any("monitors.bridge.name: this host has no network interface" in f for f in found)


def test_the_command_names_each_finding_once(folder: Path) -> None:
    vm = (
        "leases: sanlock\nhypervisor: {kind: qemu, vm: {kernel: kernel, nics: [],"
        " disks: [{path: engine.raw}]},"
        " move: {peers: 'tcp:127.0.0.{id}:1', secret_file: secret, tls: tls}}\n"
    )
    path = folder / "he-fsm.yaml"
    path.write_text(TEXT + vm)
    lines = check_deep(path)
    for name in ("kernel", "engine.raw", "secret", "tls"):
        (line,) = [line for line in lines if str(folder / name) in line]
        assert line.startswith("missing here: hypervisor.")
    # Without --deep, they are named by those who need them.
    plain = CliRunner().invoke(config_command, ["check", "--config", str(path)]).output
    assert f"the VM's disk {folder}/engine.raw can't be found" in plain
    assert f"the secret of migrations can't be read: {folder}/secret: No such file" in plain
    # What is there is looked at by those who need it.
    (folder / "secret").write_text("short")
    (folder / "secret").chmod(0o644)
    (line,) = [line for line in check_deep(path) if str(folder / "secret") in line]
    assert line.startswith("missing here: others can read the secret of migrations: chmod 600")


def check_deep(path: Path) -> list[str]:
    arguments = ["check", "--deep", "--config", str(path)]
    return CliRunner().invoke(config_command, arguments).output.splitlines()


def test_what_keeps_the_host_from_starting_is_the_finding_that_is_named() -> None:
    path = Path("/a/b")
    note = Finding(what="a note", is_fatal=False, path=path)
    fatal = Finding(what="fatal", path=path)
    other = Finding(what="no path")
    assert named_once([note, other], [fatal]) == [other, fatal]
    assert named_once([fatal, other], [note]) == [fatal, other]
    below = Finding(what="below", path=path / "c")
    assert named_once([below], [fatal]) == [fatal]
    assert named_once([fatal], [below]) == [fatal, below]


def test_names_that_do_not_resolve_are_named(folder: Path) -> None:
    text = TEXT.replace("127.0.0.1:1", "engine.invalid") + EMBEDDED
    (line,) = said(read(folder, text))
    assert line == "engine.health.url: the name engine.invalid does not resolve"


def test_other_hosts_are_compared(folder: Path) -> None:
    config = read(folder)
    write(folder, record(1, "one"), record(2, "two", 3400))
    (line,) = said(config)
    assert line.startswith("policy: host 2 (two) has score 3400, above 2400, the highest of policy")
    told = record(2, "two")._replace(watchdog_s=10.0)
    write(folder, record(1, "one"), told)
    (line,) = said(config)
    assert line.startswith("policy.watchdog_s: host 2 (two) says 10 s, this host 60 s")
    # What a host that stopped wrote says nothing about the present.
    write(folder, record(1, "one"), told._replace(stopped=True))
    assert said(config) == []


def test_hosts_with_another_policy_are_named(folder: Path) -> None:
    config = read(folder)
    ours, theirs = policy_print(config.policy), policy_print(OVIRT)
    prints = {1: theirs, 2: ours, 3: theirs, 4: "", 5: "0123abcd"}
    board = bytearray(Whiteboard.build([record(1, "one")])) + bytes(5 * SLOT_BYTES)
    for number, each in prints.items():
        slot = encode_slot(record(number, f"h{number}"), policy_print=each)
        board[number * SLOT_BYTES : (number + 1) * SLOT_BYTES] = slot
    (folder / "shared" / "whiteboard").write_bytes(board)
    [line] = [line for line in said(config) if line.startswith("policy: ")]
    assert line.startswith("policy: hosts 3, 5 have another policy than this host: compare the")
    # One whose score says it is named by that alone.
    slot = encode_slot(record(3, "h3", 3400), policy_print=theirs)
    board[3 * SLOT_BYTES : 4 * SLOT_BYTES] = slot
    (folder / "shared" / "whiteboard").write_bytes(board)
    lines = [line for line in said(config) if line.startswith("policy: ")]
    assert [line.partition(":")[2].partition(" another")[0] for line in lines] == [
        " host 3 (h3) has score 3400, above 2400, the highest of policy talk: it has",
        " host 5 has",
    ]


def test_hosts_of_another_release_are_named(folder: Path) -> None:
    releases = {2: __version__, 3: "9.9", 4: ""}
    blocks = [
        encode_slot(record(number, f"h{number}"), release=each) for number, each in releases.items()
    ]
    board = Whiteboard.build([record(1, "one")])[: 2 * SLOT_BYTES] + b"".join(blocks)
    (folder / "shared" / "whiteboard").write_bytes(board)
    [line] = said(read(folder))
    assert line.startswith(
        f"host 3 (h3) has release 9.9 of he_fsm, this host {__version__}: upgrade all hosts"
    )


def test_an_id_that_another_host_had_and_a_board_that_is_too_short_are_named(
    folder: Path,
) -> None:
    config = read(folder)
    write(folder, record(1, "another"))
    (line,) = said(config)
    assert line.startswith("host.id: slot 1 was last written by 'another', not by 'one'")
    host = attrs.evolve(config.host, id=9)
    (line,) = said(attrs.evolve(config, host=host))
    assert line.startswith("storage.whiteboard: it has no room for host id 9")


def test_peers_are_asked(folder: Path) -> None:
    write(folder, record(1, "one"), record(2, "two"))
    (folder / "secret").write_text("x")
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        vm = (
            "leases: sanlock\nhypervisor: {kind: qemu, vm: {nics: [], disks: [{path: secret}]},"
            f" move: {{peers: 'tcp:127.0.0.{{id}}:{port}', secret_file: secret}}}}\n"
        )
        config = read(folder, TEXT + vm)
        assert not any("move.peers" in line for line in said(config))
    assert any("move.peers: host 2 at tcp:127.0.0.2:" in line for line in said(config))


def test_the_command_ends_with_1_where_something_has_to_be_mended(folder: Path) -> None:
    path = folder / "he-fsm.yaml"
    path.write_text(TEXT + EMBEDDED)
    arguments = ["check", "--config", str(path)]
    assert CliRunner().invoke(config_command, [*arguments, "--deep"]).exit_code == 0
    (folder / "state").rmdir()
    result = CliRunner().invoke(config_command, [*arguments, "--deep"])
    assert result.exit_code == 1
    assert "missing here: state_dir: " in result.output
    assert CliRunner().invoke(config_command, arguments).exit_code == 0
