"""`he-fsm vm`: the definition that all hosts start the VM from."""

from __future__ import annotations

import grp
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from he_fsm.cli.main import cli
from he_fsm.lab.guest.build import Guest
from he_fsm.lab.libvirt.domain import domain_xml
from he_fsm.runtime.config import load_config
from he_fsm.runtime.leases.sanlock.kind import KIND

CONFIG = """\
host: {{id: 1, hostname: one}}
storage: {{path: {folder}}}
leases: sanlock
hypervisor: {{kind: libvirt, definition: {folder}/definition}}
monitors: {{network: {{test: none}}}}
engine: {{health: {{url: "http://engine/health"}}}}
"""


class Host:
    """A host's configuration, and the commands as somebody types them there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "he-fsm.yaml"
        self.path.write_text(CONFIG.format(folder=folder))
        assert KIND.sight is not None
        self.place = KIND.sight(load_config(self.path)).place

    @property
    def xml(self) -> str:
        guest = Guest(Path("/boot/vmlinuz"), Path("/boot/initrd"))
        return domain_xml(guest, Path("/srv/he-fsm/engine.raw"), self.place)

    def file(self, xml: str) -> str:
        path = self.folder / "vm.xml"
        path.write_text(xml)
        return str(path)

    def run(self, *words: str, **options: object) -> Result:
        """Run a command; what it asks is agreed to beforehand."""
        if words[0] in ("define", "edit"):
            words = (*words, "--yes")
        words = (*words, "--config", str(self.path))
        return CliRunner().invoke(cli, ["vm", *words], **options)  # type: ignore[arg-type]


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_what_was_defined_is_shown(host: Host) -> None:
    assert host.run("define", host.file(host.xml)).exit_code == 0
    shown = json.loads(host.run("show", "--json").stdout)
    assert shown["xml"] == host.xml
    assert host.run("show").stdout.endswith(f"{host.xml}\n")


def test_a_definition_comes_from_standard_input_as_well(host: Host) -> None:
    assert host.run("define", "-", input=host.xml).exit_code == 0
    assert host.xml in host.run("show").stdout


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to a group")
def test_what_root_defines_is_for_the_daemons(host: Host) -> None:
    host.path.write_text(f"{host.path.read_text()}group: daemon\n")
    host.run("define", host.file(host.xml))
    made = (host.folder / "definition").stat()
    assert (made.st_gid, made.st_mode & 0o777) == (grp.getgrnam("daemon").gr_gid, 0o660)


def test_each_definition_is_a_higher_version(host: Host) -> None:
    versions = []
    for _ in range(3):
        host.run("define", host.file(host.xml))
        versions.append(json.loads(host.run("show", "--json").stdout)["version"])
    assert versions == sorted(set(versions))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<lease>", "<lase>", "can't be read"),
        (
            "<lockspace>he-fsm",
            "<lockspace>other",
            "lockspace other, not he-fsm: change the definition, and write in <devices>: <lease>",
        ),
        ("<name>HostedEngine", "<name>Other", "the domain Other, not HostedEngine"),
        ("<uuid>11111111-2222-4333-8444-555555555555</uuid>", "", "has no <uuid>"),
    ],
)
def test_a_definition_that_no_host_would_start_is_refused_and_the_last_one_stays(
    host: Host, old: str, new: str, said: str
) -> None:
    host.run("define", host.file(host.xml))
    before = host.run("show").stdout
    bad = host.xml.replace(old, new)
    assert bad != host.xml
    done = host.run("define", host.file(bad))
    assert done.exit_code != 0
    assert said in str(done.exception)
    assert host.run("show").stdout == before


def test_what_the_editor_leaves_is_the_next_version(host: Host, tmp_path: Path) -> None:
    host.run("define", host.file(host.xml))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/<vcpu>1</<vcpu>2</' \"$1\"\n")
    editor.chmod(0o755)
    assert host.run("edit", env={"VISUAL": str(editor)}).exit_code == 0
    assert "<vcpu>2</vcpu>" in host.run("show").stdout


def test_an_editor_that_changes_nothing_writes_nothing(host: Host) -> None:
    host.run("define", host.file(host.xml))
    done = host.run("edit", env={"VISUAL": "true"})
    assert done.stdout.endswith("stays: nothing was changed\n")


def test_what_was_written_in_the_editor_and_refused_is_kept(host: Host, tmp_path: Path) -> None:
    host.run("define", host.file(host.xml))
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/<name>HostedEngine/<name>Other/' \"$1\"\n")
    editor.chmod(0o755)
    done = host.run("edit", env={"VISUAL": str(editor)})
    kept = Path(str(done.exception).rpartition(" is in ")[2])
    try:
        assert "<name>Other</name>" in kept.read_text()
        assert kept.stat().st_mode & 0o077 == 0
    finally:
        kept.unlink()


def test_nothing_is_shown_where_nothing_was_written(host: Host) -> None:
    done = host.run("show")
    assert str(done.exception).endswith("holds no definition yet: he-fsm vm define FILE.xml")


def test_only_hosts_that_share_a_definition_have_one(host: Host) -> None:
    text = host.path.read_text()
    host.path.write_text(text.replace(f", definition: {host.folder}/definition", ""))
    assert str(host.run("show").exception).startswith("hypervisor.definition is not set")


@pytest.mark.parametrize("words", [(), ("file.xml", "--from-domain", "x")])
def test_one_source_is_asked_for(host: Host, words: tuple[str, ...]) -> None:
    assert host.run("define", *words).exit_code == 2
