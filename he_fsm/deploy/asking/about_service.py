"""Questions about a service that runs under the lease in place of a VM: a program, or a unit."""

from __future__ import annotations

from typing import Final

from he_fsm.deploy.asking import readers
from he_fsm.deploy.asking.conditions import SERVICES, when
from he_fsm.deploy.asking.question import Look, Question, Section

OF_SERVICE: Final = (
    Question(
        key="run",
        section=Section.VM,
        prompt="Please specify the program of the service with its arguments; it has to stay in the"
        " foreground (example: /usr/bin/program --option)",
        read=readers.words,
        label="Program",
        look=Look.PROGRAM,
        applies=when("hypervisor", "command"),
    ),
    Question(
        key="stop_by",
        section=Section.VM,
        prompt="Please specify the signal or the command that stops the program in order",
        read=readers.stop,
        default="SIGTERM",
        is_asked=False,
        label="Stopped by",
        applies=when("hypervisor", "command"),
    ),
    Question(
        key="run_directory",
        section=Section.VM,
        prompt="Please specify the folder in which the program runs",
        read=readers.path,
        default="",
        is_optional=True,
        is_asked=False,
        applies=when("hypervisor", "command"),
    ),
    Question(
        key="unit",
        section=Section.VM,
        prompt="Please specify the unit of systemd, which must not be enabled"
        " (example: postgresql.service)",
        read=readers.unit,
        label="Unit",
        applies=when("hypervisor", "systemd"),
    ),
    Question(
        key="service_health",
        section=Section.VM,
        prompt="Please specify how it is seen that the service is well: a page that answers with"
        " status 200, or a command that ends with status 0 (example: /usr/bin/pg_isready -q)",
        read=readers.page_or_words,
        label="Well by",
        applies=when("hypervisor", *SERVICES),
    ),
    Question(
        key="move_by_restart",
        section=Section.VM,
        prompt="Should a planned move stop the service and start it on the other host? Otherwise it"
        " stays until its host fails (Yes, No)",
        read=readers.yes_no,
        default=True,
        label="Moves by a restart",
        applies=when("hypervisor", *SERVICES),
    ),
    Question(
        key="service_memory_mb",
        section=Section.VM,
        prompt="Please specify the free memory that a host needs for the service, in MB",
        read=readers.whole(0, 16 * 1024 * 1024),
        default=1024,
        label="Memory needed MB",
        applies=when("hypervisor", *SERVICES),
    ),
)
