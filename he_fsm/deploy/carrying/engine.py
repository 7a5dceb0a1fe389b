"""The host in the engine: added by the engine's API, and waited for until it is operational."""

from __future__ import annotations

import time
from typing import Any, Final

from he_fsm.deploy.carrying.course import Course
from he_fsm.errors import DeployError, MissingExtraError
from he_fsm.words import span_text

_API: Final = "https://{}/ovirt-engine/api"
_CA: Final = "/etc/pki/vdsm/certs/cacert.pem"
_USER: Final = "admin@internal"
_LOOK_S: Final = 5.0
# Installing a host's packages takes minutes. Source: ovirt-hosted-engine-setup waits 10.
OPERATIONAL_S: Final = 900.0
_UP: Final = "up"
_FAILED: Final = ("install_failed", "non_operational", "error", "non_responsive")
_CALL_S: Final = 60


def make_operational(course: Course) -> None:
    """
    Add this host to the engine, and wait until it is operational.

    Raises:
        MissingExtraError: the engine's SDK is not installed.
        DeployError: the engine refuses, or the host does not become operational in time.
    """
    url = str(course.settings.get("engine_api") or _API.format(course.values["fqdn"]))
    ca = str(course.settings.get("engine_ca") or _CA)
    add_host(url, ca, course, OPERATIONAL_S)


def add_host(url: str, ca: str, course: Course, within_s: float) -> None:
    """
    As `make_operational`, with the API's address and the certificates to trust.

    *ca*: a file; the engine's certificate is always verified where the address begins with https.
    """
    try:
        import ovirtsdk4 as sdk  # noqa: PLC0415 - optional
    except ModuleNotFoundError as error:
        raise MissingExtraError.of(error.name, "engine", "an oVirt engine") from error
    values = course.values
    name = str(values["host_name"])
    try:
        connection = sdk.Connection(
            url=url,
            username=_USER,
            password=str(values["admin_password"]),
            ca_file=ca if url.startswith("https:") else None,
            timeout=_CALL_S,
        )
        try:
            hosts = connection.system_service().hosts_service()
            found = hosts.list(search=f"name={name}")
            host = found[0] if found else _added(sdk, hosts, course, name)
            _await_up(sdk, hosts.host_service(host.id), course, (name, within_s))
        finally:
            connection.close()
    except sdk.Error as error:
        msg = f"the engine at {url} refuses: {error}"
        raise DeployError(msg) from error


def _added(sdk: Any, hosts: Any, course: Course, name: str) -> Any:
    """Have the engine add the host; it logs in by its own key, which the host has to accept."""
    types = sdk.types
    return hosts.add(
        types.Host(
            name=name,
            address=course.fitness.hostname,
            ssh=types.Ssh(
                port=int(course.values["ssh_port"]),
                authentication_method=types.SshAuthenticationMethod.PUBLICKEY,
            ),
        ),
        # The engine must not restart this host, nor replace what runs on it.
        deploy_hosted_engine=False,
        reboot=False,
    )


def _await_up(sdk: Any, service: Any, course: Course, about: tuple[str, float]) -> None:
    name, within_s = about
    course.people.info(
        "Waiting for the host to become operational in the engine. This may take several minutes..."
    )
    ends_at = time.monotonic() + within_s
    status = "unknown"
    while time.monotonic() < ends_at:
        host = service.get()
        status = str(getattr(host.status, "value", host.status))
        if status == _UP:
            course.people.info("The host is now operational")
            return
        if status in _FAILED:
            break
        time.sleep(min(_LOOK_S, max(0.0, ends_at - time.monotonic())))
    del sdk
    msg = f"the host {name} is {status} in the engine after {span_text(within_s)}: see its events"
    raise DeployError(msg)
