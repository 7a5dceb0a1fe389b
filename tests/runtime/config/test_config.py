from __future__ import annotations

import os
import runpy
from pathlib import Path
from typing import Any, Callable

import attrs
import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from he_fsm.document.mappings import written_fields
from he_fsm.errors import ConfigError
from he_fsm.policy import OVIRT, PROFILES, TALK, Policy
from he_fsm.runtime import registry
from he_fsm.runtime.config import (
    BridgeMonitorConfig,
    Config,
    HostConfig,
    OvirtConfig,
    SmtpConfig,
    StorageConfig,
    annotated_yaml,
    json_schema,
    load_config,
    parse_config,
)
from he_fsm.runtime.config.kind_form import KindForm, KindName
from he_fsm.runtime.leases.files.movable import MovableEmbedded
from he_fsm.runtime.leases.sanlock.hold import SanlockHolder
from he_fsm.runtime.leases.sanlock.section import settings_of
from he_fsm.runtime.leases.sanlock.settings import SanlockSettings
from he_fsm.runtime.monitors.section import NetworkMonitorConfig
from he_fsm.runtime.notify.passwords import read_password
from he_fsm.runtime.parts import make_hypervisor, make_movable_lease

ROOT = Path(__file__).parents[3]
EXAMPLE = ROOT / "examples" / "he-fsm.yaml"
FOLDER = Path("/srv/configuration")
LEAST = """\
host: {id: 3}
storage: {path: /srv/he-fsm}
monitors: {network: {test: none}}
ovirt: none
"""


def read(more: str = "", least: str = LEAST) -> Config:
    return parse_config(least + more, "f.yaml", FOLDER)


def said_about(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "f.yaml", FOLDER)
    return str(caught.value)


def test_what_is_left_out_has_its_default() -> None:
    config = read()
    assert config == Config(
        host=HostConfig(id=3),
        storage=StorageConfig(path=Path("/srv/he-fsm")),
        monitors=attrs.evolve(config.monitors, network=NetworkMonitorConfig(test="none")),
        ovirt=None,
    )
    assert config.run_dir == Path("/run/he-fsm")
    assert config.state_dir == Path("/var/lib/he-fsm")
    assert config.group == "he-fsm"
    assert config.host.hostname == os.uname().nodename
    assert config.storage.whiteboard == Path("/srv/he-fsm/whiteboard")
    assert config.storage.leases == Path("/srv/he-fsm/leases")
    assert config.broker_socket == Path("/run/he-fsm/broker.sock")
    assert config.policy == TALK
    assert config.notify.smtp is None


def test_empty_sections_have_their_defaults() -> None:
    assert read("notify:\nlog:\nengine: {health: }\n") == read()


def test_the_health_page_of_the_embedded_vm_is_used_where_no_other_is_named() -> None:
    assert read("hypervisor: {port: 81}").health_url == (
        "http://127.0.0.1:81/ovirt-engine/services/health"
    )
    named = read("engine: {health: {url: 'https://engine.example.com:8443/health'}}")
    assert named.health_url == "https://engine.example.com:8443/health"


def test_times_have_units_and_relative_paths_are_below_the_folder_of_the_file() -> None:
    config = read(
        "run_dir: run/../run1\nstate_dir: /elsewhere\nengine: {health: {timeout: 1m, verify: ca}}\n"
        "hypervisor: {boot: 1500ms, start: 0}\n"
    )
    assert config.run_dir == FOLDER / "run1"
    assert config.state_dir == Path("/elsewhere")
    assert config.engine.health.timeout_s == 60
    assert config.engine.health.verify == FOLDER / "ca"
    assert (config.hypervisor.boot_s, config.hypervisor.start_s) == (1.5, 0.0)


def test_a_whole_section_of_mails() -> None:
    config = read(
        "notify: {smtp: {server: mail, port: 587, starttls: on, user: me, password_file: secret,"
        " from: a@b, to: [c@d, e@f], timeout: 3}, hook: [tell, 5]}"
    )
    assert config.notify.smtp == SmtpConfig(
        server="mail",
        port=587,
        starttls=True,
        user="me",
        password_file=FOLDER / "secret",
        sender="a@b",
        recipients=("c@d", "e@f"),
        timeout_s=3.0,
    )
    assert config.notify.hook == ("tell", "5")


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("policy: talk", TALK),
        ("policy: ovirt", OVIRT),
        ("policy: {base: talk, profile: fast}", attrs.evolve(TALK, **PROFILES["fast"])),
        (
            "policy: {profile: fast, loop_s: 4s}",
            attrs.evolve(TALK, **{**PROFILES["fast"], "loop_s": 4.0}),
        ),
        ("policy: {base: ovirt, loop_s: 5s}", attrs.evolve(OVIRT, loop_s=5.0)),
        (
            "policy: {io_timeout_s: 1, migration_threshold: 400, base_score: null}",
            attrs.evolve(TALK, io_timeout_s=1.0, migration_threshold=400),
        ),
    ],
)
def test_a_policy_is_named_or_changed(text: str, policy: Policy) -> None:
    assert read(text).policy == policy


def with_line(line: str) -> str:
    return f"{LEAST}{line}\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml:1:1: the file is empty, expected a mapping with the keys 'host' and"),
        (
            "[]",
            "f.yaml:1:1: expected a mapping with the keys 'host' and 'storage', got an empty list",
        ),
        ("host: [\n", "f.yaml:2:1: not YAML"),
        ("a: 1\na: 2", "f.yaml:2:1: a: this key stands here twice, first at f.yaml:1:1"),
        ("hots: {id: 1}", "f.yaml:1:1: hots: unknown key, did you mean 'host'?"),
        ("storage: {path: a}", "f.yaml:1:1: the key 'host' is missing"),
        ("host: {id: 1}", "f.yaml:1:1: the key 'storage' is missing"),
        ("host: {}\nstorage: {path: a}", "f.yaml:1:7: host: the key 'id' is missing"),
        ("host: 1\nstorage: {path: a}", "f.yaml:1:7: host: expected a mapping like {id: 1}"),
        ("host: {id: 0}", "f.yaml:1:12: host.id: expected 1 or more, got '0'"),
        ("host: {id: 2001}", "f.yaml:1:12: host.id: expected 2000 or less, got '2001'"),
        ("host: {id: one}", "f.yaml:1:12: host.id: expected a whole number, got 'one'"),
        ("host: {id: 1, hostname: ' '}", "f.yaml:1:25: host.hostname: expected a hostname, got an"),
        (
            "storage: {path: s}\nhost: {id: 1, hostname: a|b}",
            "expected a hostname, printable and without '|', got",
        ),
        (
            'storage: {path: s}\nhost: {id: 1, hostname: "a\\tb"}',
            "expected a hostname, printable and without '|', got",
        ),
        (
            f"storage: {{path: s}}\nhost: {{id: 1, hostname: {'é' * 127}}}",
            "expected a hostname of at most 253 bytes",
        ),
        (
            "host: {id: 1}\nstorage: {path: s}\novirt: none",
            (
                'f.yaml:1:1: monitors.network: the test "ping" needs the key "address"; write'
                " monitors: {network: {address: ...}}"
            ),
        ),
        (
            "host: {id: 1}\nstorage: {path: s}\novirt: none\nmonitors:\n  interval: 10s\n",
            'f.yaml:5:3: monitors.network: the test "ping" needs the key "address"; write',
        ),
        (
            "host: {id: 1}\nstorage: {path: s}\novirt: none\nmonitors:\n  network:\n",
            'f.yaml:5:3: monitors.network: the test "ping" needs the key "address"; write',
        ),
        (
            (
                "host: {id: 1}\nstorage: {path: s}\novirt: none\nmonitors:\n\n  network:\n"
                "    test: ping\n"
            ),
            'f.yaml:7:5: monitors.network: the test "ping" needs the key "address"',
        ),
        (with_line("run_dir: "), "f.yaml:5:9: run_dir: expected a path, got nothing (null)"),
        (with_line('run_dir: "a\\0b"'), "run_dir: expected a path, which holds no NUL"),
        (with_line("broker: sockets"), "f.yaml:5:9: broker: unknown word 'sockets', did you mean"),
        (with_line("leases: dlm"), "leases: unknown word 'dlm'; known: embedded, sanlock"),
        (with_line("log: {level: 3}"), "f.yaml:5:14: log.level: unknown word '3'"),
        (with_line("hypervisor: {boot: -1s}"), "hypervisor.boot: expected a time of 0 or more"),
        (with_line("hypervisor: {port: 65536}"), "hypervisor.port: expected 65535 or less"),
        (with_line("engine: {memory: lots}"), "f.yaml:5:18: engine.memory: expected a number, got"),
        (with_line("engine: {health: {url: engine}}"), "expected an address that begins with"),
        (with_line("engine: {health: {url: 'http://'}}"), "expected an address that begins with"),
        (with_line("engine: {health: {url: 'http://a:b/'}}"), "expected an address that begins"),
        (with_line("engine: {health: {url: 'http://[a/'}}"), "expected an address that begins"),
        (with_line("engine: {health: {timeout: 0}}"), "expected a time above 0"),
        (with_line("notify: {transitions: '('}"), "notify.transitions: expected a regular expr"),
        (with_line("notify: {hook: ring}"), "notify.hook: expected a command as a list of words"),
        (with_line("notify: {smtp: {to: []}}"), "expected a list of mail addresses, got an empty"),
        (with_line('notify: {smtp: {from: "a\\nb"}}'), "expected a mail address, printable, got"),
        (with_line("notify: {smtp: {to: me}}"), "expected a list of mail addresses, got 'me'"),
        (
            with_line("notify: {smtp: {password: secret}}"),
            "f.yaml:5:17: notify.smtp.password: unknown key, did you mean 'password_file'?",
        ),
        (
            with_line("notify: {smtp: {user: me}}"),
            'f.yaml:5:23: notify.smtp.user: "user" needs the key "password_file" beside it',
        ),
        (
            with_line("notify: {smtp: {password_file: p}}"),
            'notify.smtp.password_file: "password_file" needs the key "user" beside it',
        ),
        (
            with_line("notify: {smtp: {user: me, password_file: p}}"),
            "f.yaml:5:23: notify.smtp.user: a password is only sent encrypted",
        ),
        (with_line("policy: walk"), "f.yaml:5:9: policy: unknown word 'walk', did you mean 'talk'"),
        (with_line("policy: "), "f.yaml:5:8: policy: expected"),
        (with_line("policy: {base: 3}"), "f.yaml:5:16: policy.base: unknown word '3'"),
        (with_line("policy: {looop_s: 3}"), "policy.looop_s: unknown key, did you mean 'loop_s'?"),
        (with_line("policy: {loop_s: 0}"), "f.yaml:5:18: policy.loop_s: loop_s must be above 0"),
        (
            with_line("policy: {base: ovirt, name: mine, dead_after_s: 15}"),
            "f.yaml:5:49: policy.dead_after_s: policy mine: a host that misses one loop",
        ),
        (
            # Neither is unsafe by itself.
            with_line("policy: {dead_after_s: 30, loop_s: 15}"),
            "f.yaml:5:9: policy: policy talk: a host that misses one loop",
        ),
        (with_line("ovirt: {folder: x}"), "f.yaml:5:1: ovirt: this key stands here twice"),
    ],
)
def test_what_can_not_be_used_is_refused_where_it_stands(text: str, message: str) -> None:
    assert message in said_about(text)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("{path: s, offset: 100}", "storage.offset: expected a multiple of 4096, got '100'"),
        ("{path: s, offset: -4096}", "storage.offset: expected 0 or more"),
        ("{path: s, deadline: 10}", "f.yaml:2:30: storage.deadline: expected less than the"),
        ("{whiteboard: s}", "f.yaml:2:10: storage: the key 'path' is missing"),
    ],
)
def test_storage_that_can_not_be_used_is_refused(storage: str, message: str) -> None:
    assert message in said_about(LEAST.replace("{path: /srv/he-fsm}", storage))


@pytest.mark.parametrize(
    ("monitors", "message"),
    [
        ("{network: {test: ping}}", 'f.yaml:3:21: monitors.network: the test "ping" needs the key'),
        ("{network: {test: tcp, address: a}}", 'the test "tcp" needs the key "port"'),
        ("{network: {test: tcp, port: 1}}", 'the test "tcp" needs the key "address"'),
        (
            "{network: {test: file, path: }}",
            'f.yaml:3:21: monitors.network: the test "file" needs the key "path"',
        ),
        ("{network: {test: telnet}}", "unknown word 'telnet'; known: dns, file, none, ping, tcp"),
        (
            "{interval: 60, network: {test: none}}",
            "f.yaml:3:22: monitors.interval: a measurement every 60 s, expected less than",
        ),
        (
            "{network: {test: dns, timeout: 50, count: 6, delay: 2}}",
            "f.yaml:3:21: monitors.network: a measurement every 60 s",
        ),
    ],
)
def test_monitors_that_can_not_be_used_are_refused(monitors: str, message: str) -> None:
    assert message in said_about(LEAST.replace("{network: {test: none}}", monitors))


def test_shorter_loops_need_a_shorter_deadline() -> None:
    text = "policy: {loop_s: 1s}"
    assert said_about(LEAST + text).startswith("f.yaml:2:10: storage.deadline: expected less than")
    config = read(text, LEAST.replace("{path:", "{deadline: 200ms, path:"))
    assert config.storage.deadline_s == 0.2


def test_a_file_that_is_not_there_or_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yaml: can't be read: No such file"):
        load_config(tmp_path / "no.yaml")
    (tmp_path / "noise.yaml").write_bytes(b"host:\n  \xff")
    with pytest.raises(ConfigError, match=r"noise\.yaml:2:3: not UTF-8"):
        load_config(tmp_path / "noise.yaml")


def test_a_file_is_read_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "he-fsm.yaml"
    path.write_text(LEAST.replace("/srv/he-fsm", "shared"), encoding="utf-8")
    assert load_config(path).storage.path == tmp_path / "shared"
    monkeypatch.chdir(tmp_path)
    assert load_config("he-fsm.yaml").storage.path == tmp_path / "shared"
    assert load_config("he-fsm.yaml").origins["storage.path"] == "he-fsm.yaml:2"


def test_origins_name_the_lines_of_the_file() -> None:
    config = read("policy: ovirt\nnotify:\n  hook:\n  - a\n")
    assert config.origins == {
        "host.id": "f.yaml:1",
        "storage.path": "f.yaml:2",
        "monitors.network.test": "f.yaml:3",
        "ovirt": "f.yaml:4",
        "policy.base": "f.yaml:5",
        "notify.hook": "f.yaml:8",
    }
    lines = annotated_yaml(config).splitlines()
    assert any(line.startswith("  id: 3 ") and line.endswith("# f.yaml:1") for line in lines)
    assert any(line.startswith("  base: ovirt ") and line.endswith("# f.yaml:5") for line in lines)
    assert any(line.startswith("  loop_s: 10.0 ") and line.endswith("# default") for line in lines)


def test_the_example_can_be_used_and_says_what_the_page_about_it_says() -> None:
    config = load_config(EXAMPLE)
    assert config.host == HostConfig(id=1, hostname="host1.example.com")
    assert config.notify.smtp is not None
    assert config.notify.smtp.password_file == EXAMPLE.parent / "smtp-password"
    assert config.monitors.bridge == BridgeMonitorConfig(name="ovirtmgmt")
    assert config.policy == TALK


texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1).filter(
    lambda text: text.strip() != ""
)
lines = st.text("aé@. #:{'\"-", min_size=1, max_size=99).filter(lambda text: text.strip() != "")


@st.composite
def configs(draw: Any) -> Config:
    """Values of every kind that a file can hold."""
    config = Config(
        host=HostConfig(id=draw(st.integers(1, 2000)), hostname=draw(lines)),
        storage=StorageConfig(
            path=Path("/srv", draw(st.sampled_from(["a b", "#x", "é: y", "true"]))),
            offset=4096 * draw(st.integers(0, 9)),
            deadline_s=draw(st.floats(0.01, 9)),
        ),
        group=draw(st.none() | texts),
        policy=attrs.evolve(
            draw(st.sampled_from([TALK, OVIRT])),
            name=draw(st.sampled_from(["talk", "ovirt", "mine", "1"])),
            migration_hold_s=draw(st.floats(0, 1e6)),
            move_by_restart=draw(st.booleans()),
        ),
        ovirt=draw(st.none() | st.just(OvirtConfig(setup_dir=Path("/nowhere/at/all")))),
    )
    engine = attrs.evolve(
        config.engine,
        memory=draw(st.floats(0, 1e6)),
        vm_id=draw(st.none() | texts),
        health=attrs.evolve(
            config.engine.health,
            body=draw(texts),
            verify=draw(st.booleans() | st.just(Path("/ca.pem"))),
        ),
    )
    smtp = SmtpConfig(
        sender=draw(lines),
        recipients=tuple(draw(st.lists(lines, min_size=1))),
        starttls=draw(st.booleans()),
    )
    notify = attrs.evolve(
        config.notify, smtp=draw(st.none() | st.just(smtp)), hook=tuple(draw(st.lists(texts)))
    )
    network = NetworkMonitorConfig(address=draw(lines), port=draw(st.none() | st.just(1)))
    bridge = BridgeMonitorConfig(path=draw(st.none() | st.just(Path("/b"))))
    monitors = attrs.evolve(config.monitors, network=network, bridge=bridge)
    return attrs.evolve(config, engine=engine, notify=notify, monitors=monitors)


@given(config=configs())
@settings(suppress_health_check=[HealthCheck.too_slow])
def test_what_is_shown_is_a_configuration_and_the_same_one(config: Config) -> None:
    assert parse_config(annotated_yaml(config), "f.yaml", Path("/")) == config
    assert parse_config(yaml.safe_dump(config.to_plain()), "f.yaml", Path("/")) == config


def test_the_schema_accepts_what_can_be_read_and_nothing_else() -> None:
    check = jsonschema.Draft202012Validator(json_schema())
    check.check_schema(json_schema())
    check.validate(yaml.safe_load(EXAMPLE.read_text(encoding="utf-8")))
    check.validate(read().to_plain())
    check.validate({"storage": {"path": "x"}, "policy": "ovirt", "ovirt": "none", "notify": None})
    for wrong in (
        {},
        {"storage": {"path": "x"}, "host": {"id": 0}},
        {"storage": {"path": "x"}, "hots": {}},
        {"storage": {"path": "x", "offset": 1}},
        {"storage": {"path": "x"}, "notify": {"smtp": {"password": "x"}}},
        {"storage": {"path": "x"}, "ovirt": 3},
    ):
        assert not check.is_valid(wrong), wrong


def sections(made: type[Any]) -> list[type[Any]]:
    """Return a section's class, and those of the sections below it, whatever kind brings them."""
    found = []
    for each in written_fields(made).values():
        form = getattr(each.form, "form", each.form)
        if hasattr(form, "made"):
            found.append(form.made)
        elif isinstance(form, (KindForm, KindName)):
            kinds = {registry.load(form.group, name).section for name in registry.names(form.group)}
            found += sorted(kinds - {None}, key=repr)
    return [made, *(each for below in found for each in sections(below))]


def test_every_key_says_what_it_means() -> None:
    described = [each for made in sections(Config) for each in written_fields(made).values()]
    assert len(described) > 60
    for each in described:
        assert each.about, each.key
    properties = json_schema()["properties"]
    assert properties["storage"]["properties"]["deadline"]["description"].startswith("a read")


def test_the_reference_of_the_keys_is_up_to_date() -> None:
    tool = runpy.run_path(str(ROOT / "tools" / "generate-docs"))
    page = ROOT / "docs" / "configuration.md"
    wanted = tool["with_parts"](page, {"keys": tool["configuration_keys"]()})
    assert page.read_text(encoding="utf-8") == wanted, "run `make diagram`"
    for made in sections(Config):
        for each in written_fields(made).values():
            assert f"{each.key}` | " in wanted


def write_password(path: Path, data: bytes = b"secret\n", mode: int = 0o640) -> Path:
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o400, 0o600, 0o640, 0o660, 0o641])
def test_a_password_is_read_where_others_can_not(tmp_path: Path, mode: int) -> None:
    assert read_password(write_password(tmp_path / "password", mode=mode)) == "secret"


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o642, 0o666])
def test_a_password_that_others_can_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = write_password(tmp_path / "password", mode=mode)
    with pytest.raises(ConfigError, match=rf"password: others can .*\(mode 0{mode:o}\)"):
        read_password(path)


def test_a_password_keeps_its_spaces_and_needs_no_end_of_line(tmp_path: Path) -> None:
    path = write_password(tmp_path / "password", " pässword ".encode())
    assert read_password(path) == " pässword "


def make_noise(path: Path) -> None:
    write_password(path, b"\xff\n")


def make_empty(path: Path) -> None:
    write_password(path, b"\n")


def make_two_lines(path: Path) -> None:
    write_password(path, b"a\nb\n")


def make_long(path: Path) -> None:
    write_password(path, b"a" * 5000)


def make_pipe(path: Path) -> None:
    os.mkfifo(path, 0o600)


def make_folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _path: None, "No such file"),
        (make_noise, "not UTF-8"),
        (make_empty, "expected one line"),
        (make_two_lines, "expected one line"),
        (make_long, "expected one line"),
        (make_pipe, "not a regular file"),
        (make_folder, "[Dd]irectory"),
    ],
)
def test_what_is_no_password_is_refused_at_once(
    tmp_path: Path, make: Callable[[Path], None], message: str
) -> None:
    make(tmp_path / "password")
    with pytest.raises(ConfigError, match=message):
        read_password(tmp_path / "password")


# sanlock.

SANLOCK = "leases: sanlock\n"


def test_sanlocks_leases_are_in_one_file_of_the_shared_folder() -> None:
    found = settings_of(read(SANLOCK))
    assert found == SanlockSettings(
        lockspace="he-fsm",
        path="/srv/he-fsm/sanlock",
        resource="engine",
        resource_path="/srv/he-fsm/sanlock",
        resource_offset=1 << 20,
        vm_lock="/var/lib/he-fsm/engine.lock",
        doom_note="/run/he-fsm/doom.json",
        wait_s=1.0,
    )


def test_sanlocks_leases_can_be_anywhere() -> None:
    section = (
        "sanlock: {path: /dev/ids, offset: 4194304, resource_path: /dev/engine, sector: 4096,"
        " area: 2, run_dir: run, clock_rate: 10}\npolicy: {io_timeout_s: 10}\n"
    )
    found = settings_of(read(SANLOCK + section))
    assert (found.path, found.offset) == ("/dev/ids", 4 << 20)
    assert (found.resource_path, found.resource_offset) == ("/dev/engine", 0)
    assert (found.sector_bytes, found.align_bytes) == (4096, 2 << 20)
    assert (found.run_dir, found.clock_rate) == (str(FOLDER / "run"), 10)
    found = settings_of(read(SANLOCK + "sanlock: {offset: 1048576, resource_offset: 4194304}"))
    assert found.resource_offset == 4 << 20
    # The longest name that all of sanlock's calls, and libvirt, have whole.
    found = settings_of(read(SANLOCK + f"sanlock: {{lockspace: {'a' * 47}}}"))
    assert found.lockspace == "a" * 47


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("sanlock: {lockspace: 'a:b'}", "6:22: sanlock.lockspace: expected a name, printable"),
        (
            f"sanlock: {{resource: {'a' * 48}}}",
            "6:21: sanlock.resource: expected a name of at most 47 bytes",
        ),
        (
            "sanlock: {area: 2}",
            "6:10: sanlock.sector: expected sectors of 512 bytes with an area of 1 MiB, or of 4096",
        ),
        ("sanlock: {sector: 1024}", "6:19: sanlock.sector: expected sectors of 512 bytes"),
        (
            "sanlock: {offset: 4096}",
            "6:19: sanlock.offset: expected a multiple of the area, 1048576 bytes; got 4096",
        ),
        (
            "sanlock: {offset: 1048576, resource_offset: 1048576}",
            "6:45: sanlock.resource_offset: expected another place than that of the host ids'",
        ),
        (
            "policy: {io_timeout_s: 10.5}",
            "6:24: policy.io_timeout_s: sanlock's I/O timeout is a whole number of seconds, 1 or",
        ),
    ],
)
def test_what_sanlock_can_not_do_is_refused(more: str, message: str) -> None:
    assert said_about(LEAST + SANLOCK + more).startswith(f"f.yaml:{message}")


def test_a_host_id_has_room_in_the_area() -> None:
    text = LEAST.replace("id: 3", "id: 251") + SANLOCK + "sanlock: {sector: 4096}"
    assert said_about(text).startswith(
        "f.yaml:1:12: host.id: expected at most 250 with sanlock's area; got 251"
    )


def test_the_vm_of_the_embedded_hypervisor_has_no_leases_of_sanlock() -> None:
    with pytest.raises(ConfigError, match="has embedded leases only, not those of sanlock"):
        make_hypervisor(read(SANLOCK))


def test_a_vm_that_moves_has_the_leases_that_are_configured() -> None:
    config = read(SANLOCK)
    lease = make_movable_lease(config)
    assert isinstance(lease, SanlockHolder)
    assert lease.settings == settings_of(config)
    assert isinstance(make_movable_lease(read()), MovableEmbedded)
