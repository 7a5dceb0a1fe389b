"""`he-fsm deploy`: set up the first host of a cluster, or a further one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Optional

import attrs
import click

from he_fsm.cli.deploying.alone import alone, own_of
from he_fsm.cli.deploying.dialogue import Dialogue, is_by_ssh_alone, somebody_is_there
from he_fsm.cli.deploying.options import (
    given_by_files,
    given_by_options,
    question_options,
    settings_of,
)
from he_fsm.cli.deploying.takeover import take_over
from he_fsm.cli.options.common import duration_of
from he_fsm.cli.options.config import config_option
from he_fsm.deploy.asking.answers import Given, settle, text_of
from he_fsm.deploy.asking.conditions import SERVICES
from he_fsm.deploy.asking.question import Machine
from he_fsm.deploy.asking.questions import FIRST_QUESTIONS
from he_fsm.deploy.carrying import beginning, kept, storage
from he_fsm.deploy.carrying.course import Course, Limits
from he_fsm.deploy.carrying.fitness import fitness_here
from he_fsm.deploy.carrying.journal import Journal
from he_fsm.deploy.carrying.machine import ThisMachine, has_systemd, machine_here
from he_fsm.deploy.carrying.run import FIRST, FURTHER, carry_out, undone
from he_fsm.deploy.carrying.telling import read_told
from he_fsm.deploy.planning.config import merged
from he_fsm.deploy.planning.ovirt_files import answers_conf, given_of
from he_fsm.deploy.planning.places import Own, places_of
from he_fsm.deploy.planning.preview import HEADING, preview
from he_fsm.deploy.planning.stages import Stage, first_host, further_host
from he_fsm.deploy.planning.told import Fitness, Told
from he_fsm.errors import AnswerError, DeployError, HeFsmError
from he_fsm.files.whole import write_whole

_TOLD: Final = "the shared storage"
_SURE: Final = (
    "Continuing will configure this host for serving as hypervisor and create a VM where the"
    " engine\nwill be installed afterwards, or join the hosts that have one.\nAre you sure you want"
    " to continue? (Yes, No)"
)
_SSH: Final = (
    "It has been detected that this program is executed through an SSH connection without using"
    " screen.\nContinuing with the installation may lead to broken installation if the network"
    " connection fails.\nIt is highly recommended to abort the installation and run it inside a"
    " screen session.\nDo you want to continue anyway? (Yes, No)"
)
_AGAIN: Final = (
    "An earlier deployment of this host has not ended.\nDo you want to take the answers that were"
    " given then, but for passwords? (Yes, No)"
)


@click.command()
@config_option
@click.option(
    "--config-append",
    "files",
    type=click.Path(path_type=Path),
    multiple=True,
    metavar="FILE",
    help="Take answers from this file, oVirt's answers.conf; repeatable.",
)
@click.option(
    "--settings",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Put the values of this YAML file over the configuration: policy, notify and so on.",
)
@click.option(
    "--generate-answer",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the answers to this file, too; no password is among them.",
)
@click.option("--engine-api", metavar="URL", help="The engine's API; usually https://FQDN/...")
@click.option("--engine-ca", metavar="FILE", help="The certificates that the API is verified by.")
@click.option(
    "--install-timeout",
    "install_s",
    callback=duration_of,
    default="2h",
    show_default=True,
    metavar="TIME",
    help="Wait so long at most for the guest and its health page.",
)
@click.option(
    "--join-timeout",
    "join_s",
    callback=duration_of,
    default="5m",
    show_default=True,
    metavar="TIME",
    help="Wait so long at most for the host id.",
)
@click.option("--yes", is_flag=True, help="Ask nothing: defaults where no answer is given.")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing.")
@question_options
def deploy(path: Path, **words: Any) -> None:
    """
    Set up this host: the first one of a cluster with its VM, or a further one.

    Whether it is the first one is seen by the storage. What is not answered by options or files is
    asked; then all is shown, and confirmed. A deployment that fails or is interrupted is undone.

    Exit status: 0 done; 1 it failed, and was undone but for what the message names; 2 it can't be
    begun, and nothing was done.
    """
    given, proceeds = given_by_files(words["files"])
    given |= given_by_options(words)
    settings = _settings(words)
    dialogue = Dialogue(somebody_is_there() and not words["yes"], proceeds)
    own = own_of(path, settings.get("config", {}))
    with alone(own, is_dry=words["dry_run"]) as journal:
        status = _Deploy(
            given=given,
            settings=settings,
            own=own,
            dialogue=dialogue,
            journal=journal,
            is_dry=words["dry_run"],
            is_sure=words["yes"],
            limits=Limits(install_s=words["install_s"], join_s=words["join_s"]),
            keep_in=words["generate_answer"],
        ).run()
    if status:
        click.get_current_context().exit(status)


@attrs.define(kw_only=True)
class _Deploy:
    """One call of the command."""

    given: dict[str, Given]
    settings: dict[str, Any]
    own: Own
    dialogue: Dialogue
    journal: Journal
    is_dry: bool
    is_sure: bool
    limits: Limits
    keep_in: Optional[Path]
    fitness: Fitness = attrs.field(factory=Fitness)
    machine: Machine = attrs.field(factory=Machine)

    def run(self) -> int:
        """Ask, show, confirm, do; return the exit status."""
        self._undo_earlier()
        kind = self.given.get("hypervisor")
        if kind is not None and kind.text == "vdsm":
            return take_over(
                *(self.own, self.settings, self.journal, self.dialogue, self.limits),
                is_dry=self.is_dry,
                is_sure=self.is_sure,
            )
        beginning.check_own(self.own)
        if not self._may_begin():
            self.dialogue.info("Nothing was done")
            return 0
        self._take_kept_answers()
        self.dialogue.info("Stage: Environment setup")
        wanted = self.given.get("hypervisor")
        # Nobody asks QEMU, which takes seconds, where no QEMU is used.
        has_vm = wanted is None or wanted.text not in ("embedded", *SERVICES)
        self.fitness = fitness_here(has_vm=has_vm)
        self.machine = machine_here(self.fitness)
        try:
            course, stages = self._planned()
            self._check_machine(course)
        except BaseException:
            self._undo()
            raise
        self.dialogue.info("Stage: Setup validation")
        return self._confirmed(course, stages)

    def _take_kept_answers(self) -> None:
        """Take the answers of an earlier dialogue whose deployment has not ended."""
        path = Path(self.own.answers)
        found = kept.left(path)
        if not found:
            return
        if self.dialogue.confirm(_AGAIN, default=True):
            self.dialogue.info(f"Taking the answers in {path}; options and answer files override")
            self.given = {**found, **self.given}
        elif not self.is_dry:
            kept.forget(path)

    def _may_begin(self) -> bool:
        dialogue = self.dialogue
        if not dialogue.proceeds_with("deploy_proceed", _SURE, default=True):
            return False
        if not is_by_ssh_alone() or not dialogue.is_there:
            return True
        return dialogue.proceeds_with("screen_proceed", _SSH, default=False)

    def _undo_earlier(self) -> None:
        if not self.journal.entries:
            return
        if self.is_dry:
            msg = "an earlier deployment was interrupted, and is undone first: leave out --dry-run"
            raise DeployError(msg)
        self.dialogue.info("An earlier deployment was interrupted: undoing what it had made")
        left = undone(self.journal)
        for each in left:
            self.dialogue.info(each)
        if self.journal.entries:
            msg = "an earlier deployment can't be undone: " + "; ".join(left)
            raise DeployError(msg)

    def _undo(self) -> None:
        """Undo what was done to see the storage, and say what is left of it."""
        if not self.is_dry:
            for each in undone(self.journal):
                self.dialogue.complain(each)

    def _planned(self) -> tuple[Course, Sequence[Stage]]:
        """Return what follows from the answers, which decide whether this is the first host."""
        around = ThisMachine()
        first = settle(self.given, self.machine, around, self.dialogue, FIRST_QUESTIONS)
        answered = {**self.given}
        for key, value in first.items():
            if key not in self.given or self.given[key].is_kept:
                answered[key] = Given(text_of(value), "the dialogue")
        places = places_of(first, self.own.state_dir)
        if not self.is_dry:
            storage.connect(first, places, self.journal)
        told = read_told(places)
        if told is None:
            self.dialogue.info("Installing on first host")
            values = settle(answered, self.machine, around, self.dialogue)
            course = beginning.first(self._start(values))
            return attrs.evolve(course, journal=self.journal), first_host(course.outline)
        self.dialogue.info(
            "The storage has a deployment already: this host joins, with the answers given there"
        )
        course = self._further(told, answered)
        return attrs.evolve(course, journal=self.journal), further_host(course.outline)

    def _further(self, told: Told, answered: dict[str, Given]) -> Course:
        answers, _ = given_of(told.answers, _TOLD)
        # What only this host can answer, and how it reaches the storage, is its own.
        own = {
            key: each
            for key, each in answered.items()
            if key in self.given and (key in _OWN or not self.given[key].is_kept)
        }
        hers = {**answers, **{key: own[key] for key in own if key not in answers or key in _OWN}}
        hers["storage_type"] = answered["storage_type"]
        hers |= {key: answered[key] for key in ("storage", "mount_point") if key in answered}
        for key in own.keys() - _OWN - _HOW:
            if key in answers and own[key].text != answers[key].text:
                msg = (
                    f"{own[key].place}: {own[key].text!r} differs from {answers[key].text!r}, the"
                    " answer of the first host, which holds for all"
                )
                raise AnswerError(msg)
        config = merged(told.settings.get("config", {}), self.settings.get("config", {}))
        self.settings = {**told.settings, **self.settings, "config": config}
        around = ThisMachine()
        self.machine = attrs.evolve(self.machine, joins=True)
        values = settle(hers, self.machine, around, self.dialogue)
        return beginning.further(self._start(values), told)

    def _check_machine(self, course: Course) -> None:
        try:
            beginning.check_machine(course)
        except DeployError as error:
            if not self.is_dry:
                raise
            self.dialogue.complain(f"this would be refused: {error}")

    def _start(self, values: dict[str, Any]) -> beginning.Start:
        return beginning.Start(
            values=values,
            settings=self.settings,
            machine=self.machine,
            fitness=self.fitness,
            own=self.own,
            has_systemd=has_systemd(),
            people=self.dialogue,
            limits=self.limits,
        )

    def _confirmed(self, course: Course, stages: Sequence[Stage]) -> int:
        """Show what follows from the answers; do it, where somebody confirms that."""
        text = self.dialogue.text
        text(f"\n{HEADING}\n")
        for line in preview(course.values, course.host_id):
            text(line)
        text("")
        if self.is_dry:
            for stage in stages:
                text(f"{stage.title}:")
                for line in stage.does:
                    text(f"    {line}")
            self.dialogue.info("Nothing was done: --dry-run")
            return 0
        question = "Please confirm installation settings (Yes, No)"
        is_sure = self.is_sure or self.dialogue.proceeds_with(
            "confirm_settings", question, default=False
        )
        if not is_sure:
            self._undo()
            if not self.dialogue.is_there:
                msg = "nobody confirms: give --yes, or OVEHOSTED_CORE/confirmSettings=bool:True"
                raise DeployError(msg)
            self.dialogue.info("Nothing was done")
            return 0
        return self._done(course, stages)

    def _done(self, course: Course, stages: Sequence[Stage]) -> int:
        path = Path(self.own.answers)
        try:
            self._write_answers(course)
            if self.dialogue.is_there:
                kept.keep(path, course.values)
        except HeFsmError:
            self._undo()
            raise
        try:
            carry_out(course, stages, FIRST if course.is_first else FURTHER)
        except HeFsmError as error:
            self.dialogue.complain_lines(str(error))
            if course.is_committed:
                kept.forget(path)
            elif path.exists():
                self.dialogue.info(f"The next run takes the answers, which are kept in {path}")
            return 1
        kept.forget(path)
        self.dialogue.text("Hosted Engine successfully set up")
        return 0

    def _write_answers(self, course: Course) -> None:
        if self.keep_in is None:
            return
        try:
            write_whole(self.keep_in, answers_conf(course.values).encode(), mode=0o600)
        except OSError as error:
            msg = f"--generate-answer: {self.keep_in} can't be written: {error.strerror}"
            raise AnswerError(msg) from error


# A further host's own, and how it reaches the storage.
_OWN: Final = frozenset(("host_id", "hostname", "host_name", "bridge_nic", "ssh_port", "firewall"))
_HOW: Final = frozenset(("storage_type", "storage", "mount_point", "mount_options"))


def _settings(words: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    config = settings_of(words["settings"])
    if config:
        found["config"] = config
    for key in ("engine_api", "engine_ca"):
        if words[key] is not None:
            found[key] = words[key]
    return found
