"""The relay's own certificate: self-signed, kept with its key, and known to devices by the hash of that key.

Devices pin the SHA-256 of the public key (SPKI), not of the certificate: a renewed certificate keeps its pin.
"""

from __future__ import annotations

import hashlib
import ipaddress
import socket
import ssl
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vault.errors import CannotRead
from vault.files import make_private_folder, read_file, write_private

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

_DAYS = 3650
_RENEW_DAYS = 30
_KEY, _CERTIFICATE = "tls-key.pem", "tls-certificate.pem"


def own_certificate(folder: Path, host: str, now: datetime) -> tuple[Path, Path]:
    """Return the paths of certificate and key, made or renewed if needed; raises ``CannotWrite``, ``DiskFull``."""
    make_private_folder(folder)
    certificate, key = folder / _CERTIFICATE, folder / _KEY
    if not key.exists():
        write_private(key, _new_key(), replace=False)
    if not certificate.exists() or not _serves(certificate, host, now):
        write_private(certificate, _certificate(read_file(key), _names(host), now))
    return certificate, key


def pin_of(certificate: Path) -> str:
    """Return the pin of a certificate file, 64 hexadecimal digits; raises ``CannotRead``."""
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    spki = _read(certificate).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(spki).hexdigest()


def context(certificate: Path, key: Path) -> ssl.SSLContext:
    """Return the server's side of TLS 1.3; raises ``CannotRead`` if the two are no pair."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.set_alpn_protocols(["http/1.1"])
    try:
        made.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError):
        raise CannotRead(f"{certificate} and {key} are no certificate and its key", hint="see --tls") from None
    return made


def _new_key() -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _serves(certificate: Path, host: str, now: datetime) -> bool:
    """Tell whether the certificate names the host and will hold for some time."""
    from cryptography.x509 import DNSName, IPAddress, SubjectAlternativeName

    found = _read(certificate)
    names = found.extensions.get_extension_for_class(SubjectAlternativeName).value
    told = {str(one) for kind in (DNSName, IPAddress) for one in names.get_values_for_type(kind)}
    return _names(host) <= told and now < found.not_valid_after_utc - timedelta(days=_RENEW_DAYS)


def _certificate(key: bytes, names: set[str], now: datetime) -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    private: Any = load_pem_private_key(key, password=None)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Keyferry relay")])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=_DAYS))
        .add_extension(x509.SubjectAlternativeName([_general(one) for one in sorted(names)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    )
    return made.sign(private, SHA256()).public_bytes(Encoding.PEM)


def _names(host: str) -> set[str]:
    """Return what devices may call this machine."""
    wildcard = host in ("", "0.0.0.0", "::")  # noqa: S104
    names = {"localhost", "127.0.0.1", "::1", *({socket.gethostname()} if wildcard else {host})}
    return {name for name in names if name.isascii() and len(name) <= 253}


def _general(name: str) -> Any:
    from cryptography.x509 import DNSName, IPAddress

    try:
        return IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return DNSName(name)


def _read(certificate: Path) -> Certificate:
    from cryptography.x509 import load_pem_x509_certificate

    try:
        return load_pem_x509_certificate(read_file(certificate))
    except ValueError:
        raise CannotRead(f"{certificate} is no certificate", hint="remove it, and a new one is made") from None


def read_pair(text: str) -> tuple[Path, Path]:
    """Return certificate and key of ``CERT,KEY``; raises ``ValueError``."""
    certificate, comma, key = text.partition(",")
    if not (certificate and comma and key):
        raise ValueError("not a pair")
    return Path(certificate), Path(key)
