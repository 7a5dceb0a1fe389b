"""The guest's kernel, as the tests find it: as the product does, and for others a copy of it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from he_fsm.lab.guest.build import MODULES
from he_fsm.lab.guest.cache import GuestError
from he_fsm.lab.guest.kernel import Kernel, find_kernel


@contextmanager
def skipped_without_packages() -> Iterator[None]:
    """Skip a test where a package is missing that the guest is made of; it says which."""
    try:
        yield
    except GuestError as error:
        if "install the package" in str(error):
            pytest.skip(str(error))
        raise


def kernel_or_skip() -> Kernel:
    """Return the kernel; the test is skipped where there is none, and says what to do."""
    with skipped_without_packages():
        return find_kernel()


def copy_of_kernel(kernel: Kernel, root: Path) -> Path:
    """Copy a kernel, and of its modules those that the guest has, to where others may read it."""
    (root / "boot").mkdir(parents=True)
    shutil.copy(kernel.image, root / "boot" / f"vmlinuz-{kernel.version}")
    copies = root / "lib" / "modules" / kernel.version / "kernel"
    copies.mkdir(parents=True)
    for name in MODULES:
        for module in kernel.modules.glob(f"{name}.ko*"):
            copy = copies / module.relative_to(kernel.modules)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(module, copy)
    return root
