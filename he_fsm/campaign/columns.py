"""Results as tables for other programs: CSV or Parquet, with a row for each run."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Final, Optional, Union

from he_fsm.campaign.results import CampaignResult, RunResult
from he_fsm.errors import HeFsmError
from he_fsm.report.extras import check_extra
from he_fsm.report.files import write_whole

_PLAIN: Final = (
    *("horizon_s", "availability", "downtime_s", "longest_outage_s", "starts", "failed_starts"),
    *("migrations", "failed_migrations", "needless_moves", "resets"),
)
Value = Union[str, int, float]


def rows(result: CampaignResult) -> list[dict[str, Value]]:
    """
    Return a row for each run, all with the same columns.

    The columns: `variation`, each varied key, `seed`, the counts and times of the run, `outages`
    (their number), and `downtime_s_CAUSE` for each cause.
    """
    settings = dict.fromkeys(key for each in result.variations for key in each.variation.settings)
    causes = dict.fromkeys(cause for each in result.variations for cause in each.downtime_by_cause)
    return [
        {
            "variation": run.variation,
            **{key: each.variation.settings.get(key, "") for key in settings},
            "seed": run.seed,
            **{name: getattr(run, name) for name in _PLAIN},
            "outages": len(run.outages),
            **_by_cause(run, list(causes)),
        }
        for each in result.variations
        for run in each.runs
    ]


def _by_cause(run: RunResult, causes: list[str]) -> dict[str, Value]:
    found = run.downtime_by_cause
    return {f"downtime_s_{cause.replace(' ', '_')}": found.get(cause, 0.0) for cause in causes}


_PARQUET_MAX: Final = 2**63 - 1


def write_csv(result: CampaignResult, path: Path) -> None:
    """
    Write a row for each run, after a line with the columns' names.

    Raises:
        HeFsmError: the file can't be written.
    """
    found = rows(result)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(found[0]) if found else ["variation", "seed"])
    writer.writeheader()
    writer.writerows(found)
    write_whole(path, text.getvalue().encode())


def check_parquet(seeds: Optional[range] = None) -> None:
    """
    Check that the rows can be written as Parquet, before anything is run.

    Args:
        seeds: those of the runs: Parquet's integers have 64 bits.

    Raises:
        MissingExtraError: pyarrow is not installed.
        HeFsmError: a seed is too large.
    """
    check_extra("--parquet", "pyarrow", "parquet")
    if seeds is not None and seeds[-1] > _PARQUET_MAX:
        msg = (
            f"--parquet holds integers up to {_PARQUET_MAX}, and the seeds go up to {seeds[-1]}:"
            " take a smaller seed, or --csv"
        )
        raise HeFsmError(msg)


def write_parquet(result: CampaignResult, path: Path) -> None:
    """
    Write the rows as Parquet.

    Raises:
        MissingExtraError: pyarrow is not installed.
        HeFsmError: the file can't be written.
    """
    check_parquet()
    import pyarrow as pa  # noqa: PLC0415 - the extra `parquet`
    from pyarrow import parquet  # noqa: PLC0415 - as above

    table: Any = pa.Table.from_pylist(rows(result))
    content = io.BytesIO()
    parquet.write_table(table, content)
    write_whole(path, content.getvalue())
