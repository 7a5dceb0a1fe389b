"""A deployment that fails, or is interrupted: nothing half-made is left, and the next one works."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from he_fsm.runtime.hypervisors.vm_file import VmFile
from he_fsm.testing.waiting import until
from tests.runtime.deploy.deploying import DeploySite

IS_ROOT = os.geteuid() == 0
# In the order in which they are carried out; the title that is printed when each begins.
STAGES = {
    "folder": "Preparing the storage",
    "leases": "Initializing the lockspace and the whiteboard",
    "files": "Writing the configuration",
    "daemons": "Starting the daemons, in global maintenance",
    "install": "Creating VM",
    "shutdown": "Shutting the VM down",
}


# This one is tried each time: it has made the most by then.
OFTEN = ("shutdown",)


@pytest.mark.parametrize(
    "stage",
    [pytest.param(each, marks=() if each in OFTEN else pytest.mark.long) for each in STAGES],
)
def test_an_interruption_at_each_stage_leaves_nothing(site: DeploySite, stage: str) -> None:
    """Ctrl-C or, at every other stage, the end of the SSH session."""
    host = site.host(1)
    before = site.tree()
    number = signal.SIGINT if list(STAGES).index(stage) % 2 else signal.SIGHUP
    status, said = site.run_until(
        host.first_words(), STAGES[stage], lambda process: process.send_signal(number)
    )
    assert status == 1, said
    assert f"interrupted by {number.name}" in said
    assert "Nothing is left of this deployment; it can be started again" in said
    assert site.tree() == before
    assert site.left_over() == []
    if stage not in OFTEN:
        again = site.run(host.first_words())
        assert (again.returncode, again.stderr) == (0, ""), again.stdout


@pytest.mark.long
@pytest.mark.parametrize("stage", STAGES)
def test_a_deployment_that_was_killed_is_undone_by_the_next_one(
    site: DeploySite, stage: str
) -> None:
    host = site.host(1)
    status, _ = site.run_until(host.first_words(), STAGES[stage], lambda process: process.kill())
    assert status == -signal.SIGKILL
    assert (site.left_over() != []) is (stage in ("install", "shutdown"))
    done = site.run(host.first_words())
    assert "An earlier deployment was interrupted: undoing what it had made" in done.stdout
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    assert site.left_over() == []


@pytest.mark.long
def test_a_vm_that_dies_during_the_installation(site: DeploySite) -> None:
    host = site.host(1, hypervisor={"boot": 30.0})
    before = site.tree()
    record = VmFile(host.run_dir / "vm.json")

    def kill(_: subprocess.Popen[str]) -> None:
        found = record.read()
        assert found is not None
        os.kill(found.pid, signal.SIGKILL)

    status, said = site.run_until(host.first_words(), "The VM is here", kill)
    assert status == 1
    assert "Creating VM: the VM ended during the installation" in said
    assert site.tree() == before


@pytest.mark.long
def test_a_page_that_does_not_become_good(site: DeploySite) -> None:
    host = site.host(1, hypervisor={"boot": 600.0})
    before = site.tree()
    done = site.run(host.first_words("--install-timeout", "3s"))
    assert done.returncode == 1
    assert "the health page was not good within 3 s" in done.stdout
    assert site.tree() == before


@contextmanager
def small(folder: Path, kib: int) -> Iterator[None]:
    """Mount a small file system; root alone can."""
    folder.mkdir()
    subprocess.run(["/bin/mount", "-t", "tmpfs", "-o", f"size={kib}k", "t", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["/bin/umount", str(folder)], check=True)


@pytest.mark.long
@pytest.mark.skipif(not IS_ROOT, reason="mounts")
def test_a_disk_that_is_full_and_one_that_is_not(site: DeploySite) -> None:
    """There is room for the leases, and none for the whiteboard; then there is."""
    host = site.host(1)
    with small(site.shared, 66_000):
        filler = site.shared / "somebody's"
        filler.write_bytes(bytes(500_000))
        before = site.tree()
        # What is checked beforehand is the room at that moment.
        done = site.run(host.first_words("--hosts", "2000"))
        assert done.returncode == 1
        assert "No space left on device" in done.stdout or "GiB free" in done.stdout
        assert site.tree() == before
        filler.unlink()
        again = site.run(host.first_words("--hosts", "10"))
        assert again.returncode == 0, again.stdout


@pytest.mark.skipif(not IS_ROOT, reason="mounts")
def test_storage_that_is_read_only(site: DeploySite) -> None:
    host = site.host(1)
    with small(site.shared, 70_000):
        subprocess.run(["/bin/mount", "-o", "remount,ro", str(site.shared)], check=True)
        before = site.tree()
        done = site.run(host.first_words())
        assert done.returncode == 1
        assert f"{site.shared} can't be written: Read-only file system" in done.stdout
        assert site.tree() == before


@pytest.mark.long
def test_a_list_of_hosts_that_can_t_be_written(site: DeploySite) -> None:
    """The last stage before the hosts rely on it: everything is undone, the VM's end included."""
    host = site.host(1)
    status, said = site.run_until(
        host.first_words(),
        STAGES["shutdown"],
        lambda _: (site.shared / "deployment").mkdir(),
    )
    assert status == 1
    assert "Updating hosted-engine configuration" in said
    # Somebody else's folder is in the way of the shared one's removal, and is named.
    assert f"{site.shared} is left, because it holds deployment" in said
    assert not host.config.exists()
    (site.shared / "deployment").rmdir()
    assert site.run(host.first_words()).returncode == 0


@pytest.mark.long
def test_what_is_left_is_named_and_tried_again(site: DeploySite) -> None:
    host = site.host(1)
    host.state_dir.mkdir(parents=True)
    stuck = site.folder / "stuck"
    stuck.mkdir()
    (stuck / "file").touch()
    # A file in whose place somebody has put a folder can't be unlinked.
    journal = {"made": [{"kind": "file", "path": str(stuck)}]}
    (host.state_dir / "deployment.json").write_text(json.dumps(journal), encoding="utf-8")
    done = site.run(host.first_words())
    assert done.returncode == 2
    assert f"an earlier deployment can't be undone: {stuck} is left" in done.stderr
    (stuck / "file").unlink()
    stuck.rmdir()
    assert site.run(host.first_words()).returncode == 0


def test_a_dry_run_undoes_nothing_of_an_earlier_deployment(site: DeploySite) -> None:
    host = site.host(1)
    host.state_dir.mkdir(parents=True)
    made = site.folder / "made"
    made.touch()
    journal = {"made": [{"kind": "file", "path": str(made)}]}
    (host.state_dir / "deployment.json").write_text(json.dumps(journal), encoding="utf-8")
    before = site.tree()
    done = site.run(host.first_words("--dry-run"))
    assert done.returncode == 2
    assert "an earlier deployment was interrupted" in done.stderr
    assert site.tree() == before


@pytest.mark.long
def test_a_second_deployment_beside_a_first_is_refused(site: DeploySite) -> None:
    host = site.host(1, hypervisor={"boot": 600.0})
    seen = []

    def begin_another(process: subprocess.Popen[str]) -> None:
        seen.append(site.run(host.first_words()))
        process.send_signal(signal.SIGTERM)

    status, _ = site.run_until(host.first_words(), STAGES["install"], begin_another)
    assert status == 1
    assert seen[0].returncode == 2
    assert "another deployment runs here" in seen[0].stderr


REFUSED = {
    "no gateway": (["--gateway", "192.0.2.77"], "'192.0.2.77' does not answer a ping"),
    "not a gateway": (["--gateway", "gate"], "--gateway: 'gate' is no IP address"),
    "no name": (["--fqdn", "engine"], "--fqdn: 'engine' is no fully qualified name"),
    "memory": (["--memory-mb", "4G"], "--memory-mb: '4G' is no whole number"),
    "leases": (["--leases", "sanlock"], "--leases: sanlock don't go with the hypervisor embedded"),
    "storage": (["--storage", "nfs:/x"], "--storage: 'nfs:/x' is no absolute path"),
    "kind": (["--storage-type", "tape"], "--storage-type: 'tape' is none of glusterfs"),
}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(case, marks=() if case == "no gateway" else pytest.mark.long)
        for case in REFUSED
    ],
)
def test_an_answer_that_can_t_be_used_is_refused_at_once(site: DeploySite, case: str) -> None:
    host = site.host(1)
    before = site.tree()
    words, said = REFUSED[case]
    done = site.run(host.first_words(*words))
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert site.tree() == before


def test_a_name_that_does_not_resolve_is_refused(site: DeploySite) -> None:
    host = site.host(1)
    words = ["deploy", *host.words("--hypervisor", "qemu", "--storage", site.shared, "--yes")]
    words += ["--gateway", "127.0.0.1", "--boot", "pxe", "--bridge", "lo"]
    done = site.run([*words, "--fqdn", "engine.invalid"])
    assert done.returncode == 2
    assert "--fqdn: 'engine.invalid' does not resolve here" in done.stderr


def test_nobody_there_to_answer(site: DeploySite) -> None:
    host = site.host(1)
    done = site.run(["deploy", *host.words("--hypervisor", "embedded", "--yes")])
    assert done.returncode == 2
    assert "no answer to 'storage', and nobody to ask: give --storage (or OVEHOSTED_" in done.stderr


def test_a_host_id_that_is_taken(site: DeploySite) -> None:
    first, second = site.host(1), site.host(2)
    assert site.run(first.first_words()).returncode == 0
    before = site.tree()
    done = site.run(second.deploy_words("--host-id", "1"))
    assert done.returncode == 2
    assert "this host can't join: host id 1 is taken by host1.example.com" in done.stderr
    assert site.tree() == before
    named = site.run([*second.deploy_words(), "--hostname", "host1.example.com"])
    assert "host 1 is called host1.example.com, too: give --hostname" in named.stderr


@pytest.mark.long
def test_a_clock_that_is_off(site: DeploySite) -> None:
    """Hosts compare wall clocks when one joins; this host's is 90 s ahead here."""
    first, second = site.host(1), site.host(2)
    assert site.run(first.first_words()).returncode == 0
    first.start()
    until(lambda: first.report().get("state") not in (None, "Unknown"))
    code = (
        "import time, sys; now = time.time; time.time = lambda: now() + 90.0;"
        " from he_fsm.cli.main import main; sys.argv = ['he-fsm', *sys.argv[1:]]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *second.deploy_words()],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 2
    assert "the clock of this host is ahead of the other hosts' by 9" in done.stderr


@pytest.mark.long
def test_storage_that_a_further_host_does_not_see(site: DeploySite) -> None:
    first, second = site.host(1), site.host(2)
    assert site.run(first.first_words()).returncode == 0
    (site.shared / "whiteboard").rename(site.shared / "whiteboard.away")
    done = site.run(second.deploy_words())
    assert done.returncode == 2
    assert "this host can't join, because it does not see the storage" in done.stderr
