"""From which files a host's VM begins the guest: links that can lead to others."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.lab.guest.build import Guest
from he_fsm.runtime.hypervisors.qemu.section import VmConfig

# Neither a kernel nor a saved state: QEMU ends when it finds that.
_NOTHING: Final = b"this is no guest\n"


@attrs.frozen(kw_only=True)
class Origin:
    """A kernel, its first file system, and a saved state if the guest is resumed from one."""

    kernel: Path
    initrd: Path
    saved_state: Optional[Path] = None

    @classmethod
    def of(cls, guest: Guest) -> Origin:
        """Return the files of a guest that boots."""
        return cls(kernel=guest.kernel, initrd=guest.initrd)


class GuestFiles:
    """The links of one host, in a folder of their own; `lead` turns them."""

    def __init__(self, folder: Path) -> None:
        """Make the folder; the links come with the first `lead`."""
        folder.mkdir()
        self._folder = folder
        self._nothing = folder / "nothing"
        self._nothing.write_bytes(_NOTHING)

    def lead(self, origin: Optional[Origin]) -> None:
        """Start the guest from *origin*; None: from nothing, so that no start succeeds."""
        broken = Origin(kernel=self._nothing, initrd=self._nothing, saved_state=self._nothing)
        for name, target in attrs.asdict(origin or broken).items():
            if target is not None:
                new = self._folder / f"{name}.new"
                new.symlink_to(target)
                new.replace(self._folder / name)

    @staticmethod
    def places(folder: Path) -> Origin:
        """Return the links in *folder*, which may be seen elsewhere too."""
        return Origin(
            kernel=folder / "kernel", initrd=folder / "initrd", saved_state=folder / "saved_state"
        )

    def begins(self, vm: VmConfig) -> VmConfig:
        """Return the VM with these files for its own."""
        links = self.places(self._folder)
        return attrs.evolve(
            vm,
            kernel=links.kernel,
            initrd=links.initrd,
            saved_state=None if vm.saved_state is None else links.saved_state,
        )
