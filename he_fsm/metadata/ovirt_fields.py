"""
A record's fields as oVirt's own commands print them: by its names, in its order, in its words.

Source: docs/metadata-format.md, and the output of `hosted-engine --vm-status` of
ovirt-hosted-engine-setup 2.7 (golden data of its own code).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Union

from he_fsm.metadata.codec import decode_slot
from he_fsm.metadata.layout import RECORD_BYTES
from he_fsm.metadata.record import HostRecord

Field = Union[int, str, bool]

# Places in the record. Source: docs/metadata-format.md.
_ENGINE: Final = 5
_MAINTENANCE: Final = 7
_STOPPED: Final = 8
_CRC: Final = 9
_CONF: Final = 11


def fields_of(host_id: int, block: bytes) -> Mapping[str, Field]:
    """
    Return what a slot says; empty where it is empty or can't be believed, as oVirt has it.

    `engine-status` is its raw text. A field that the record does not have, because its writer is
    older, is missing.
    """
    record = decode_slot(host_id, block)
    if not isinstance(record, HostRecord):
        return {}
    raw = block[:RECORD_BYTES].rstrip(b"\0").decode().split("|")
    found: dict[str, Field] = {
        "host-id": record.host_id,
        "host-ts": record.timestamp,
        "score": record.score,
        "engine-status": raw[_ENGINE],
        "hostname": record.hostname,
    }
    if len(raw) > _MAINTENANCE:
        found["maintenance"] = record.local_maintenance
    if len(raw) > _STOPPED:
        found["stopped"] = record.stopped
    if len(raw) > _CRC:
        found["crc32"] = raw[_CRC]
    if len(raw) > _CONF:
        found["conf_on_shared_storage"] = record.conf_on_shared_storage
        found["local_conf_timestamp"] = record.local_conf_timestamp
    if record.text:
        found["extra"] = record.text
    return found
