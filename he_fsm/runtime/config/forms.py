"""Forms of values that only configurations have: paths, patterns, certificates."""

from __future__ import annotations

import ipaddress
import os
import re
from pathlib import Path
from typing import Any, ClassVar, Final, Union
from urllib.parse import urlsplit

import attrs

from he_fsm.document.forms import FLAGS, Duration, Flag, Form, Integer, OrNull, Schema, Text
from he_fsm.document.nodes import Node, Scalar, Sequence, describe, refusal
from he_fsm.metadata.layout import SLOT_BYTES

# What a name in the DNS may have; a record of the whiteboard has room for it.
LINE_BYTES_MAX: Final = 253
TIME: Final = Duration(positive=True)
PORT: Final = Integer(1, 65535)


@attrs.frozen
class PathForm:
    """A path; what is not absolute is below the folder of the file, which is the context."""

    def read(self, node: Node, context: Path) -> Path:
        """Return the absolute path."""
        text = Text("a path").read(node, context)
        if "\0" in text:
            raise refusal(node, "expected a path, which holds no NUL character")
        return Path(os.path.normpath(context / text))

    def schema(self) -> Schema:
        """Return a text."""
        return {"type": "string", "minLength": 1}


@attrs.frozen
class LineForm:
    """A text that can stand in a line of something else: printable, and of at most 253 bytes."""

    what: str
    forbidden: str = ""

    def read(self, node: Node, context: Any) -> str:
        """Return the text."""
        text = Text(self.what).read(node, context)
        if not text.isprintable() or any(character in self.forbidden for character in text):
            hint = f" and without {self.forbidden!r}" if self.forbidden else ""
            raise refusal(node, f"expected {self.what}, printable{hint}, got {describe(node)}")
        if len(text.encode()) > LINE_BYTES_MAX:
            raise refusal(node, f"expected {self.what} of at most {LINE_BYTES_MAX} bytes")
        return text

    def schema(self) -> Schema:
        """Return a text."""
        return {**Text(self.what).schema(), "maxLength": LINE_BYTES_MAX}


@attrs.frozen
class PatternForm:
    """A regular expression, as Python's `re` has them."""

    def read(self, node: Node, context: Any) -> str:
        """Return the expression, after a check that it can be compiled."""
        text = Text("a regular expression").read(node, context)
        try:
            re.compile(text, re.IGNORECASE)
        except (re.error, RecursionError, OverflowError) as e:
            raise refusal(node, f"expected a regular expression, got {text!r}: {e}") from None
        return text

    def schema(self) -> Schema:
        """Return a text."""
        return {"type": "string", "format": "regex"}


@attrs.frozen
class UrlForm:
    """The address of a page, with http or https."""

    def read(self, node: Node, context: Any) -> str:
        """Return the address as it was written."""
        what = "an address that begins with http:// or https://"
        text = Text(what).read(node, context)
        try:
            parts = urlsplit(text)
            is_usable = parts.scheme in ("http", "https") and bool(parts.hostname)
            # Asking for the port is what checks it.
            is_usable = is_usable and parts.port != 0
        except ValueError:
            is_usable = False
        if not is_usable or not text.isprintable() or " " in text:
            raise refusal(node, f"expected {what}, got {describe(node)}")
        return text

    def schema(self) -> Schema:
        """Return a text that begins as it should."""
        return {"type": "string", "pattern": "^[hH][tT][tT][pP][sS]?://"}


@attrs.frozen
class VerifyForm:
    """Whether to verify a certificate, or the path of the certificates to verify it by."""

    def read(self, node: Node, context: Path) -> Union[bool, Path]:
        """Return the flag or the path."""
        if isinstance(node, Scalar) and node.text.lower() in FLAGS:
            return Flag().read(node, context)
        return PathForm().read(node, context)

    def schema(self) -> Schema:
        """Return a flag or a text."""
        return {"anyOf": [*Flag().schema()["anyOf"], PathForm().schema()]}


@attrs.frozen
class OffsetForm:
    """A number of bytes at which a slot may begin: storage is written in whole slots."""

    def read(self, node: Node, context: Any) -> int:
        """Return the offset."""
        offset = Integer(minimum=0).read(node, context)
        if offset % SLOT_BYTES:
            raise refusal(node, f"expected a multiple of {SLOT_BYTES}, got {describe(node)}")
        return offset

    def schema(self) -> Schema:
        """Return an integer, or a string that is one."""
        number, text = Integer(minimum=0).schema()["anyOf"]
        return {"anyOf": [{**number, "multipleOf": SLOT_BYTES}, text]}


@attrs.frozen
class IpForm:
    """An IP address of this host, at which it listens."""

    def read(self, node: Node, context: Any) -> str:
        """Return the address as it was written."""
        text = Text("an IP address like 127.0.0.1").read(node, context)
        try:
            ipaddress.ip_address(text)
        except ValueError:
            message = f"expected an IP address like 127.0.0.1, got {describe(node)}"
            raise refusal(node, message) from None
        return text

    def schema(self) -> Schema:
        """Return a text."""
        return {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]}


MAIL_ADDRESS: Final = LineForm("a mail address")


@attrs.frozen
class AddressesForm:
    """A list of mail addresses, at least one."""

    what: ClassVar[str] = "a list of mail addresses"

    def read(self, node: Node, context: Any) -> tuple[str, ...]:
        """Return the texts."""
        if not isinstance(node, Sequence):
            raise refusal(node, f"expected {self.what}, got {describe(node)}")
        if not node.items:
            raise refusal(node, f"expected {self.what}, got an empty one")
        return tuple(MAIL_ADDRESS.read(item, context) for item in node.items)

    def schema(self) -> Schema:
        """Return an array."""
        return {"type": "array", "items": MAIL_ADDRESS.schema(), "minItems": 1}


@attrs.frozen
class OrNone:
    """What another form reads, or null or the word `none` for none."""

    form: Form

    def read(self, node: Node, context: Any) -> Any:
        """Return the value, or None."""
        if isinstance(node, Scalar) and node.text == "none":
            return None
        return OrNull(self.form).read(node, context)

    def schema(self) -> Schema:
        """Return the form's schema, or one of the words."""
        return {"anyOf": [self.form.schema(), {"enum": [None, "none"]}]}


@attrs.frozen
class MatchForm:
    """A text of which a regular expression matches the whole."""

    what: str
    pattern: str

    def read(self, node: Node, context: Any) -> str:
        """Return the text."""
        text = Text(self.what).read(node, context)
        if re.fullmatch(self.pattern, text) is None:
            raise refusal(node, f"expected {self.what}, got {text!r}")
        return text

    def schema(self) -> Schema:
        """Return a text with the pattern."""
        return {"type": "string", "pattern": f"^(?:{self.pattern})$"}
