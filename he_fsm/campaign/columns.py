"""Results as tables for other programs: a row for each run, as CSV or Parquet."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any, Final, Union

from he_fsm.campaign.results import CampaignResult, RunResult
from he_fsm.report.extras import check_extra
from he_fsm.report.files import write_whole

_PLAIN: Final = (
    *("horizon_s", "availability", "downtime_s", "longest_outage_s", "starts", "failed_starts"),
    *("migrations", "failed_migrations", "needless_moves", "resets"),
)
Value = Union[str, int, float]


def rows(result: CampaignResult) -> list[dict[str, Value]]:
    """
    Give a row for each run, all with the same columns.

    `variation`, a column for each key that varies, `seed`, what was counted and timed, `outages`
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


def write_csv(result: CampaignResult, path: Path) -> None:
    """
    Write a row for each run, under a line with the columns' names.

    Raises:
        HeFsmError: the file can't be written.
    """
    found = rows(result)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(found[0]) if found else ["variation", "seed"])
    writer.writeheader()
    writer.writerows(found)
    write_whole(path, text.getvalue().encode())


def check_parquet() -> None:
    """
    Make sure that Parquet can be written.

    Raises:
        MissingExtraError: pyarrow is not installed.
    """
    check_extra("--parquet", "pyarrow", "parquet")


def write_parquet(result: CampaignResult, path: Path) -> None:
    """
    Write the same as Parquet.

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
