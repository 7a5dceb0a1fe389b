"""
How vdsm connects a host with the storage, by what `hosted-engine.conf` says.

Releases differ in how they name a version of NFS: `domainType` had it first (nfs3, nfs4), and where
it does, `nfs_version` means nothing. Source: ovirt-hosted-engine-setup 2.7.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import attrs

from he_fsm.errors import ConfigError

# vdsm's numbers of the types. Source: vdsm 4.50.7.
_TYPES: Final = {"nfs": 1, "nfs3": 1, "nfs4": 1, "fc": 2, "iscsi": 3, "glusterfs": 7}
# The version that a type names by itself.
_OF_TYPE: Final = {"nfs3": "3", "nfs4": "4"}
_OF_NFS: Final = {"auto": "auto", "v3": "3", "v4": "4", "v4_0": "4.0", "v4_1": "4.1", "v4_2": "4.2"}
_NO_POOL: Final = "00000000-0000-0000-0000-000000000000"


@attrs.frozen(kw_only=True)
class Connection:
    """What `StoragePool.connectStorageServer` and `disconnectStorageServer` get."""

    domain_type: int
    servers: tuple[Mapping[str, Any], ...]

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of both verbs."""
        return {
            "storagepoolID": _NO_POOL,
            "domainType": self.domain_type,
            "connectionParams": [dict(each) for each in self.servers],
        }


def connection_of(values: Mapping[str, str]) -> Connection:
    """
    Return how the storage is connected.

    *values*: those of `hosted-engine.conf`, by key; what is empty or None is missing.

    Raises:
        ConfigError: a value is missing, or is none that vdsm knows.
    """
    kind = _needed(values, "domainType")
    if kind not in _TYPES:
        msg = f"hosted-engine.conf: domainType: expected one of {', '.join(_TYPES)}; got {kind!r}"
        raise ConfigError(msg)
    if kind == "fc":
        servers: tuple[Mapping[str, Any], ...] = ()
    elif kind == "iscsi":
        servers = tuple(_paths(values))
    else:
        servers = (_file_server(values, kind),)
    return Connection(domain_type=_TYPES[kind], servers=servers)


def _file_server(values: Mapping[str, str], kind: str) -> dict[str, Any]:
    found = {
        "connection": _needed(values, "storage"),
        "user": "kvm",
        "id": values.get("connectionUUID", _NO_POOL),
    }
    if kind == "glusterfs":
        found["vfs_type"] = "glusterfs"
    else:
        found["protocol_version"] = _nfs_version(values, kind)
    if "mnt_options" in values:
        found["mnt_options"] = values["mnt_options"]
    return found


def _nfs_version(values: Mapping[str, str], kind: str) -> str:
    if kind in _OF_TYPE:
        return _OF_TYPE[kind]
    named = values.get("nfs_version", "auto")
    if named not in _OF_NFS:
        msg = (
            f"hosted-engine.conf: nfs_version: expected one of {', '.join(_OF_NFS)}; got {named!r}"
        )
        raise ConfigError(msg)
    return _OF_NFS[named]


def _paths(values: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Return one server for each path of an iSCSI target; a value without commas is all paths'."""
    addresses = _needed(values, "storage").split(",")

    def of_path(key: str, number: int) -> str:
        parts = values.get(key, "").split(",")
        if len(parts) not in (1, len(addresses)):
            msg = (
                f"hosted-engine.conf: {key}: expected one value, or one for each of the"
                f" {len(addresses)} addresses in storage; got {len(parts)}"
            )
            raise ConfigError(msg)
        return parts[number] if len(parts) > 1 else parts[0]

    _needed(values, "iqn")
    for number, address in enumerate(addresses):
        yield {
            "connection": address,
            "iqn": of_path("iqn", number),
            "tpgt": of_path("portal", number) or "1",
            "user": of_path("user", number),
            "password": of_path("password", number),
            "id": values.get("connectionUUID", _NO_POOL),
            "port": of_path("port", number) or "3260",
        }


def _needed(values: Mapping[str, str], key: str) -> str:
    found = values.get(key)
    if not found:
        msg = f"hosted-engine.conf: {key} is missing"
        raise ConfigError(msg)
    return found
