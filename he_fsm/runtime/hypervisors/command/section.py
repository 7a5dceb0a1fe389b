"""The section `hypervisor` of kind `command`: the program, and how it is stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Union

import attrs

from he_fsm.document.forms import OrNull
from he_fsm.document.mappings import written_as
from he_fsm.runtime.config.forms import PathForm
from he_fsm.runtime.config.kind_form import named
from he_fsm.runtime.hypervisors.service.section import ServiceSection, StopForm, WordsForm


@attrs.frozen(kw_only=True)
class CommandConfig(ServiceSection):
    """Any program, of which one instance runs in the cluster."""

    kind: str = named("command", "command: any program, `run`")
    run: Optional[tuple[str, ...]] = attrs.field(
        default=None,
        metadata=written_as(
            "run",
            OrNull(WordsForm()),
            "the program and its arguments, a list; no shell reads it, and it "
            "stays in the foreground",
        ),
    )
    stop: Union[str, tuple[str, ...]] = attrs.field(
        default="SIGTERM",
        metadata=written_as(
            "stop",
            StopForm(),
            "the signal that stops the program in order, or a command that does, "
            "with the program's number as $MAINPID; after the policy's stop_timeout_s it is killed",
        ),
    )
    directory: Optional[Path] = attrs.field(
        default=None,
        metadata=written_as(
            "directory",
            OrNull(PathForm()),
            "where the program runs; null: where the agent does",
        ),
    )

    @property
    def called(self) -> str:
        """What people call the program."""
        return self.name or Path((self.run or ("",))[0]).name
