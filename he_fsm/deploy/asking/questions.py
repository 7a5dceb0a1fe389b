"""
The questions of a deployment, in the order in which they are asked.

Order and words are those of oVirt's installer of 2013, with what came after: storage of other
kinds, a VM without oVirt, a pre-installed image with cloud-init. Source: the talk's simulation of
a setup, and ovirt-hosted-engine-setup 2.7 for the keys of `answers.conf`.
"""

from __future__ import annotations

from typing import Final

from he_fsm.deploy.asking.about_network import OF_ENGINE, OF_NETWORK
from he_fsm.deploy.asking.about_service import OF_SERVICE
from he_fsm.deploy.asking.about_storage import OF_HOST, OF_STORAGE
from he_fsm.deploy.asking.about_vm import OF_VM

QUESTIONS: Final = (*OF_HOST, *OF_STORAGE, *OF_NETWORK, *OF_SERVICE, *OF_VM, *OF_ENGINE)
# By these it is known whether the storage has a deployment already; a further host needs no disk.
FIRST_QUESTIONS: Final = tuple(
    question
    for question in (*OF_HOST, *OF_STORAGE)
    if question.key not in ("vm_device", "vm_lun", "hosts")
)
BY_KEY: Final = {question.key: question for question in QUESTIONS}
