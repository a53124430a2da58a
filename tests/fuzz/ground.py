"""Honest things to begin with: the logs, sets and kits that are kept for ever, and the keys that go with them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from vault import crypto, membership
from vault.device import Device, from_text
from vault.kit import Kit
from vault.kitfile import read_kit
from vault.sync import entry, epochs, merge
from vault.sync.folder import Folder

SAMPLES = Path(__file__).parents[2] / "samples"
AT = "2026-11-23T00:00:00Z"


@dataclass(frozen=True, slots=True)
class Log:
    """A synced vault: its chain, its entries, and whoever writes there."""

    vault: str
    chain: tuple[bytes, ...]
    entries: tuple[bytes, ...]
    publics: dict[str, bytes]  # by device id
    keys: dict[int, bytes]  # by epoch
    laptop: Device
    phone: Device
    old: Device

    def plain(self, data: bytes) -> bytes:
        """Return the plaintext of an entry."""
        header = entry.read_header(data)
        return entry.open_entry(data, header, self.keys[header.epoch])


@cache
def log(name: str = "") -> Log:
    """Return a log of ``samples/sync``: signed by Ed25519 alone, or ``both_signatures``."""
    place = SAMPLES / "sync" / name
    vault = (place / "vault.txt").read_text(encoding="ascii").strip()
    messages = Folder(place, vault).pull("").messages
    chain = tuple(data for kind, data in messages if kind == b"member")
    found = membership.read_chain(chain)
    laptop, phone, old = (_device(place / f"{one}.json") for one in ("laptop", "phone", "old"))
    keys = {}
    for one in found.epochs:
        suite, data = one.wraps[laptop.device_id]
        keys[one.number] = epochs.unwrap(data, laptop, vault=vault, epoch=one.number, suite=suite)
    return Log(
        vault=vault,
        chain=chain,
        entries=tuple(data for kind, data in messages if kind == b"entry"),
        publics={one.device_id: one.bundle.ed25519 for one in (*found.members, *found.revoked)},
        keys=keys,
        laptop=laptop,
        phone=phone,
        old=old,
    )


@cache
def logs() -> tuple[Log, ...]:
    """Return both."""
    return log(), log("both_signatures")


@cache
def states() -> tuple[bytes, ...]:
    """Return the states of all things of the log after its entries."""
    things: dict[tuple[str, str], merge.Thing] = {}
    for data in log().entries:
        header = entry.read_header(data)
        seen = {device: head.seq for device, head in header.seen.items()}
        for op in merge.decode_ops(log().plain(data)):
            before = things.get((op.kind, op.id))
            things[op.kind, op.id] = merge.apply(before, op, device=header.device, seq=header.seq, seen=seen)
    return tuple(merge.encode(things[key]) for key in sorted(things))


@cache
def kit(case: str) -> Kit:
    """Return the kit of a sample of ``samples/backups``."""
    return read_kit(page(case).encode(), lambda: "")


@cache
def page(case: str) -> str:
    """Return the page of that kit."""
    return (SAMPLES / "backups" / case / "kit.txt").read_text(encoding="utf-8")


@cache
def sets(case: str) -> tuple[bytes, ...]:
    """Return the sets of a sample."""
    return tuple(one.read_bytes() for one in sorted((SAMPLES / "backups" / case).glob("*.keyferry")))


def _device(path: Path) -> Device:
    told = json.loads(path.read_text(encoding="ascii"))
    device = from_text(json.dumps(told))
    if device.bundle.packed != crypto.from_text(told["bundle"]):
        raise ValueError("the library here makes another bundle of these keys")
    return device
