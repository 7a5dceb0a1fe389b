"""`he-fsm vm define`, `show`, `edit`: the definition of the engine VM that all hosts share."""

from __future__ import annotations

import difflib
import json
import sys
import tempfile
from datetime import datetime, timezone
from pathlib import Path
from typing import Optional

import click

from he_fsm.cli.options.asking import Consent, destroys
from he_fsm.cli.options.common import json_option
from he_fsm.cli.options.config import config_option
from he_fsm.errors import ConfigError, HeFsmError
from he_fsm.metadata.definition import Document
from he_fsm.runtime import registry
from he_fsm.runtime.config import load_config
from he_fsm.runtime.config.settings import Config
from he_fsm.runtime.hypervisors.libvirt.definition import publishing
from he_fsm.runtime.kinds import LeaseKind
from he_fsm.runtime.storage.set_up import gid_for_files


@click.command()
@click.argument("file", metavar="FILE.xml", type=click.Path(path_type=Path), required=False)
@click.option(
    "--from-domain",
    "domain",
    metavar="NAME",
    help="The definition that libvirt on this host has of this domain, without its passwords.",
)
@destroys
@config_option
def define(path: Path, file: Optional[Path], domain: Optional[str], consent: Consent) -> None:
    """
    Write a definition on the shared storage, as the next version.

    Each host defines the domain by it before the next start there; a VM that runs is not touched.
    Asks where there is one already, and it is another one. FILE.xml may be `-` for standard input.
    Exit status 2: no host would start the domain by this
    definition, and what was there stays.
    """
    if (file is None) == (domain is None):
        msg = "give either FILE.xml or --from-domain NAME"
        raise click.UsageError(msg)
    config = load_config(path)
    section = publishing.section_of(config)
    xml = _text_of(file) if domain is None else publishing.of_domain(section, domain)
    _check(config, xml)
    before = publishing.last(section)
    if before is None and consent.is_rehearsal:
        click.echo(f"would write the first definition in {section.definition}")
        return
    if before is None or before.text == xml or consent.given(*_replacing(before, xml)):
        click.echo(_said(_published(config, xml, before)))


@click.command()
@config_option
@json_option
def show(path: Path, as_json: bool) -> None:
    """Print the definition on the shared storage; its version goes to standard error."""
    document = publishing.published(publishing.section_of(load_config(path)))
    if as_json:
        shown = {"version": document.version, "written": _moment(document), "xml": document.text}
        click.echo(json.dumps(shown, indent=2))
        return
    click.echo(_said(document), err=True)
    click.echo(document.text.rstrip("\n"))


@click.command()
@destroys
@config_option
def edit(path: Path, consent: Consent) -> None:
    """
    Change the definition in an editor ($VISUAL or $EDITOR), and write it as the next version.

    Exit status 2: no host would start the domain by what was written; nothing is changed.
    """
    config = load_config(path)
    document = publishing.published(publishing.section_of(config))
    text = click.edit(document.text, extension=".xml")
    if text is None or text == document.text:
        click.echo(f"version {document.version} stays: nothing was changed")
        return
    try:
        _check(config, text)
        if consent.given(*_replacing(document, text)):
            click.echo(_said(_published(config, text, document)))
    except (HeFsmError, click.Abort) as error:
        why = "stopped" if isinstance(error, click.Abort) else error
        msg = f"{why}. What you wrote is in {_kept(text)}"
        raise ConfigError(msg) from error


def _kept(text: str) -> str:
    """Write what somebody wrote to a file of this user's alone, and return its path."""
    with tempfile.NamedTemporaryFile(
        "w", encoding="utf-8", prefix="he-fsm-vm-", suffix=".xml", delete=False
    ) as file:
        file.write(text)
        return file.name


def _replacing(before: Document, xml: str) -> tuple[str, list[str]]:
    """Return what a new definition replaces: a sentence, and the lines that differ."""
    lines = difflib.unified_diff(
        before.text.splitlines(), xml.splitlines(), "now", "then", n=1, lineterm=""
    )
    return f"replace the definition of all hosts: {_said(before)}", list(lines)


def _check(config: Config, xml: str) -> None:
    """Raise `ConfigError` where no host would start the domain by this definition."""
    section = publishing.section_of(config)
    kind: LeaseKind = registry.load(registry.LEASES, config.leases)
    if kind.sight is None:
        msg = f"leases: {config.leases} are none that libvirt takes"
        raise ConfigError(msg)
    faults = publishing.faults_of(section, xml, kind.sight(config).place)
    if faults:
        msg = "no host would start the domain by this: " + "; ".join(map(str, faults))
        raise ConfigError(msg)


def _published(config: Config, xml: str, before: Optional[Document]) -> Document:
    """Write the definition, unless another one than *before* was written meanwhile."""
    section = publishing.section_of(config)
    now = publishing.last(section)
    if now is not None and now != before:
        msg = f"version {now.version} was written meanwhile"
        raise ConfigError(msg)
    return publishing.publish(section, xml, gid_for_files(config))


def _text_of(file: Optional[Path]) -> str:
    try:
        raw = sys.stdin.buffer.read() if file is None or str(file) == "-" else file.read_bytes()
        return raw.decode()
    except OSError as error:
        msg = f"{file} can't be read: {error.strerror}"
        raise HeFsmError(msg) from error
    except UnicodeDecodeError as error:
        msg = f"{file} is no text in UTF-8"
        raise HeFsmError(msg) from error


def _moment(document: Document) -> str:
    return datetime.fromtimestamp(document.version, timezone.utc).isoformat()


def _said(document: Document) -> str:
    return f"version {document.version}, written {_moment(document)}"
