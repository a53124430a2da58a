"""A relay that lies, one way a switch: ``python -m tests.evil_relay SWITCH --db FILE --folder DIR --listen H:P``.

It is the real relay with some answers changed, over the same HTTPS with the same certificate. What it may not do is
read: no switch has a key.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import ClassVar

from starlette.requests import Request
from starlette.responses import Response

from vault import crypto, device, listentry
from vault.relay import serving
from vault.relay.app import Relay
from vault.relay.checking import Known
from vault.relay.direct import Answered
from vault.relay.refusals import Refused
from vault.relay.storage import Outcome, Write
from vault.sync import entry, wire
from vault.sync.wire import Arrived, Heads, Page

_asker: ContextVar[str] = ContextVar("asker", default="")
Change = Callable[[bytes], bytes]


def flipped(data: bytes, at: int) -> bytes:
    """Return the bytes with one bit turned, counted from the end if negative."""
    at %= len(data)
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def with_header(data: bytes, number: int, part: bytes) -> bytes:
    """Return an entry with one part of its header replaced."""
    header, sealed, signature = crypto.unpacked(data)
    parts = list(crypto.unpacked(header))
    parts[number] = part
    return crypto.packed(crypto.packed(*parts), sealed, signature)


class EvilRelay(Relay):
    """The relay with its lies; each is named after its row of the threat table where it has one."""

    switch = ""
    aim = b""  # the kind of entry that it lies about, else the newest one
    spared: frozenset[str] = frozenset()  # the devices that it does not lie to

    @property
    def asker(self) -> str:
        """The device that asks at this moment."""
        return _asker.get()

    @property
    def lie(self) -> str:
        """The lie that is told to who asks at this moment."""
        return "" if self.asker in self.spared else self.switch

    def _framed(self, name: str, answer: Answered) -> Answered:
        answered = super()._framed(name, answer)

        async def asked(request: Request) -> Response:
            _asker.set(request.headers.get(wire.DEVICE, ""))
            return await answered(request)

        return asked

    async def page_of(self, known: Known, after: int, limit: int) -> Page:
        page = await super().page_of(known, after, limit)
        change = getattr(self, f"page_{self.lie}", None)
        return change(page, known) if change is not None else page

    async def heads_of(self, known: Known) -> Heads:
        heads = await super().heads_of(known)
        change = getattr(self, f"heads_{self.lie}", None)
        return change(heads) if change is not None else heads

    async def blob_of(self, known: Known, digest: bytes) -> tuple[int, Iterator[bytes]] | None:
        found = await super().blob_of(known, digest)
        if found is None or self.lie not in ("blob_altered", "blob_gone"):
            return found
        if self.lie == "blob_gone":
            return None
        return found[0], iter([flipped(b"".join(found[1]), 100)])

    async def taken(self, write: Write) -> Outcome:
        if self.lie == "drops_what_it_takes":
            return 1
        return await super().taken(write)

    async def known(self, vault: str, *, fresh: bool = False) -> Known:
        if self.lie == "t16_wiped":
            raise Refused(404, "no-such-vault", "there is no such vault")
        return await super().known(vault, fresh=fresh)

    async def slot_of(self, slot: str) -> tuple[str, bytes]:
        etag, body = await super().slot_of(slot)
        if self.lie == "t15_between" and body.startswith(b"\0"):
            return etag, flipped(body, -1)
        return etag, body

    async def answer_heads(self, request: Request) -> Response:
        if self.lie == "garbage":
            return Response(b"\xff" * 64, media_type="application/octet-stream")
        if self.lie == "redirect":
            return Response(status_code=302, headers={"location": "https://127.0.0.1:1/"})
        if self.lie == "broken":
            return Response(b"boom", status_code=500)
        return await super().answer_heads(request)

    # -- pages

    def _is_meant(self, one: Arrived) -> bool:
        """Tell whether a lie hits this message."""
        return not self.aim or (one.kind == wire.ENTRY and entry.read_header(one.data).kind == self.aim)

    def _turned(self, page: Page, change: Change, *, kind: bytes = wire.ENTRY, last: bool = True) -> Page:
        """Change the newest thing of a kind on a page, or all of them."""
        numbers = [one.number for one in page.entries if one.kind == kind and self._is_meant(one)]
        chosen = set(numbers[-1:] if last else numbers)
        return replace(
            page,
            entries=tuple(replace(one, data=change(one.data)) if one.number in chosen else one for one in page.entries),
        )

    def page_t1_member_key(self, page: Page, known: Known) -> Page:
        """Put a key of its own in the place of a member's."""
        stranger = device.new_device()

        def change(data: bytes) -> bytes:
            body, signers, signatures = crypto.unpacked(data)
            parts = list(crypto.unpacked(body))
            parts[-1] = stranger.bundle.packed
            return crypto.packed(crypto.packed(*parts), signers, signatures)

        return self._turned(page, change, kind=wire.MEMBER, last=False)

    def page_t1_stranger(self, page: Page, known: Known) -> Page:
        """Add a device of its own, signed by itself."""
        stranger, at = device.new_device(), "2026-01-01T00:00:00Z"
        body, signature = (
            crypto.packed(
                listentry.NAMESPACE,
                b"enrol",
                at.encode(),
                bytes.fromhex(known.vault),
                known.head,
                b"",
                stranger.bundle.packed,
            ),
            b"",
        )
        signature = stranger.ed25519.sign(body)
        key = stranger.bundle.ed25519
        forged = crypto.packed(body, crypto.packed(key, key), crypto.packed(signature, signature))
        return replace(page, entries=(*page.entries, Arrived(page.cursor + 1, wire.MEMBER, forged)))

    def page_t2_rolled_back(self, page: Page, known: Known) -> Page:
        return replace(page, entries=page.entries[:-1])

    def heads_t2_rolled_back(self, heads: Heads) -> Heads:
        """Show every log as it was after its first entry."""
        return replace(
            heads,
            devices=tuple(replace(one, seq=1, hash=bytes(32)) if one.seq > 1 else one for one in heads.devices),
        )

    def heads_t3_behind_the_pins(self, heads: Heads) -> Heads:
        """Roll back for a device that has not written anything yet."""
        is_new = self.asker not in {one.device_id for one in heads.devices}
        return self.heads_t2_rolled_back(heads) if is_new else heads

    def heads_t4_other_history(self, heads: Heads) -> Heads:
        """Show another newest entry of each device under the same number."""
        return replace(heads, devices=tuple(replace(one, hash=bytes(31) + b"\1") for one in heads.devices))

    def page_t5_withholds(self, page: Page, known: Known) -> Page:
        """Hide the newest entry of the other device, and let its head look as if it were there."""
        newest = max((one.number for one in page.entries if one.kind == wire.ENTRY), default=0)
        return replace(page, entries=tuple(one for one in page.entries if one.number != newest))

    def page_t6_shuffled(self, page: Page, known: Known) -> Page:
        """Give everything backwards, and twice."""
        return replace(page, entries=tuple(reversed((*page.entries, *page.entries))))

    def page_t7_header(self, page: Page, known: Known) -> Page:
        return self._turned(page, lambda data: flipped(data, 60))

    def page_t7_ciphertext(self, page: Page, known: Known) -> Page:
        return self._turned(page, lambda data: flipped(data, -100))

    def page_t7_signature(self, page: Page, known: Known) -> Page:
        return self._turned(page, lambda data: flipped(data, -1))

    def page_t8_cut_and_paste(self, page: Page, known: Known) -> Page:
        """Put one entry's ciphertext under another's header."""
        found = [one.data for one in page.entries if one.kind == wire.ENTRY]
        donor = found[0] if found else b""

        def change(data: bytes) -> bytes:
            header, _, signature = crypto.unpacked(data)
            sealed = crypto.unpacked(donor)[1]
            parts = list(crypto.unpacked(header))
            parts[13] = hashlib.sha256(sealed).digest()
            return crypto.packed(crypto.packed(*parts), sealed, signature)

        return self._turned(page, change) if len(found) > 1 else self._turned(page, lambda data: flipped(data, -100))

    def page_t9_weaker_suite(self, page: Page, known: Known) -> Page:
        return self._turned(page, lambda data: with_header(data, 1, bytes([entry.CLASSIC])))

    def page_t9_other_version(self, page: Page, known: Known) -> Page:
        return self._turned(page, lambda data: with_header(data, 0, b"keyferry/entry/9"))

    def page_t8_other_vault(self, page: Page, known: Known) -> Page:
        return self._turned(page, lambda data: with_header(data, 2, bytes(16)))

    def page_endless(self, page: Page, known: Known) -> Page:
        return Page(0, True, ())

    def page_t20_huge(self, page: Page, known: Known) -> Page:
        return replace(page, entries=(*page.entries, Arrived(page.cursor + 1, wire.ENTRY, bytes(1_200_000))))

    SWITCHES: ClassVar[tuple[str, ...]] = (
        "t1_member_key",
        "t1_stranger",
        "t2_rolled_back",
        "t3_behind_the_pins",
        "t4_other_history",
        "t5_withholds",
        "t6_shuffled",
        "t7_header",
        "t7_ciphertext",
        "t7_signature",
        "t8_cut_and_paste",
        "t8_other_vault",
        "t9_weaker_suite",
        "t9_other_version",
        "t15_between",
        "t16_wiped",
        "drops_what_it_takes",
        "blob_altered",
        "blob_gone",
        "endless",
        "t20_huge",
        "garbage",
        "redirect",
        "broken",
    )


def main(kind: type[EvilRelay] = EvilRelay) -> None:
    """Serve."""
    parser = argparse.ArgumentParser()
    parser.add_argument("switch", choices=("honest", *kind.SWITCHES))
    parser.add_argument("--db", required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--listen", required=True)
    parser.add_argument("--aim", default="", help="lie about entries of this kind")
    parser.add_argument("--spare", action="append", default=[], help="lie to others than this device")
    given = parser.parse_args()
    kind.switch, kind.aim, kind.spared = given.switch, given.aim.encode(), frozenset(given.spare)
    place = serving.listen(given.listen, "self-signed", given.folder, datetime.now(UTC))
    relay = serving.open_relay(given.db, kind=kind)
    serving.serve(relay, place, lambda: print(f"listening on {place.url}", flush=True))


if __name__ == "__main__":
    main()
