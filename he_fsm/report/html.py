"""What Jupyter shows of a result: who draws it registers here, so no result imports its picture."""

from __future__ import annotations

import functools


@functools.singledispatch
def as_html(result: object) -> str:
    """
    Return a result as HTML without scripts or anything loaded.

    Raises:
        NotImplementedError: nobody draws results of this type; Jupyter then shows their `repr`.
    """
    msg = f"nobody draws a {type(result).__name__}"
    raise NotImplementedError(msg)
