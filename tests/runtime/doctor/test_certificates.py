"""Certificates that end, as openssl reads them."""

from __future__ import annotations

import datetime as dt
import shutil
from pathlib import Path
from typing import Optional

import pytest
import trustme

from he_fsm.runtime.doctor.certificates import end_of, ending_soon

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl")

ENDS = dt.datetime(2031, 5, 17, 12, 0, 5, tzinfo=dt.timezone.utc)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("pki") / "server-cert.pem"
    issued = trustme.CA().issue_cert("host1.example.com", not_after=ENDS.replace(tzinfo=None))
    issued.cert_chain_pems[0].write_to_path(found)
    return found


@pytest.mark.parametrize(
    ("left", "said"),
    [
        (dt.timedelta(days=31), None),
        (dt.timedelta(days=29, hours=23), "ends in 29 days"),
        (dt.timedelta(seconds=1), "ends in 0 days"),
        (dt.timedelta(0), "ended on 2031-05-17"),
        (dt.timedelta(days=-400), "ended on 2031-05-17"),
    ],
)
def test_a_certificate_that_ends_is_named_in_time(
    path: Path, left: dt.timedelta, said: Optional[str]
) -> None:
    found = list(ending_soon(path, ENDS - left))
    assert [each.what for each in found] == (
        [] if said is None else [f"the certificate {path} {said}"]
    )
    assert [each.is_fatal for each in found] == ([] if said is None else [said.startswith("ended")])


@pytest.mark.parametrize("content", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n", None])
def test_what_is_no_certificate_has_no_end(tmp_path: Path, content: Optional[bytes]) -> None:
    path = tmp_path / "cert.pem"
    if content is not None:
        path.write_bytes(content)
    assert end_of(path) is None
    assert list(ending_soon(path)) == []
