"""A relay over HTTPS: known by its certificate's key, believed in nothing, and read no further than an answer can be.

TLS 1.3 at least. With a pin only the certificate whose key has this SHA-256 is talked to, whoever signed it, and no
byte of a request goes out before that is known. Plain HTTP is for loopback only.
"""

from __future__ import annotations

import hashlib
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import urlsplit

from vault.errors import RelayMisbehaves, RelayUnreachable
from vault.sync import wire

PATIENCE = 20.0  # seconds for the next bytes of an answer
_LONGEST = 600.0  # seconds for all of them
_MOST_BYTES = wire.MOST_BLOB + (1 << 20)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a relay answered; its body as it came."""

    status_code: int
    headers: Mapping[str, str]
    content: bytes


class Http:
    """Talks to one relay, without proxies and without following anything."""

    def __init__(self, origin: str, pin: str) -> None:
        import httpx2

        self._origin = origin
        self._client = httpx2.Client(
            base_url=origin,
            verify=_context(pin) if origin.startswith("https") else True,
            timeout=PATIENCE,
            follow_redirects=False,
            trust_env=False,
            headers={"user-agent": "keyferry", "accept-encoding": "identity"},
        )

    def request(
        self, method: str, target: str, *, content: bytes | None, headers: Mapping[str, str], timeout: float
    ) -> Answer:
        """Ask, and return the answer; raises ``RelayMisbehaves`` for one without an end, and as the library."""
        until = time.monotonic() + _LONGEST
        with self._client.stream(method, target, content=content, headers=headers, timeout=timeout) as answer:
            read = bytearray()
            for piece in answer.iter_raw():
                read += piece
                if len(read) > _MOST_BYTES or time.monotonic() > until:
                    raise RelayMisbehaves(
                        f"the relay {self._origin} gives an answer that does not end", hint="try another relay"
                    )
            return Answer(answer.status_code, answer.headers, bytes(read))

    def close(self) -> None:
        """Close the connection."""
        self._client.close()


def first_pin(origin: str) -> str:
    """Return the pin of the key that a relay shows, or nothing if the system's authorities vouch for it.

    Raises ``RelayUnreachable``.
    """
    parts = urlsplit(origin)
    if parts.scheme != "https":
        return ""
    try:
        with _connected(parts) as raw, ssl.create_default_context().wrap_socket(raw, server_hostname=parts.hostname):
            return ""
    except ssl.SSLError:
        pass
    except OSError as error:
        raise _unreachable(origin, error) from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with _connected(parts) as raw, context.wrap_socket(raw, server_hostname=parts.hostname) as safe:
            return pin_of(safe.getpeercert(binary_form=True) or b"")
    except OSError as error:
        raise _unreachable(origin, error) from None


def pin_of(certificate: bytes) -> str:
    """Return the SHA-256 of the key in a certificate (DER), in hexadecimal."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    key = x509.load_der_x509_certificate(certificate).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _context(pin: str) -> ssl.SSLContext:
    if not pin:
        context = ssl.create_default_context()
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        return context
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE

    class Pinned(ssl.SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            super().do_handshake(block)
            _check_pin(self.getpeercert(binary_form=True), pin)

    class PinnedObject(ssl.SSLObject):
        def do_handshake(self) -> None:
            super().do_handshake()
            _check_pin(self.getpeercert(binary_form=True), pin)

    context.sslsocket_class, context.sslobject_class = Pinned, PinnedObject
    return context


class _WrongPinError(ssl.SSLError):
    """The relay's key is not the pinned one."""


def _check_pin(certificate: bytes | None, pin: str) -> None:
    if pin_of(certificate or b"") != pin.lower():
        raise _WrongPinError("the key of the certificate is another one")


def _connected(parts: Any) -> socket.socket:
    return socket.create_connection((parts.hostname, parts.port or 443), timeout=PATIENCE)


def send(
    http: Http, origin: str, method: str, target: str, body: bytes, headers: dict[str, str], patience: float = PATIENCE
) -> Answer:
    """Ask a relay and return its answer; raises ``RelayUnreachable``, ``RelayMisbehaves``."""
    import httpx2

    try:
        return http.request(method, target, content=body or None, headers=headers, timeout=patience)
    except httpx2.TransportError as error:
        causes = list(_causes(error))
        if any(map(_is_distrusted, causes)):
            raise RelayMisbehaves(
                f"whoever answers at {origin} shows a certificate that this machine does not trust",
                hint="if its owner made one of their own, name its pin: keyferry sync --relay URL --pin PIN",
            ) from None
        if any(map(_is_wrong_pin, causes)):
            raise RelayMisbehaves(
                f"whoever answers at {origin} has another key than the relay had",
                hint="if its owner made a new certificate, name its pin: keyferry sync --relay URL --pin PIN",
            ) from None
        raise _unreachable(origin, error) from None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _is_wrong_pin(one: BaseException) -> bool:
    return isinstance(one, _WrongPinError) or "the key of the certificate is another one" in str(one)


def _is_distrusted(one: BaseException) -> bool:
    return isinstance(one, ssl.SSLCertVerificationError) or "CERTIFICATE_VERIFY_FAILED" in str(one)


def _unreachable(origin: str, error: BaseException) -> RelayUnreachable:
    causes = list(_causes(error))
    if any("timed out" in str(one).lower() for one in causes):
        why = "no answer in time"
    elif any(isinstance(one, ssl.SSLError) for one in causes):
        why = "what answers there does not speak TLS 1.3"
    else:
        why = "no connection"
    return RelayUnreachable(f"the relay {origin} cannot be reached: {why}", hint="offline is fine; sync again later")


def is_lacking(answer: Answer, word: str) -> bool:
    """Tell whether a relay says that it does not have something; whoever else answers 404 says nothing of the kind."""
    return answer.status_code == 404 and answer.headers.get(wire.ERROR) == word


def refused(answer: Answer, name: str) -> NoReturn:
    """Raise what a relay's refusal means: ``RelayUnreachable``."""
    reason = answer.headers.get(wire.ERROR, "")
    said = reason if reason.replace("-", "").replace(" ", "").isalnum() and len(reason) < 60 else ""
    code = answer.status_code
    why = f"it answers {code}" + (f" ({said})" if said else "")
    if code == 429:
        raise RelayUnreachable(f"the {name} wants a pause: {why}", hint="sync again in a minute")
    if code == 403 and said == "revoked":
        raise RelayUnreachable(
            f"the {name} says that this device was revoked; its vault stays as it is, nothing goes out",
            hint="see keyferry device list on another device; if that is so, keyferry device join in a new home",
        )
    if code == 403 and said == "not-a-member":
        raise RelayUnreachable(
            f"the {name} does not know this device; nothing was changed here",
            hint="it may have been put back to an older state: sync on another device first, then here",
        )
    if code in (401, 403):
        raise RelayUnreachable(
            f"the {name} refuses this device: {why}", hint="is the clock right? keyferry sync doctor tells more"
        )
    if code in (404, 405) and said in ("", "nothing-here"):
        raise RelayUnreachable(
            f"the {name} is none that this version can talk to: {why}",
            hint="is the address right? else one of the two is older: update Keyferry",
        )
    raise RelayUnreachable(f"the {name} refuses: {why}", hint="keyferry sync doctor")
