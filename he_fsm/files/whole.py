"""Files that are replaced as a whole: whoever reads one finds the old content, or the new."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Optional

# What file systems answer that can't sync a folder: there is nothing more to do on them.
_NO_SYNC: Final = frozenset({errno.EINVAL, errno.ENOTSUP})


@contextlib.contextmanager
def replacing(path: Path, *, is_durable: bool = True) -> Iterator[Path]:
    """
    Yield a path to write to; what is there becomes *path* when the block ends without an error.

    The path is another one each time: where several write the same file, the last of them wins.

    Args:
        path: what is replaced, in a folder that exists.
        is_durable: after the block the new content also outlasts a crash of the machine.

    Raises:
        OSError: it can't be replaced, and is as it was. Where the disk fails in the very end, the
            new content may be there, and not outlast a crash.
    """
    # Only within one folder a file is replaced at once.
    new = path.with_name(f".{path.name}.{os.urandom(4).hex()}.new")
    try:
        yield new
        if is_durable:
            _sync(new)
        new.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            new.unlink()
        raise
    if is_durable:
        # The new name is a change of the folder.
        _sync(path.parent)


def write_whole(
    path: Path, content: bytes, *, mode: Optional[int] = None, is_durable: bool = True
) -> None:
    """
    Replace a file by one with this content.

    Args:
        path: as of `replacing`.
        content: what is in it then.
        mode: its permissions, from the start; None: those of any new file.
        is_durable: as of `replacing`.

    Raises:
        OSError: as of `replacing`.
    """
    with replacing(path, is_durable=is_durable) as new:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        descriptor = os.open(new, flags, 0o666 if mode is None else mode)
        with os.fdopen(descriptor, "wb") as file:
            if mode is not None:
                # Whatever the umask is.
                os.fchmod(descriptor, mode)
            file.write(content)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)
