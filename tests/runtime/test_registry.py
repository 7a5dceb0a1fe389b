"""Kinds are found by name, among the entry points of whatever is installed."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import attrs
import pytest

from he_fsm.document.forms import Text
from he_fsm.document.mappings import written_as
from he_fsm.errors import ConfigError
from he_fsm.runtime import registry
from he_fsm.runtime.config import Config, annotated_yaml, json_schema, parse_config
from he_fsm.runtime.config.kind_form import HypervisorSection, named
from he_fsm.runtime.kinds import HypervisorKind, LeaseKind, MonitorKind, NotifierKind
from he_fsm.runtime.monitors.make import make_runner
from he_fsm.runtime.monitors.network import NoNetworkTest
from he_fsm.runtime.notify.make import make_channels
from he_fsm.runtime.parts import findings, make_hypervisor
from he_fsm.runtime.ports import Finding

OURS = {
    registry.HYPERVISORS: {"embedded", "qemu"},
    registry.LEASES: {"embedded", "sanlock"},
    registry.MONITORS: {"ping", "dns", "tcp", "none", "file"},
    registry.NOTIFIERS: {"smtp", "hook"},
    registry.REHEARSALS: {"embedded", "sanlock"},
}
HOST = "host: {id: 1}\nstorage: {path: /srv}\novirt: none\nmonitors: {network: {test: none}}\n"


@attrs.frozen(kw_only=True)
class Pager:
    number: str = attrs.field(default="1", metadata=written_as("number", Text(), "whom to call"))


@attrs.frozen(kw_only=True)
class Strict:
    number: str = attrs.field(metadata=written_as("number", Text(), "whom to call"))


@attrs.frozen(kw_only=True)
class Arp:
    test: str = attrs.field(default="arp", metadata=written_as("test", Text(), "the test"))
    peer: str = attrs.field(default="", metadata=written_as("peer", Text(), "whom to ask"))


@attrs.frozen(kw_only=True)
class Toy(HypervisorSection):
    kind: str = named("toy", "a toy")
    colour: str = attrs.field(default="red", metadata=written_as("colour", Text(), "its colour"))

    @property
    def health_url(self) -> str:
        return "http://127.0.0.1/toy"


def needs(_: Config) -> tuple[Finding, ...]:
    return (Finding(what="there is no toy here", mend="buy one"),)


def make(config: Config, _lease: object) -> Any:
    return config.hypervisor.colour


TOY: Any = HypervisorKind(section=Toy, make=make, access=make, needs=needs)  # type: ignore[arg-type]
DLM: Any = LeaseKind(maker="", lease=make, set_up=make, section=Pager)  # type: ignore[arg-type]
STRICT: Any = LeaseKind(maker="", lease=make, set_up=make, section=Strict)  # type: ignore[arg-type]
ARP: Any = MonitorKind(section=Arp, make=lambda _: NoNetworkTest())
PAGER: Any = NotifierKind(section=Pager, make=lambda config: [config.notify.others["pager"].number])


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Another package is installed, which brings one kind of each."""
    theirs = {"toy": registry.HYPERVISORS, "dlm": registry.LEASES, "strict": registry.LEASES}
    theirs |= {"arp": registry.MONITORS, "pager": registry.NOTIFIERS}
    before = registry._found

    def found(group: str) -> dict[str, EntryPoint]:
        points = [
            EntryPoint(name, f"{__name__}:{name.upper()}", group)
            for name, its in theirs.items()
            if its == group
        ]
        return {**before(group), **{point.name: point for point in points}}

    monkeypatch.setattr(registry, "_found", found)


def read(text: str) -> Config:
    return parse_config(HOST + text, "f.yaml", Path("/"))


@pytest.mark.parametrize("group", OURS)
def test_our_own_kinds_are_registered_as_everybodys_are(group: str) -> None:
    assert set(registry.names(group)) >= OURS[group]
    assert all(registry.load(group, name) is not None for name in OURS[group])


def test_an_unknown_kind_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"unknown kind 'kvm' of he_fsm\.hypervisors") as caught:
        registry.load(registry.HYPERVISORS, "kvm")
    assert "embedded, libvirt, qemu" in str(caught.value)
    with pytest.raises(ConfigError) as refused:
        read("hypervisor:\n  kind: kvm\n")
    assert str(refused.value).startswith("f.yaml:6:9: ")
    assert "embedded, libvirt, qemu" in str(refused.value)


def test_keys_of_another_kind_are_checked_and_have_no_effect() -> None:
    kept = read("hypervisor: {kind: embedded, move: {bandwidth: 3}, port: 81}")
    assert kept.hypervisor == read("hypervisor: {port: 81}").hypervisor
    with pytest.raises(ConfigError, match="bandwidth"):
        read("hypervisor: {kind: embedded, move: {bandwidth: -3}}")
    with pytest.raises(ConfigError, match="unknown key"):
        read("hypervisor: {kind: embedded, moves: {}}")


@pytest.mark.usefixtures("installed")
@pytest.mark.interpreted
class TestOfAnotherPackage:
    def test_a_hypervisor_brings_its_section_and_its_needs(self) -> None:
        config = read("hypervisor: {kind: toy, colour: blue}")
        assert config.hypervisor == Toy(colour="blue")
        assert config.health_url == "http://127.0.0.1/toy"
        assert [str(each) for each in findings(config)] == ["there is no toy here: buy one"]
        assert make_hypervisor(config) == "blue"

    def test_a_notifier_is_a_key_of_its_section(self) -> None:
        config = read("notify: {pager: {number: '112'}}")
        assert make_channels(config) == ("112",)
        assert make_channels(read("")) == ()

    def test_a_test_of_the_network_is_made_by_its_kind(self) -> None:
        text = HOST.replace("test: none", "test: arp, peer: a")
        config = parse_config(text, "f.yaml", Path("/"))
        assert config.monitors.network == Arp(peer="a")
        make_runner(config).close()

    def test_leases_have_a_section_of_their_name(self) -> None:
        config = read("leases: dlm\ndlm: {number: '3'}")
        assert (config.leases, config.others) == ("dlm", {"dlm": Pager(number="3")})

    def test_the_section_of_the_leases_in_use_is_there_though_the_file_has_none(self) -> None:
        config = read("leases: dlm")
        assert config.others == {"dlm": Pager()}
        assert "dlm:" in annotated_yaml(config)
        assert read("").others == {}

    def test_a_key_that_the_leases_in_use_need_is_missed(self) -> None:
        with pytest.raises(ConfigError, match="strict: the key 'number' is missing"):
            read("leases: strict")
        assert read("leases: embedded").others == {}

    def test_what_is_shown_is_read_again(self) -> None:
        texts = ("hypervisor: {kind: toy}", "notify: {pager: {}}", "leases: dlm\ndlm: {}")
        for text in texts:
            config = read(text)
            assert parse_config(annotated_yaml(config), "f.yaml", Path("/")) == config

    def test_the_schema_has_it(self) -> None:
        properties = json_schema()["properties"]
        assert "colour" in properties["hypervisor"]["properties"]
        assert "pager" in properties["notify"]["properties"]
        assert "dlm" in properties
        assert (
            "arp" in properties["monitors"]["properties"]["network"]["properties"]["test"]["enum"]
        )

    def test_a_package_that_is_broken_is_in_nobodys_way(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(f"{__name__}.TOY")
        assert read("").hypervisor.kind == "embedded"
        with pytest.raises(ConfigError, match=r"'toy' of he_fsm\.hypervisors can't be used"):
            read("hypervisor: {kind: toy}")
