"""
Whether KVM works here: found out by running a guest of thirty bytes, not by looking at /dev/kvm.

A /dev/kvm that opens proves nothing: inside of other VMs it may be there and run a guest a hundred
times slower than emulation does, up to an instruction that it does not know.
"""

from __future__ import annotations

import functools
import logging
import os
import subprocess
import tempfile
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)

KVM: Final = "kvm"
TCG: Final = "tcg"
_DEVICE: Final = "/dev/kvm"
# A real processor counts down in 10 ms, QEMU's own start is most of it; where each instruction is
# emulated by the kernel it is over 10 s (about 1 us each).
_COUNT: Final = 20_000_000
_TRIAL_S: Final = 2.0
_ROM_BYTES: Final = 65536
# Where a processor begins: 16 bytes before the end of its first megabyte, which the ROM is.
_RESET_OFFSET: Final = 0xFFF0
# What the guest writes to the port of isa-debug-exit, and QEMU's exit status then; its own failures
# are 1.
_EXIT_WORD: Final = 0x10
_EXIT_STATUS: Final = 2 * _EXIT_WORD + 1
_COUNT_DOWN: Final = (
    b"\x66\xb9" + _COUNT.to_bytes(4, "little")  # mov ecx, count
    + b"\x66\x49"  # again: dec ecx
    + b"\x75\xfc"  # jnz again
    + bytes((0xB0, _EXIT_WORD))  # mov al, word
    + b"\xba\xf4\x00"  # mov dx, 0xf4
    + b"\xee"  # out dx, al
    + b"\xf4"  # hlt
)  # fmt: skip
_JUMP_TO_0: Final = b"\xea\x00\x00\x00\xf0"  # jmp 0xf000:0


@functools.lru_cache(maxsize=4)
def usable_accel(binary: str) -> str:
    """Return kvm where a guest runs with it in reasonable time, else tcg; takes up to 2 s, once."""
    if not os.access(_DEVICE, os.R_OK | os.W_OK):
        return TCG
    if runs_with(binary, KVM):
        return KVM
    _log.warning("%s is there, but a trial guest does not run with it: VMs are emulated", _DEVICE)
    return TCG


def runs_with(binary: str, accel: str) -> bool:
    """Whether a guest counts down and ends QEMU, in time."""
    with tempfile.TemporaryDirectory(prefix="he-fsm-") as folder:
        rom = Path(folder) / "trial.rom"
        rom.write_bytes(_COUNT_DOWN.ljust(_RESET_OFFSET, b"\xf4") + _JUMP_TO_0.ljust(16, b"\xf4"))
        arguments = [
            *(binary, "-machine", "q35", "-accel", accel, "-m", "16M", "-bios", str(rom)),
            *("-nodefaults", "-no-user-config", "-display", "none"),
            *("-device", "isa-debug-exit,iobase=0xf4,iosize=0x04"),
        ]
        try:
            ended = subprocess.run(  # noqa: S603 - the program that runs the VM, too
                arguments, capture_output=True, timeout=_TRIAL_S, check=False
            )
        except (subprocess.TimeoutExpired, OSError):
            return False
        return ended.returncode == _EXIT_STATUS
