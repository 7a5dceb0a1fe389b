"""
What cloud-init reads at the VM's first boot, as files of a NoCloud medium.

Passwords stand there in plain text where cloud-init or engine-setup need them so: the medium is
private, and is removed after the installation. Source: cloud-init 22.4, NoCloud; engine-setup 4.5.
"""

from __future__ import annotations

import json
from typing import Any, Final

from he_fsm.deploy.asking.question import Values

# The label by which cloud-init knows the medium.
LABEL: Final = "cidata"
_ANSWERS: Final = "/root/engine-answers.conf"


def seed_files(values: Values) -> dict[str, str]:
    """Return the medium's files by name; YAML is written as JSON, of which it is a superset."""
    name, _, domain = str(values["fqdn"]).partition(".")
    meta = {"instance-id": values["vm_id"], "local-hostname": name}
    files = {
        "meta-data": json.dumps(meta, indent=1) + "\n",
        "user-data": "#cloud-config\n"
        + json.dumps(_user_data(values, name, domain), indent=1)
        + "\n",
    }
    if values.get("vm_address"):
        files["network-config"] = json.dumps(_network(values), indent=1) + "\n"
    return files


def _user_data(values: Values, name: str, domain: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "hostname": name,
        "fqdn": f"{name}.{domain}",
        "manage_etc_hosts": "localhost",
        "ssh_pwauth": True,
        "disable_root": False,
        "growpart": {"mode": "auto", "devices": ["/"]},
        "chpasswd": {
            "expire": False,
            "users": [{"name": "root", "password": values["root_password"], "type": "text"}],
        },
    }
    if values.get("root_key"):
        found["users"] = [{"name": "root", "ssh_authorized_keys": [values["root_key"]]}]
    if values.get("ovirt_engine") and values.get("engine_setup"):
        found["write_files"] = [
            {"path": _ANSWERS, "permissions": "0600", "content": _engine_answers(values)}
        ]
        found["runcmd"] = [
            ["engine-setup", "--offline", f"--config-append={_ANSWERS}"],
            ["rm", "-f", _ANSWERS],
        ]
    return found


def _engine_answers(values: Values) -> str:
    pairs = {
        "OVESETUP_CONFIG/fqdn": f"str:{values['fqdn']}",
        "OVESETUP_CONFIG/adminPassword": f"str:{values['admin_password']}",
        "OVESETUP_CONFIG/applicationMode": "str:both",
        "OVESETUP_DB/dbcheckProceed": "bool:True",
        "OVESETUP_CORE/engineStop": "none:None",
    }
    lines = [f"{key}={value}" for key, value in pairs.items()]
    return "\n".join(["[environment:default]", *lines, ""])


def _network(values: Values) -> dict[str, Any]:
    card: dict[str, Any] = {
        "match": {"macaddress": values["mac"]},
        "addresses": [values["vm_address"]],
        "gateway4": values["gateway"],
    }
    if values.get("vm_dns"):
        card["nameservers"] = {"addresses": [values["vm_dns"]]}
    return {"version": 2, "ethernets": {"engine": card}}
