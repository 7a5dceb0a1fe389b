"""Files of oVirt's hosts: a change touches one value, and is read back by oVirt's own rules."""

from __future__ import annotations

import configparser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from he_fsm.document.lossless import ANSWERS, INI, SHELL, VM, Form

CONF = """\
# Written by the deployment
fqdn=engine.example.com
vm_disk_id = 6e0e
ca_subject="C=EN, L=Test, O=Test, CN=Test"

gateway=192.0.2.1
gateway=192.0.2.254
"""
BROKER = """\
[email]
smtp-server = localhost
; a comment
smtp-port=25

[notify]
state_transition=maintenance|start|stop|migrate|up|down
"""
VM_CONF = """\
# Editing the hosted engine VM is only possible via the manager UI
vmId=11111111-2222-4333-8444-555555555555
memSize = 4 096 # MB
devices={index:2,iface:ide}
devices={device:scsi}
"""
FILES = {"shell": (SHELL, CONF, ""), "ini": (INI, BROKER, "email"), "vm": (VM, VM_CONF, "")}

names = st.text("abcdefghijklmnopqrstuvwxyzABC_-", min_size=1, max_size=8)
values = st.text(st.characters(codec="utf-8"), max_size=12)
lines = st.lists(
    st.one_of(
        st.builds("{}={}".format, names, values),
        st.builds("{} = {}".format, names, values),
        st.builds("# {}".format, values),
        st.builds("[{}]".format, names),
        st.builds("  {}".format, values),
        values,
    ),
    max_size=8,
)
texts = st.builds(lambda parts, end: end.join(parts), lines, st.sampled_from(["\n", "\r\n"]))
forms = st.sampled_from([SHELL, INI, VM, ANSWERS])


def test_values_are_read_as_ovirt_reads_them() -> None:
    assert SHELL.get(CONF, "vm_disk_id") == "6e0e"
    assert SHELL.get(CONF, "ca_subject") == '"C=EN, L=Test, O=Test, CN=Test"'
    assert SHELL.get(CONF, "gateway") == "192.0.2.254"
    assert INI.get(BROKER, "SMTP-Port", "email") == "25"
    assert VM.get(VM_CONF, "memSize") == "4096"
    assert SHELL.get(CONF, "bridge") is None


@pytest.mark.parametrize(
    ("form", "text", "key", "section", "value", "before", "after"),
    [
        (SHELL, CONF, "vm_disk_id", "", "7", "vm_disk_id = 6e0e\n", "vm_disk_id = 7\n"),
        (SHELL, CONF, "gateway", "", "a", "gateway=192.0.2.254\n", "gateway=a\n"),
        (INI, BROKER, "smtp-port", "email", "587", "smtp-port=25\n", "smtp-port=587\n"),
        (VM, VM_CONF, "memSize", "", "8192", "memSize = 4 096 #", "memSize = 8192 #"),
    ],
)
def test_a_change_touches_the_value_alone(
    form: Form, text: str, key: str, section: str, value: str, before: str, after: str
) -> None:
    assert form.set(text, key, value, section) == text.replace(before, after)


def test_a_new_key_stands_behind_the_others_of_its_section() -> None:
    assert SHELL.set("a=1", "b", "2") == "a=1\nb=2\n"
    added = "smtp-port=25\nsmtp-timeout = 10\n"
    assert INI.set(BROKER, "smtp-timeout", "10", "email") == BROKER.replace("smtp-port=25\n", added)
    assert INI.set("[a]\n[b]\n", "k", "1", "a") == "[a]\nk = 1\n[b]\n"
    assert INI.set("", "k", "1", "a") == "[a]\nk = 1\n"


def test_a_value_of_several_lines() -> None:
    text = "[environment:default]\nA/key=multi-str:one\n\ttwo\nB/key=str:x\n"
    assert ANSWERS.get(text, "A/key", "environment:default") == "multi-str:one\ntwo"
    changed = ANSWERS.set(text, "A/key", "multi-str:1\n2\n3", "environment:default")
    assert changed == "[environment:default]\nA/key=multi-str:1\n\t2\n\t3\nB/key=str:x\n"


@pytest.mark.parametrize("value", ["a b", "$(reboot)", "`x`", "a;b", 'a"', "a\nb", "x<>y", "a&"])
def test_nothing_is_written_that_the_shell_would_act_on(value: str) -> None:
    with pytest.raises(ValueError, match="can't be written as a value of"):
        SHELL.set(CONF, "gateway", value)


@pytest.mark.parametrize(
    ("form", "value"), [(VM, "a#b"), (VM, "a b"), (INI, " a"), (ANSWERS, "a\n#b")]
)
def test_what_would_be_read_as_something_else_is_refused(form: Form, value: str) -> None:
    with pytest.raises(ValueError, match="would be read as another value"):
        form.set(
            "[s]\n" if form.has_sections else "", "key", value, "s" if form.has_sections else ""
        )


@given(forms, texts, names, st.text("abc123.:/", max_size=6))
def test_all_other_bytes_stay(form: Form, text: str, key: str, value: str) -> None:
    section = "s" if form.has_sections else ""
    before = form.read(text)
    try:
        changed = form.set(text, key, value, section)
    except ValueError:
        return
    assert form.get(changed, key, section) == value
    known = [each for each in before if each.section == section and _same(form, each.key, key)]
    if known:
        begin, end = known[-1].begin, known[-1].end
        assert changed[:begin] == text[:begin]
        assert changed[begin + len(value) :] == text[end:]
    else:
        # What was there is there, in its order.
        rest = iter(changed)
        assert all(letter in rest for letter in text)


def _same(form: Form, one: str, other: str) -> bool:
    return one.lower() == other.lower() if form.folds else one == other


@given(texts)
def test_options_are_read_as_pythons_parser_reads_them(text: str) -> None:
    parser = configparser.RawConfigParser(strict=False, default_section="")
    try:
        parser.read_string(text)
    except (configparser.Error, AttributeError):
        return
    for section in parser.sections():
        for key, value in parser.items(section):
            ours = INI.get(text, key, section)
            assert ours is not None
            # The parser keeps empty lines within a value.
            assert [part for part in value.split("\n") if part.strip()] == [
                part for part in ours.split("\n") if part.strip()
            ]
