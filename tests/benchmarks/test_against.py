"""An older commit beside this tree: a whole comparison, of a project that is small and builds."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from he_fsm.testing.waiting import until

GIT = shutil.which("git")
# Of whoever runs the tests.
NO_CONFIG = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
PROGRAMS = ("against.py", "builds.py", "comparison.py", "measurements.py", "run.py", "table.py")
# Builds the package without any other.
BACKEND = """
import pathlib, zipfile
def build_wheel(folder, config_settings=None, metadata_directory=None):
    name = "he_fsm-1-py3-none-any.whl"
    with zipfile.ZipFile(pathlib.Path(folder, name), "w") as wheel:
        for path in pathlib.Path("he_fsm").glob("*.py"):
            wheel.write(path)
        info = "he_fsm-1.dist-info/"
        wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: he-fsm\\nVersion: 1\\n")
        wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\n"
                       "Tag: py3-none-any\\n")
        wheel.writestr(info + "RECORD", "")
    return name
"""
BUILDS = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
# In the place of the module that measures decisions.
CORE = """
import time
from pathlib import Path
from he_fsm import step
from table import MORE, Row
def step_3():
    yield Row("the time", step.TIME, None, "s")
    yield Row("the speed", step.SPEED, None, "/s", MORE)
def step_250():
    yield Row("what is new", step.NEW, None, "s")
def parse():
    Path(step.BEGAN).touch()
    time.sleep(600)
"""
OLD = "TIME = 10.0\nSPEED = 5.0\n"

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(GIT is None, reason="git is not installed"),
]


class Project:
    """A clone with one commit, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "project"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        kept = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")}
        self.environment = {**kept, "TMPDIR": str(self.temporary), **NO_CONFIG}
        self.write("backend.py", BACKEND)
        self.write("pyproject.toml", BUILDS)
        self.write("he_fsm/__init__.py", "")
        self.write("he_fsm/step.py", OLD)
        self.write("benchmarks/core.py", CORE)
        for name in PROGRAMS:
            shutil.copy(BENCHMARKS / name, self.folder / "benchmarks")
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("the old one")

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def git(self, *words: str) -> str:
        done = subprocess.run(
            [str(GIT), "-c", "user.name=n", "-c", "user.email=e", *words],
            cwd=self.folder, env=self.environment, check=True, capture_output=True, text=True,
        )  # fmt: skip
        return done.stdout

    def commit(self, message: str) -> None:
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "benchmarks/against.py", *words]

    def against(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            cwd=self.folder, env=self.environment, check=False, capture_output=True, text=True,
        )  # fmt: skip

    def assert_nothing_is_left(self) -> None:
        assert list(self.temporary.iterdir()) == []
        assert self.git("worktree", "list").count("\n") == 1
        # Nor is it built within this tree.
        names = {path.name for path in self.folder.iterdir()}
        assert names == {".git", "backend.py", "pyproject.toml", "he_fsm", "benchmarks"}


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    project = Project(tmp_path)
    yield project
    project.assert_nothing_is_left()


def refused(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one sentence with which nothing was compared."""
    assert done.returncode == 2
    assert done.stderr.startswith("bench-against: ")
    assert done.stderr.count("\n") == 1
    return done.stderr[len("bench-against: ") : -1]


def test_both_builds_are_measured_and_what_is_worse_is_marked(project: Project) -> None:
    # Changes that are not committed are measured as well.
    project.write("he_fsm/step.py", "TIME = 12.0\nSPEED = 5.0\nNEW = 1.0\n")
    words = ("--rev", "HEAD", "--rounds", "2", "--only", "step-250", "--only", "step-3")
    done = project.against(*words, "--build", "plain")
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    said = [line.split() for line in lines[lines.index("plain") + 2 :]]
    assert lines[lines.index("plain") + 2] == (
        "step-250: the old build can't be measured: "
        "AttributeError: module 'he_fsm.step' has no attribute 'NEW'"
    )
    assert said[1] == ["the", "time", "10", "12", "s", "1.20", "0%", "WORSE"]
    assert said[2] == ["the", "speed", "5", "5", "/s", "1.00", "0%"]
    assert lines[-1] == "worse by more than a tenth: 1 of 2 figures"


@pytest.mark.long
def test_a_commit_that_can_not_be_built_is_said(project: Project) -> None:
    project.write("pyproject.toml", "this is none\n")
    project.commit("broken")
    assert refused(project.against("--rev", "HEAD", "--only", "step-3")).startswith(
        "the old build can't be made: "
    )


@pytest.mark.long
def test_ctrl_c_ends_it_and_nothing_is_left(project: Project, tmp_path: Path) -> None:
    began = tmp_path / "began"
    project.write("he_fsm/step.py", f"{OLD}BEGAN = {str(began)!r}\n")
    project.commit("one that takes its time")
    with subprocess.Popen(
        project.command("--rev", "HEAD", "--only", "parse", "--build", "plain"),
        cwd=project.folder,
        env=project.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        until(lambda: began.exists() or process.poll() is not None, within_s=120.0)
        process.send_signal(signal.SIGINT)
        assert process.stderr is not None
        assert process.stderr.read() == "bench-against: interrupted; what it made is removed\n"
    assert process.returncode == 130


def test_a_commit_that_is_not_there_is_said(project: Project) -> None:
    assert refused(project.against("--rev", "nonsense")) == (
        "no commit of this clone is called 'nonsense': try REV=HEAD~1, a tag or a branch"
    )


@pytest.mark.long
def test_on_main_the_newest_tag_is_meant_and_where_there_is_none_that_is_said(
    project: Project,
) -> None:
    assert refused(project.against()).startswith("this is main, and no earlier commit has a tag")
    project.git("tag", "v1")
    project.write("pyproject.toml", "this is none\n")
    project.commit("broken")
    # Found: the tagged one is checked out, and the other is the one that can't be built.
    assert refused(project.against("--only", "step-3")).startswith("the new build can't be made: ")


def test_what_is_no_clone_is_said(project: Project, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(project.folder, copy, ignore=shutil.ignore_patterns(".git"))
    program = [sys.executable, str(copy / "benchmarks" / "against.py")]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    assert refused(done).startswith(f"git has no older commit of {copy}: fatal: not a git repo")


def test_a_part_of_a_clone_is_said(project: Project) -> None:
    shutil.copytree(project.folder / "benchmarks", project.folder / "he_fsm" / "benchmarks")
    program = [sys.executable, str(project.folder / "he_fsm" / "benchmarks" / "against.py")]
    done = subprocess.run(program, check=False, capture_output=True, text=True)
    assert refused(done).endswith(f"/he_fsm: it is a folder of the clone {project.folder}")


@pytest.mark.parametrize(("word", "wanted"), [("0", "whole number from 1"), ("x", "whole number")])
def test_a_number_of_rounds_that_is_none_is_refused(word: str, wanted: str) -> None:
    command = [sys.executable, str(BENCHMARKS / "against.py"), "--rounds", word]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 2
    assert f"--rounds: a {wanted}" in done.stderr
