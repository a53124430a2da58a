"""The relay's own certificate names the machine, keeps its key, and is offered over TLS 1.3 only."""

from __future__ import annotations

import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509 import DNSName, IPAddress, SubjectAlternativeName, load_pem_x509_certificate

from vault.errors import CannotRead
from vault.relay import tls

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def names(path: Path) -> set[str]:
    found = load_pem_x509_certificate(path.read_bytes())
    value = found.extensions.get_extension_for_class(SubjectAlternativeName).value
    return {str(one) for kind in (DNSName, IPAddress) for one in value.get_values_for_type(kind)}


def test_the_certificate_names_the_host_and_this_machine(tmp_path: Path) -> None:
    certificate, _ = tls.own_certificate(tmp_path, "192.0.2.7", NOW)
    assert names(certificate) == {"192.0.2.7", "localhost", "127.0.0.1", "::1"}


def test_key_and_certificate_are_private_files(tmp_path: Path) -> None:
    for path in tls.own_certificate(tmp_path, "localhost", NOW):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_certificate_and_pin_stay(tmp_path: Path) -> None:
    certificate, _ = tls.own_certificate(tmp_path, "localhost", NOW)
    before = certificate.read_bytes()
    tls.own_certificate(tmp_path, "localhost", NOW + timedelta(days=3000))
    assert certificate.read_bytes() == before
    assert len(bytes.fromhex(tls.pin_of(certificate))) == 32


@pytest.mark.parametrize(("host", "days"), [("relay.example", 0), ("localhost", 3640)])
def test_a_renewed_certificate_keeps_the_pin(tmp_path: Path, host: str, days: int) -> None:
    certificate, _ = tls.own_certificate(tmp_path, "localhost", NOW)
    before, pin = certificate.read_bytes(), tls.pin_of(certificate)
    tls.own_certificate(tmp_path, host, NOW + timedelta(days=days))
    assert certificate.read_bytes() != before
    assert host in names(certificate)
    assert tls.pin_of(certificate) == pin


def test_nothing_older_than_tls_13_is_spoken(tmp_path: Path) -> None:
    context = tls.context(*tls.own_certificate(tmp_path, "localhost", NOW))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3


def test_what_is_no_pair_is_refused(tmp_path: Path) -> None:
    certificate, _ = tls.own_certificate(tmp_path / "one", "localhost", NOW)
    _, key = tls.own_certificate(tmp_path / "other", "localhost", NOW)
    for pair in ((certificate, key), (certificate, tmp_path / "none"), (tmp_path / "none", key)):
        with pytest.raises(CannotRead):
            tls.context(*pair)
    certificate.write_bytes(b"-----BEGIN")
    with pytest.raises(CannotRead):
        tls.own_certificate(tmp_path / "one", "localhost", NOW)
