"""The relay as a way between devices: signed requests over HTTPS to a certificate that is known by its key.

The relay is not believed: what it gives is checked by whoever takes it in. TLS 1.3 at least; with a pin only the
certificate whose key has this SHA-256 is talked to, whoever signed it, and no byte of a request goes out before that is
known. Plain HTTP is for loopback only.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vault import crypto
from vault.device import Device
from vault.errors import KeyferryError, PairingFailed, RelayMisbehaves, RelayUnreachable
from vault.sync import wire
from vault.sync.entry import Head
from vault.sync.travel import Heads, Message, Page

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_PATIENCE = 20.0  # seconds for one answer
_PIECE = 3500  # bytes of a message in a slot of 4 KB
_LOOK = 10  # seconds that the relay may wait until there is something new
_PAUSE = 1.0  # seconds to leave it alone when it asks for that
_POLL = 0.4  # seconds between two looks at a relay that does not wait


class Client:
    """One vault at one relay, as a device or (``root``) as the holder of the kit."""

    def __init__(
        self,
        origin: str,
        pin: str,
        vault: str,
        *,
        device: Device | None = None,
        root: Ed25519PrivateKey | None = None,
        now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
        invite: str = "",
    ) -> None:
        self.name = f"relay {origin}"
        self._origin, self._vault, self._now_ms, self._invite = origin, vault, now_ms, invite
        self._http = http_client(origin, pin)
        self._device_id = device.device_id if device is not None else ""
        signer = device.ed25519 if device is not None else root
        if signer is None:
            raise ValueError("nobody signs")
        self._key = signer

    def create(self, chain: Sequence[bytes]) -> None:
        """Make the vault known to the relay."""
        answer = self._ask("POST", "/v1/vaults", wire.write_chain(chain), invite=True)
        self._want(answer, 200, 201)

    def exists(self) -> bool:
        """Tell whether the relay knows the vault."""
        answer = self._ask("GET", self._path("heads"))
        if answer.status_code == 410 or _is_lacking(answer, "no-such-vault"):
            return False
        self._want(answer, 200)
        return True

    def is_let_in(self) -> bool:
        """Tell whether the relay takes the signer for one of the vault's; so it does if it does not know the vault."""
        return bool(self._ask("GET", self._path("heads")).status_code != 403)

    def heads(self) -> Heads:
        """Return what the relay says it has."""
        answer = self._ask("GET", self._path("heads"))
        self._want(answer, 200)
        found = self._read(wire.read_heads, answer)
        return Heads(found.height, found.membership, {one.device_id: Head(one.seq, one.hash) for one in found.devices})

    def pull(self, cursor: str) -> Page:
        """Return the next page after a cursor."""
        after = int(cursor) if cursor.isdecimal() else 0
        answer = self._ask("GET", self._path(f"entries?after={after}&limit={wire.MOST_PAGE_ENTRIES}"))
        self._want(answer, 200)
        found = self._read(wire.read_page, answer)
        messages = tuple((one.kind, one.data) for one in found.entries)
        return Page(messages, str(found.cursor), found.more)

    def push(self, messages: Sequence[Message]) -> None:
        """Give the relay messages, all or none."""
        body = wire.write_batch([wire.Part(kind, data) for kind, data in messages])
        answer = self._ask("POST", self._path("entries"), body)
        if answer.status_code == 409:
            raise RelayMisbehaves(
                "it has other entries where this device wants to write",
                hint="keyferry sync again takes in what others wrote; if it stays so, keyferry sync doctor",
            )
        self._want(answer, 200, 201)

    def put_blob(self, name: str, data: bytes) -> None:
        """Give the relay sealed bytes."""
        self._want(self._ask("PUT", self._path(f"blobs/{name}"), data), 200, 201, 204)

    def get_blob(self, name: str) -> bytes | None:
        """Return sealed bytes, or None."""
        answer = self._ask("GET", self._path(f"blobs/{name}"))
        if _is_lacking(answer, "no-such-blob"):
            return None
        self._want(answer, 200)
        return bytes(answer.content)

    def drop(self, before: Mapping[str, int]) -> None:
        """Do nothing: the relay finds in the headers itself what nobody needs any more."""

    def wait(self, cursor: str, seconds: float) -> bool:
        """Wait until the relay has something after the cursor."""
        until = time.monotonic() + seconds
        after = int(cursor) if cursor.isdecimal() else 0
        while (left := until - time.monotonic()) > 0:
            span = max(1, min(wire.MOST_WAIT, int(left)))
            answer = self._ask("GET", self._path(f"watch?after={after}&wait={span}"), patience=span + _PATIENCE)
            if answer.status_code == 200:
                return True
            self._want(answer, 204)
        return False

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _path(self, rest: str) -> str:
        return f"/v1/vaults/{self._vault}/{rest}"

    def _ask(
        self, method: str, target: str, body: bytes = b"", *, invite: bool = False, patience: float = _PATIENCE
    ) -> Any:
        headers = wire.sign_request(
            self._key,
            method,
            target,
            wire.digest_of(body),
            device_id=self._device_id,
            now_ms=self._now_ms(),
            nonce=secrets.token_bytes(16),
        )
        if invite and self._invite:
            headers[wire.INVITE] = self._invite
        return _send(self._http, self._origin, method, target, body, headers, patience)

    def _want(self, answer: Any, *codes: int) -> None:
        if answer.status_code in codes:
            return
        _refused(answer, self.name)

    def _read(self, reader: Callable[[bytes], Any], answer: Any) -> Any:
        try:
            return reader(bytes(answer.content))
        except ValueError:
            raise RelayMisbehaves("its answer is not built as answers are", hint="try another relay") from None


class RelayChannel:
    """A rendezvous slot of a relay: one value of 4 KB, written in turns; longer messages go in pieces."""

    def __init__(self, origin: str, pin: str, slot: str, seconds: float, etag: str = "") -> None:
        self.slot = slot
        self._origin, self._http = origin, http_client(origin, pin)
        self._etag, self._value = etag, b""
        self._until = time.monotonic() + seconds

    @classmethod
    def open_new(cls, origin: str, pin: str, seconds: float) -> RelayChannel:
        """Ask the relay for a slot."""
        http = http_client(origin, pin)
        try:
            answer = _send(http, origin, "POST", "/v1/rendezvous", b"", {}, _PATIENCE)
            if answer.status_code not in (200, 201):
                _refused(answer, f"relay {origin}")
            slot, etag = _slot_in(answer)
        finally:
            http.close()
        return cls(origin, pin, slot, seconds, etag)

    def put(self, number: int, data: bytes) -> None:
        """Write a message; each piece but the last waits until the other side has taken it."""
        pieces = [data[at : at + _PIECE] for at in range(0, len(data), _PIECE)] or [b""]
        for at, piece in enumerate(pieces):
            self._write(crypto.packed(b"piece", _u32(number), _u32(at), _u32(len(pieces)), piece))
            if at < len(pieces) - 1:
                self._await((b"taken", _u32(number), _u32(at)))

    def get(self, number: int) -> bytes:
        """Wait for a message."""
        pieces: list[bytes] = []
        while True:
            found = self._await((b"piece", _u32(number), _u32(len(pieces))))
            pieces.append(found[4])
            if len(pieces) == int.from_bytes(found[3], "big"):
                return b"".join(pieces)
            self._write(crypto.packed(b"taken", _u32(number), _u32(len(pieces) - 1)))

    def burn(self) -> None:
        """Make the slot useless."""
        try:
            _send(self._http, self._origin, "DELETE", f"/v1/rendezvous/{self.slot}", b"", {}, _PATIENCE)
        except KeyferryError:
            return

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def _await(self, begins: tuple[bytes, ...]) -> tuple[bytes, ...]:
        while True:
            began, before = time.monotonic(), self._value
            self._look()
            try:
                found = crypto.unpacked(self._value)
            except ValueError:
                found = ()
            if found[: len(begins)] == begins and (begins[0] != b"piece" or len(found) == 5):
                return found
            if self._value and self._value != before:  # it was the other's turn to say just this
                self.burn()
                raise PairingFailed(
                    "a message of the other device was altered, or somebody else used the slot",
                    hint="begin again: keyferry device pair; if it stays so, through a folder or another relay",
                )
            self._check_time()
            time.sleep(max(0.0, began + _POLL - time.monotonic()))

    def _check_time(self) -> None:
        if time.monotonic() > self._until:
            raise PairingFailed("the other device did not answer in time", hint="begin again: keyferry device pair")

    def _look(self) -> None:
        """Ask for what lies in the slot; where that is known the relay answers when it changes, or after a while."""
        headers = {"if-none-match": self._etag} if self._etag else {}
        target = f"/v1/rendezvous/{self.slot}" + (f"?wait={_LOOK}" if headers else "")
        answer = self._patiently("GET", target, b"", headers)
        if answer.status_code == 304:
            return
        if answer.status_code in (404, 410):
            raise PairingFailed("the other device gave up, or the time is over", hint="begin again: device pair")
        if answer.status_code != 200:
            _refused(answer, f"relay {self._origin}")
        self._etag, self._value = answer.headers.get("etag", ""), bytes(answer.content)

    def _patiently(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Any:
        """Ask; a relay that wants a pause gets it."""
        while True:
            answer = _send(self._http, self._origin, method, target, body, headers, _LOOK + _PATIENCE)
            if answer.status_code != 429:
                return answer
            self._check_time()
            time.sleep(_PAUSE)

    def _write(self, data: bytes) -> None:
        if not self._etag:
            self._look()
        headers = {"if-match": self._etag, "content-type": "application/octet-stream"}
        answer = self._patiently("PUT", f"/v1/rendezvous/{self.slot}", data, headers)
        if answer.status_code in (404, 410, 412):
            raise PairingFailed("somebody else used the slot, or the time is over", hint="begin again: device pair")
        if answer.status_code not in (200, 201, 202, 204):
            _refused(answer, f"relay {self._origin}")
        self._etag, self._value = answer.headers.get("etag", self._etag), data


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


def http_client(origin: str, pin: str) -> Any:
    """Return a client that talks to this relay only, without proxies and without following anything."""
    import httpx2

    return httpx2.Client(
        base_url=origin,
        verify=_context(pin) if origin.startswith("https") else True,
        timeout=_PATIENCE,
        follow_redirects=False,
        trust_env=False,
        headers={"user-agent": "keyferry"},
    )


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
    return socket.create_connection((parts.hostname, parts.port or 443), timeout=_PATIENCE)


def _send(
    http: Any, origin: str, method: str, target: str, body: bytes, headers: dict[str, str], patience: float
) -> Any:
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


def _is_lacking(answer: Any, word: str) -> bool:
    """Tell whether a relay says that it does not have something; whoever else answers 404 says nothing of the kind."""
    return bool(answer.status_code == 404 and answer.headers.get(wire.ERROR) == word)


def _refused(answer: Any, name: str) -> None:
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


def _slot_in(answer: Any) -> tuple[str, str]:
    try:
        told = answer.json()
        slot, etag = str(told["slot"]), str(told.get("etag") or answer.headers.get("etag", ""))
    except (ValueError, KeyError, TypeError, AttributeError):
        slot, etag = "", ""
    if not wire.is_hex(slot, 32):
        raise RelayMisbehaves("it gives no slot to meet in", hint="try another relay, or a folder")
    return slot, etag


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")
