"""
Reading oVirt's own files, for what our file does not say.

What they say becomes a tree like that of our file, whose places are in oVirt's files. Source:
ovirt-hosted-engine-setup and ovirt-hosted-engine-ha 2.5; docs/configuration.md has the table.
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, Optional

import attrs

from he_fsm.document.files import read_text
from he_fsm.document.nodes import Mapping as Tree
from he_fsm.document.nodes import Node, Pair, Place, Scalar, Sequence
from he_fsm.errors import DocumentError
from he_fsm.runtime.config.outside import OvirtConfig
from he_fsm.runtime.config.settings import HEALTH_PAGE

# What `agent.conf` calls the fields of a policy.
SCORE_KEYS: Final[Mapping[str, str]] = {
    "base-score": "base_score",
    "not-uptodate-config-penalty": "config_weight",
    "network-score-penalty": "gateway_weight",
    "mgmt-bridge-score-penalty": "bridge_weight",
    "free-memory-score-penalty": "memory_weight",
    "cpu-load-score-penalty": "cpu_load_weight",
    "cpu-load-penalty-min": "cpu_load_low",
    "cpu-load-penalty-max": "cpu_load_high",
    "engine-retry-score-penalty": "failed_start_penalty",
}
MAIL_KEYS: Final[Mapping[str, str]] = {
    "smtp-server": "server",
    "smtp-port": "port",
    "smtp-timeout": "timeout",
    "source-email": "from",
}
Values = Mapping[str, Scalar]
Sections = Mapping[tuple[str, str], Scalar]
# The policy of oVirt's agents, which `agent.conf` changes.
_BASE: Final = "ovirt"


def read_ovirt(files: OvirtConfig, own: Tree) -> Tree:
    """
    Read what oVirt's files say, as a tree with the keys of our file.

    Args:
        files: where they are.
        own: our file; which test of the network it names, and which policy, decides what of
            oVirt's values means anything.

    Raises:
        DocumentError: a file is there and can't be read or understood; names file and line.
    """
    deployment = deployment_of(files)
    if deployment.get("configured", _absent("True")).text != "True":
        return _tree({})
    vm = _vm(files, deployment)
    found: dict[str, Optional[Node]] = {
        "host.id": deployment.get("host_id"),
        "storage.domain_id": deployment.get("sdUUID"),
        "engine.vm_id": deployment.get("vmid") or vm.get("vmId"),
        "engine.memory": vm.get("memSize"),
        "engine.health.url": _health_url(deployment.get("fqdn")),
        "monitors.bridge.name": deployment.get("bridge"),
        **_vdsm(files, deployment, own),
        **_network(deployment, own),
        **_notify(files),
        **_policy(files, deployment, own),
    }
    if _at(own, "monitors", "bridge", "path") is not None:
        del found["monitors.bridge.name"]
    return _tree({key: node for key, node in found.items() if node is not None})


def deployment_of(files: OvirtConfig) -> dict[str, Scalar]:
    """
    Return what `hosted-engine.conf` says, by key; nothing where there is none.

    Raises:
        DocumentError: it is there and can't be read or understood.
    """
    return _deployment(files.setup_dir / "hosted-engine.conf")


def _vdsm(
    files: OvirtConfig, deployment: Mapping[str, Scalar], own: Tree
) -> dict[str, Optional[Node]]:
    """Return how this host's vdsm is reached, and the engine's disk, if our file names vdsm."""
    kind = _at(own, "hypervisor", "kind")
    if not (isinstance(kind, Scalar) and kind.text == "vdsm"):
        return {}
    conf = deployment.get("conf")
    if conf is not None and files.run_dir is not None:
        path = str(files.run_dir / "vm.conf")
        conf = attrs.evolve(conf, text=path, value=path)
    return {
        "hypervisor.tls": deployment.get("vdsm_use_ssl"),
        "hypervisor.conf": conf,
        "vdsm.image": deployment.get("vm_disk_id"),
        "vdsm.volume": deployment.get("vm_disk_vol_id"),
    }


def _network(deployment: Mapping[str, Scalar], own: Tree) -> dict[str, Optional[Node]]:
    """Return the test of the network and its address: oVirt has one address for each test."""
    own_test = _at(own, "monitors", "network", "test")
    test = own_test if isinstance(own_test, Scalar) else deployment.get("network_test")
    found: dict[str, Optional[Node]] = {"monitors.network.test": deployment.get("network_test")}
    word = "ping" if test is None else test.text
    if word == "ping":
        found["monitors.network.address"] = deployment.get("gateway")
    elif word == "tcp":
        found["monitors.network.address"] = deployment.get("tcp_t_address")
        found["monitors.network.port"] = deployment.get("tcp_t_port")
    return found


def _notify(files: OvirtConfig) -> dict[str, Optional[Node]]:
    path = broker_path(files)
    if path is None:
        return {}
    values = values_of(path)
    # oVirt's broker sends mails even where the file says nothing about them.
    found: dict[str, Optional[Node]] = {"notify.smtp": Tree(Place(str(path)), "email", {})}
    for theirs, ours in MAIL_KEYS.items():
        found[f"notify.smtp.{ours}"] = values.get(("email", theirs))
    found["notify.smtp.to"] = _addresses(values.get(("email", "destination-emails")))
    found["notify.transitions"] = values.get(("notify", "state_transition"))
    return found


def _policy(
    files: OvirtConfig, deployment: Mapping[str, Scalar], own: Tree
) -> dict[str, Optional[Node]]:
    """
    Return the policy `ovirt` on a host that oVirt has deployed, with its fields in `agent.conf`.

    Other hosts of the cluster may run oVirt's agents, whose scores only mean something by its
    numbers. Nothing is returned if our file names another policy.
    """
    path = files.agent_dir / "agent.conf"
    base = _at(own, "policy", "base")
    if base is not None and not (isinstance(base, Scalar) and base.text == _BASE):
        return {}
    values = values_of(path)
    found: dict[str, Optional[Node]] = {
        f"policy.{ours}": values[("score", theirs)]
        for theirs, ours in SCORE_KEYS.items()
        if ("score", theirs) in values
    }
    if found or deployment:
        place = Place(str(path if found else files.setup_dir / "hosted-engine.conf"))
        found["policy.base"] = Scalar(place, "policy.base", _BASE, _BASE)
    return found


def _health_url(fqdn: Optional[Scalar]) -> Optional[Scalar]:
    if fqdn is None:
        return None
    # An address of IPv6 needs brackets, and none of IPv4, nor a name, has a colon.
    host = f"[{fqdn.text}]" if ":" in fqdn.text and not fqdn.text.startswith("[") else fqdn.text
    url = f"http://{host}{HEALTH_PAGE}"
    return attrs.evolve(fqdn, text=url, value=url)


def _addresses(listed: Optional[Scalar]) -> Optional[Sequence]:
    if listed is None:
        return None
    parts = [part.strip() for part in listed.text.split(",")]
    items = tuple(attrs.evolve(listed, text=part, value=part) for part in parts if part)
    return Sequence(listed.place, listed.path, items)


def _deployment(path: Path) -> dict[str, Scalar]:
    """Read `hosted-engine.conf`: `key=value`, spaces around both left out, `#` begins a comment."""
    found = {}
    for number, line in _lines(path):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not key.strip():
            msg = f"{path}:{number}:1: expected KEY=VALUE, got {line.strip()[:40]!r}"
            raise DocumentError(msg)
        column = len(key) + 1 + len(value) - len(value.lstrip()) + 1
        found[key.strip()] = _scalar(path, number, column, key.strip(), value)
    # A value that is missing is written as nothing, or as Python's word for it.
    return {key: value for key, value in found.items() if value.text not in ("", "None")}


def _vm(files: OvirtConfig, deployment: Mapping[str, Scalar]) -> dict[str, Scalar]:
    """
    Read `vm.conf`: white space means nothing there, `#` begins a comment anywhere.

    Of keys that stand there several times the last counts. Lines without `=` are keys without a
    value, which none of ours is.
    """
    folder = files.run_dir
    if folder is not None:
        path = folder / "vm.conf"
    elif "conf" in deployment:
        path = Path(deployment["conf"].text)
    else:
        path = Path("/var/run/ovirt-hosted-engine-ha/vm.conf")
    if _read(path) is None:
        path = path.with_name(path.name + ".fallback")
    found = {}
    for number, line in _lines(path):
        key, equals, value = "".join(line.split()).partition("#")[0].partition("=")
        if equals and value:
            found[key] = _scalar(path, number, line.index("=") + 2, key, value)
    return found


def broker_path(files: OvirtConfig) -> Optional[Path]:
    """Return the `broker.conf` that counts; None: there is none."""
    candidates = (files.state_dir / "broker.conf", files.agent_dir / "broker.conf")
    return next((each for each in candidates if _read(each) is not None), None)


def values_of(path: Path) -> dict[tuple[str, str], Scalar]:
    """
    Return the values of an INI file that are not empty, by section and key.

    Raises:
        DocumentError: it is there and can't be read or understood.
    """
    text = _read(path)
    if text is None:
        return {}
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text, str(path))
    except configparser.Error as e:
        raise _ini_error(path, text, e) from e
    places = _ini_places(text)
    found = {}
    for section in parser.sections():
        for key, value in parser.items(section):
            # A section inherits from the section DEFAULT.
            owner = section if (section, key) in places else configparser.DEFAULTSECT
            if value.strip():
                # The library reads stranger lines than we find: those have no place.
                line, column = places.get((owner, key), (0, 0))
                found[section, key] = _scalar(path, line, column, key, value)
    return found


def _ini_error(path: Path, text: str, error: configparser.Error) -> DocumentError:
    if isinstance(error, configparser.DuplicateOptionError):
        return DocumentError(f"{path}:{error.lineno}:1: {error.option} stands here twice")
    if isinstance(error, configparser.DuplicateSectionError):
        return DocumentError(f"{path}:{error.lineno}:1: [{error.section}] stands here twice")
    if isinstance(error, configparser.MissingSectionHeaderError):
        number = error.lineno
    elif isinstance(error, configparser.ParsingError):
        number = error.errors[0][0]
    else:
        return DocumentError(f"{path}: {error}")
    line = text.split("\n")[number - 1].strip()
    return DocumentError(f"{path}:{number}:1: expected [SECTION] or KEY = VALUE, got {line[:40]!r}")


def _ini_places(text: str) -> dict[tuple[str, str], tuple[int, int]]:
    """Find line and column of each value, which the library does not tell."""
    section = configparser.DEFAULTSECT
    found = {}
    for number, line in enumerate(text.split("\n"), 1):
        header = configparser.RawConfigParser.SECTCRE.match(line.strip())
        option = configparser.RawConfigParser.OPTCRE.match(line)
        if header is not None:
            section = header["header"]
        elif option is not None and not line[:1].isspace():
            key = option["option"].strip().lower()
            found[section, key] = (number, option.start("value") + 1)
    return found


def _scalar(path: Path, line: int, column: int, key: str, value: str) -> Scalar:
    text = value.strip()
    return Scalar(Place(str(path), line, column), key, text, text)


def _absent(text: str) -> Scalar:
    return Scalar(Place(""), "", text, text)


def _read(path: Path) -> Optional[str]:
    """Return the text of a file, or None where there is none."""
    try:
        return read_text(path)
    except DocumentError as e:
        if isinstance(e.__cause__, (FileNotFoundError, NotADirectoryError)):
            return None
        msg = f"{e}; where oVirt's files are not meant to be read, set 'ovirt: none'"
        raise DocumentError(msg) from e.__cause__


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    return enumerate((_read(path) or "").split("\n"), 1)


def _at(tree: Node, *keys: str) -> Optional[Node]:
    """Return what stands at a path of keys; None: nothing, or nothing but null."""
    node: Optional[Node] = tree
    for key in keys:
        node = node.get(key) if isinstance(node, Tree) else None
    return None if isinstance(node, Scalar) and node.value is None else node


def _tree(values: Mapping[str, Node]) -> Tree:
    """Make a tree of values by dotted keys; its mappings have the place of their first value."""
    root = Tree(Place(""), "", {})
    for dotted, value in values.items():
        *above, last = dotted.split(".")
        inside = root
        for depth, key in enumerate(above, 1):
            if key not in inside.pairs:
                path = ".".join(above[:depth])
                inside.pairs[key] = _pair(key, Tree(value.place, path, {}))
            below = inside.pairs[key].value
            inside = below if isinstance(below, Tree) else Tree(value.place, "", {})
        inside.pairs[last] = _pair(last, value)
    return root


def _pair(key: str, value: Node) -> Pair:
    return Pair(Scalar(value.place, value.path, key, key), value)
