"""`he-fsm deploy --hypervisor vdsm`: our agents take over from oVirt's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from he_fsm.cli.deploying.dialogue import Dialogue
from he_fsm.deploy.carrying.course import Limits
from he_fsm.deploy.carrying.journal import Journal
from he_fsm.deploy.carrying.machine import has_systemd
from he_fsm.deploy.carrying.run import carry_out
from he_fsm.deploy.carrying.takeover import DEEDS, takeover_of
from he_fsm.deploy.planning.places import Own
from he_fsm.deploy.planning.takeover import takeover_stages
from he_fsm.errors import DeployError, HeFsmError

_SURE = "Please confirm installation settings (Yes, No)"


def take_over(  # noqa: PLR0913 - one for each part
    own: Own,
    settings: Mapping[str, Any],
    journal: Journal,
    dialogue: Dialogue,
    limits: Limits,
    *,
    is_dry: bool,
    is_sure: bool,
) -> int:
    """
    Show what would be done, have it confirmed, do it; return the exit status.

    Raises:
        HeFsmError: it can't be begun, and nothing was done.
    """
    if Path(own.config).exists():
        msg = f"this host is deployed already: {own.config} exists (he-fsm undeploy takes it out)"
        raise DeployError(msg)
    course = takeover_of(own, settings, journal, dialogue, limits, has_systemd=has_systemd())
    stages = takeover_stages(own, has_systemd=course.outline.has_systemd)
    dialogue.text(f"\nHost {course.host_id} of a cluster of oVirt, with vdsm:\n")
    for stage in stages:
        dialogue.text(f"{stage.title}:")
        for line in stage.does:
            dialogue.text(f"    {line}")
    if is_dry:
        dialogue.info("Nothing was done: --dry-run")
        return 0
    if not is_sure and not dialogue.proceeds_with("confirm_settings", _SURE, default=False):
        if not dialogue.is_there:
            msg = "nobody confirms: give --yes, or OVEHOSTED_CORE/confirmSettings=bool:True"
            raise DeployError(msg)
        dialogue.info("Nothing was done")
        return 0
    try:
        carry_out(course, stages, DEEDS)
    except HeFsmError as error:
        dialogue.complain_lines(str(error))
        return 1
    dialogue.text("Hosted Engine successfully taken over")
    return 0
