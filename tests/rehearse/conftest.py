"""Every lab has a folder of its own; nothing of it may be left."""

from tests.lab.scratch import labs

__all__ = ["labs"]
