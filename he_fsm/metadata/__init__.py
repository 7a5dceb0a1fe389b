"""The whiteboard's format: bytes to records and back. Opens no file."""

from he_fsm.metadata.codec import (
    GlobalBlock,
    SlotContent,
    decode_global,
    decode_slot,
    encode_global,
    encode_record,
    encode_slot,
)
from he_fsm.metadata.engine import (
    PLAIN_CONDITIONS,
    engine_condition,
    engine_from_text,
    engine_json,
    engine_words,
)
from he_fsm.metadata.layout import (
    HOST_ID_MAX,
    PARSE_VERSION,
    RECORD_BYTES,
    SLOT_BYTES,
    WHITEBOARD_BYTES,
)
from he_fsm.metadata.record import EngineStatus, HostRecord, ProblemWord, SlotProblem
from he_fsm.metadata.text import human_text, utc_text
from he_fsm.metadata.whiteboard import Whiteboard

__all__ = [
    "HOST_ID_MAX",
    "PARSE_VERSION",
    "PLAIN_CONDITIONS",
    "RECORD_BYTES",
    "SLOT_BYTES",
    "WHITEBOARD_BYTES",
    "EngineStatus",
    "GlobalBlock",
    "HostRecord",
    "ProblemWord",
    "SlotContent",
    "SlotProblem",
    "Whiteboard",
    "decode_global",
    "decode_slot",
    "encode_global",
    "encode_record",
    "encode_slot",
    "engine_condition",
    "engine_from_text",
    "engine_json",
    "engine_words",
    "human_text",
    "utc_text",
]
