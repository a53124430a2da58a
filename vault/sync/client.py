"""The relay as a way between devices: signed requests over HTTPS to a certificate that is known by its key.

The relay is not believed: what it gives is checked by whoever takes it in.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from vault.device import Device
from vault.errors import RelayMisbehaves
from vault.sync import https, wire
from vault.sync.entry import Head
from vault.sync.https import PATIENCE, Answer
from vault.sync.travel import Heads, Message, Page

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

T = TypeVar("T")


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
        self._http = https.Http(origin, pin)
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
        if answer.status_code == 410 or https.is_lacking(answer, "no-such-vault"):
            return False
        self._want(answer, 200)
        return True

    def is_let_in(self) -> bool:
        """Tell whether the relay takes the signer for one of the vault's; so it does if it does not know the vault."""
        return self._ask("GET", self._path("heads")).status_code != 403

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
        if https.is_lacking(answer, "no-such-blob"):
            return None
        self._want(answer, 200)
        return answer.content

    def drop(self, before: Mapping[str, int]) -> None:
        """Do nothing: the relay finds in the headers itself what nobody needs any more."""

    def wait(self, cursor: str, seconds: float) -> bool:
        """Wait until the relay has something after the cursor."""
        until = time.monotonic() + seconds
        after = int(cursor) if cursor.isdecimal() else 0
        while (left := until - time.monotonic()) > 0:
            span = max(1, min(wire.MOST_WAIT, int(left)))
            answer = self._ask("GET", self._path(f"watch?after={after}&wait={span}"), patience=span + PATIENCE)
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
        self, method: str, target: str, body: bytes = b"", *, invite: bool = False, patience: float = PATIENCE
    ) -> Answer:
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
        return https.send(self._http, self._origin, method, target, body, headers, patience)

    def _want(self, answer: Answer, *codes: int) -> None:
        if answer.status_code in codes:
            return
        https.refused(answer, self.name)

    def _read(self, reader: Callable[[bytes], T], answer: Answer) -> T:
        try:
            return reader(answer.content)
        except ValueError:
            raise RelayMisbehaves("its answer is not built as answers are", hint="try another relay") from None
