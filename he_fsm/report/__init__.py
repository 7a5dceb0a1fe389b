"""What runs showed: outcomes, events, pages to look at."""

from __future__ import annotations

# Wherever an outcome comes from, Jupyter finds who draws it.
from he_fsm.report import notebook  # noqa: F401 - it registers with `html.as_html`
