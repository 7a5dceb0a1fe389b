"""The worst runs of a campaign as scenario files, to inspect and to replay."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from he_fsm.campaign.draw import scenario_of
from he_fsm.campaign.model import Campaign
from he_fsm.campaign.results import CampaignResult, RunResult
from he_fsm.errors import HeFsmError
from he_fsm.files.inputs import Inputs
from he_fsm.report.files import write_whole
from he_fsm.scenario.language.writing import scenarios_text

_NONE = Inputs({})


def write_worst(
    campaign: Campaign, result: CampaignResult, count: int, folder: Path, inputs: Inputs = _NONE
) -> dict[tuple[str, int], Path]:
    """
    Write the runs with the most downtime as scenario files.

    `he-fsm simulate` replays them with the same outages: the files hold all random draws.

    Returns:
        The file of each run, by the run's key, the worst first.

    Raises:
        HeFsmError: the folder or a file can't be written, or a file is one of *inputs*.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        msg = f"can't make the folder {folder}: {error.strerror}"
        raise HeFsmError(msg) from error
    written = {}
    for run in result.worst(count):
        path = folder / f"{file_name(result.scenario_name(run))}.yaml"
        inputs.spare("--worst", path)
        write_whole(path, run_text(campaign, result, run).encode())
        written[run.key] = path
    return written


def run_text(campaign: Campaign, result: CampaignResult, run: RunResult) -> str:
    """Return a run as the text of a scenario file."""
    design = next(each for each in campaign.designs if each.variation.name == run.variation)
    about = (
        f"Run {run.seed} of the campaign {campaign.name}, {run.variation}: "
        f"{len(run.outages)} outages, {run.downtime_s:.0f} s of downtime, "
        f"{run.longest_outage_s:.0f} s the longest."
    )
    scenario = scenario_of(design, run.seed)
    return scenarios_text([attrs.evolve(scenario, name=result.scenario_name(run), about=about)])


def file_name(name: str) -> str:
    """Return a file name: characters that are unsafe for a file system or a shell become `-`."""
    return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "run"
