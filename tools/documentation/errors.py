"""What can go wrong when the site is built."""

from __future__ import annotations


class SiteError(Exception):
    """The site can't be built; the message says what is wrong, and what to do."""
