"""What an agent writes into slot 0: the last good value again, or the end of a maintenance."""

from __future__ import annotations

import logging
from typing import Optional, Protocol, Union

from he_fsm.effects import EndGlobal, WriteGlobal
from he_fsm.errors import HeFsmError
from he_fsm.runtime.service.log import Repeats

_log = logging.getLogger(__name__)


class Slot0Broker(Protocol):
    """The broker's part in it."""

    def mend_global(self, maintenance: bool, until: Optional[int] = None) -> bool:
        """Write slot 0 if it can't be believed; say whether it was written."""

    def end_global(self, until: int) -> bool:
        """End global maintenance if slot 0 says that it ends then; say whether it was written."""


def write_slot_0(
    effect: Union[WriteGlobal, EndGlobal], broker: Slot0Broker, repeats: Repeats
) -> None:
    """Carry the effect out; the decision asks anew while it is needed."""
    try:
        if isinstance(effect, EndGlobal):
            is_written = broker.end_global(effect.until)
        elif effect.until is None:
            is_written = broker.mend_global(effect.maintenance)
        else:
            is_written = broker.mend_global(effect.maintenance, effect.until)
    except HeFsmError as error:
        repeats.complain("slot 0", "slot 0 is not written again: %s", error)
        return
    repeats.end("slot 0", "slot 0 can be written again")
    if isinstance(effect, EndGlobal):
        if is_written:
            _log.warning("the time of global maintenance is over: it is ended")
    elif is_written:
        word = "on" if effect.maintenance else "off"
        _log.warning("slot 0 is written again: global maintenance is %s, as before", word)
    else:
        _log.info("slot 0 is not written again: somebody else has mended it")
