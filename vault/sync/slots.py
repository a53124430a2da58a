"""A rendezvous slot of a relay, in which two devices that do not know each other yet leave messages in turn."""

from __future__ import annotations

import json
import time

from vault import crypto
from vault.errors import KeyferryError, PairingFailed, RelayMisbehaves
from vault.sync import https, wire
from vault.sync.https import Answer

_PIECE = 3500  # bytes of a message in a slot of 4 KB
_LOOK = 10  # seconds that the relay may wait until there is something new
_PAUSE = 1.0  # seconds to leave it alone when it asks for that
_POLL = 0.4  # seconds between two looks at a relay that does not wait


class RelayChannel:
    """A rendezvous slot of a relay: one value of 4 KB, written in turns; longer messages go in pieces."""

    def __init__(self, origin: str, pin: str, slot: str, seconds: float, etag: str = "") -> None:
        self.slot = slot
        self._origin, self._http = origin, https.Http(origin, pin)
        self._etag, self._value = etag, b""
        self._until = time.monotonic() + seconds

    @classmethod
    def open_new(cls, origin: str, pin: str, seconds: float) -> RelayChannel:
        """Ask the relay for a slot."""
        http = https.Http(origin, pin)
        try:
            answer = https.send(http, origin, "POST", "/v1/rendezvous", b"", {})
            if answer.status_code not in (200, 201):
                https.refused(answer, f"relay {origin}")
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
            https.send(self._http, self._origin, "DELETE", f"/v1/rendezvous/{self.slot}", b"", {})
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
            https.refused(answer, f"relay {self._origin}")
        self._etag, self._value = answer.headers.get("etag", ""), answer.content

    def _patiently(self, method: str, target: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Ask; a relay that wants a pause gets it."""
        while True:
            answer = https.send(self._http, self._origin, method, target, body, headers, _LOOK + https.PATIENCE)
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
            https.refused(answer, f"relay {self._origin}")
        self._etag, self._value = answer.headers.get("etag", self._etag), data


def _slot_in(answer: Answer) -> tuple[str, str]:
    try:
        told = json.loads(answer.content)
        slot, etag = str(told["slot"]), str(told.get("etag") or answer.headers.get("etag", ""))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        slot, etag = "", ""
    if not wire.is_hex(slot, 32):
        raise RelayMisbehaves("it gives no slot to meet in", hint="try another relay, or a folder")
    return slot, etag


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")
