"""An entry opens for members, in its own place, as it was written; every other one is refused.

``python -m tests.vault.sync.test_entry`` flips all bits instead of one a byte, and says how many were accepted.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import sys
from collections.abc import Callable, Iterator
from itertools import permutations
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from vault import crypto
from vault.device import new_device
from vault.errors import ForgedEntry, NotSynced
from vault.sync import clock, entry, merge, wire
from vault.sync.entry import Head

OWN, OTHER = new_device(), new_device()
VAULT, KEY = "5a" * 16, bytes(range(32))
FIVE = {f"{number:02x}" * 16: Head(1_000 + number, bytes([number]) * 32) for number in range(1, 5)}
HLC = 1_795_000_000_000 << 16


def sealed(**changed: Any) -> bytes:
    """Return an entry of our device, with these arguments of ``seal`` instead of the usual ones."""
    usual: dict[str, Any] = {
        "vault": VAULT,
        "suite": entry.HYBRID,
        "epoch": 1,
        "key": KEY,
        "head": Head(7, bytes(range(32, 64))),
        "membership": bytes(range(64, 96)),
        "seen": FIVE,
        "hlc": HLC,
        "kind": b"op",
        "content": b'{"ops":[]}',
    }
    return entry.seal(changed.pop("device", OWN), **{**usual, **changed})


def opened(data: bytes, *, public: bytes = OWN.bundle.ed25519, key: bytes = KEY) -> tuple[entry.Header, bytes]:
    """Return header and plaintext as a member reads them."""
    header = entry.read_header(data)
    entry.check_signature(header, public)
    return header, entry.open_entry(data, header, key)


def refused(data: bytes, **others: bytes) -> bool:
    try:
        opened(data, **others)
    except ForgedEntry:
        return True
    return False


def signed(header: bytes, body: bytes) -> bytes:
    """Return an entry of these parts that our device has signed, whatever they say."""
    return crypto.packed(header, body, OWN.ed25519.sign(crypto.packed(b"keyferry/entry-signature/1", header)))


def parts_of(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the parts of the header, and the ciphertext."""
    header, body, _ = crypto.unpacked(data)
    return list(crypto.unpacked(header)), body


ENTRIES = {
    "the first": sealed(head=None, seen={}, suite=entry.CLASSIC),
    "an op": sealed(),
    "an op, classic": sealed(suite=entry.CLASSIC),
    "a beat": sealed(kind=b"beat", content=b""),
    "a snap, classic": sealed(kind=b"snap", content=b"x" * 300, suite=entry.CLASSIC),
}


def flipped(data: bytes, every_bit: bool) -> Iterator[bytes]:
    """Yield the data with one bit flipped: each one, or one of each byte."""
    seeded = random.Random(len(data))
    for place in range(len(data)):
        for bit in range(8) if every_bit else (seeded.randrange(8),):
            yield data[:place] + bytes([data[place] ^ 1 << bit]) + data[place + 1 :]


# -- what is written is read


@given(
    content=st.binary(max_size=9000),
    head=st.none() | st.builds(Head, st.integers(1, 2**64 - 2), st.binary(min_size=31, max_size=31).map(b"\1".__add__)),
    seen=st.dictionaries(
        st.binary(min_size=16, max_size=16).map(bytes.hex),
        st.builds(Head, st.integers(1, 2**64 - 1), st.binary(min_size=32, max_size=32)),
        max_size=9,
    ),
    suite=st.sampled_from([entry.CLASSIC, entry.HYBRID]),
    epoch=st.integers(0, 2**32 - 1),
    hlc=st.integers(0, clock.LAST),
    kind=st.sampled_from(entry.KINDS),
)
@settings(deadline=None)
def test_what_is_sealed_is_opened(content: bytes, head: Head | None, **said: Any) -> None:
    data = sealed(content=content, head=head, **said)
    header, found = opened(data)
    assert found == content
    assert {name: getattr(header, name) for name in said} == said
    assert (header.seq, header.before) == ((1, bytes(32)) if head is None else (head.seq + 1, head.hash))
    assert (header.vault, header.device, header.hash) == (VAULT, OWN.device_id, hashlib.sha256(data).digest())


@given(st.integers(0, 40_000))
def test_only_steps_of_the_size_show(length: int) -> None:
    padded = entry._padded(bytes(length))
    steps = [384, *range(512, 4097, 256)]
    while steps[-1] < length + 4:
        steps.append(steps[-1] + steps[-1] // 20)
    assert len(padded) == next(step for step in steps if step >= length + 4)
    assert entry._unpadded(padded) == bytes(length)


def test_no_two_entries_share_a_key() -> None:
    """The nonce is always zero, so this must hold: also for the same content in the same place."""
    commitments = {entry.read_header(sealed()).commitment for _ in range(50)}
    assert len(commitments) == 50


# -- T7: what was altered


@pytest.mark.parametrize("name", ENTRIES)
def test_an_entry_with_any_byte_altered_is_refused(name: str) -> None:
    assert not refused(ENTRIES[name])
    assert [one for one in flipped(ENTRIES[name], False) if not refused(one)] == []


def test_a_header_altered_by_its_own_device_does_not_open() -> None:
    """The signature holds here; what the header says is bound to the ciphertext once more."""
    for data in ENTRIES.values():
        header, body, _ = crypto.unpacked(data)
        assert not refused(signed(header, body))
        assert [one for one in flipped(header, False) if not refused(signed(one, body))] == []


def test_a_ciphertext_altered_by_its_own_device_does_not_open() -> None:
    parts, body = parts_of(ENTRIES["an op"])
    for one in flipped(body, False):
        assert refused(signed(crypto.packed(*parts[:13], hashlib.sha256(one).digest()), one))


@given(st.sampled_from(sorted(ENTRIES)), st.integers(1, 500))
def test_an_entry_cut_off_or_with_something_behind_it_is_refused(name: str, count: int) -> None:
    data = ENTRIES[name]
    for wrong in (data[:-count], data[count:], data + bytes(count), data + data, data + crypto.packed(b"")):
        assert refused(wrong)


@given(st.binary(max_size=2000))
def test_bytes_that_are_no_entry_are_refused(data: bytes) -> None:
    assert refused(data)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (0, b"keyferry/entry"),
        (0, b"Keyferry/entry/1"),
        (0, b"keyferry/membership/1"),
        *((1, value) for value in (b"", b"\0", b"\3", b"\xff", b"\1\1")),
        *((number, b"") for number in (2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13)),
        (5, bytes(8)),
        (5, bytes(7) + b"\1"),  # a first one that follows another
        (6, bytes(32)),  # another one that follows none
        (8, bytes(55)),
        (8, bytes(16) + bytes(8) + bytes(32)),  # has seen an entry 0
        (8, (b"\2" * 56) + (b"\1" * 56)),
        (8, (b"\1" * 56) * 2),
        (8, bytes.fromhex(OWN.device_id) + b"\1" * 40),
        (8, b"".join(bytes([*number.to_bytes(2, "big")]) + b"\1" * 54 for number in range(1025))),
        (10, b"member"),
        (10, b"OP"),
    ],
)
def test_a_header_of_another_shape_is_refused_unopened(place: int, value: bytes) -> None:
    parts, body = parts_of(ENTRIES["an op"])
    parts[place] = value
    with pytest.raises(ForgedEntry, match="not built as entries are"):
        entry.read_header(signed(crypto.packed(*parts), body))


def test_an_entry_that_is_too_long_is_refused_unread() -> None:
    with pytest.raises(ForgedEntry, match="not built"):
        entry.read_header(bytes(entry.MOST_BYTES + 1))


def test_an_entry_that_nobody_would_read_is_not_written() -> None:
    with pytest.raises(NotSynced, match="larger than the 1 MB"):
        sealed(content=bytes(1_100_000))
    largest = sealed(content=bytes(1_000_000))
    assert len(opened(largest)[1]) == 1_000_000


@pytest.mark.parametrize(
    "padded",
    [
        (2).to_bytes(4, "big") + b"{}" + bytes(377) + b"\1",  # something hidden behind
        (2).to_bytes(4, "big") + b"{}",
        (2).to_bytes(4, "big") + b"{}" + bytes(506),
        (2).to_bytes(4, "big") + b"{}" + bytes(250),
        (999).to_bytes(4, "big") + bytes(380),
        b"",
        b"\0",
    ],
)
def test_another_padding_is_refused(padded: bytes) -> None:
    parts, _ = parts_of(ENTRIES["an op"])
    key, _ = entry._keys(KEY, VAULT, OWN.device_id, 8, parts[11])
    body = AESGCM(key).encrypt(bytes(12), padded, crypto.packed(*parts[:12]))
    with pytest.raises(ForgedEntry, match="does not open"):
        opened(signed(crypto.packed(*parts[:13], hashlib.sha256(body).digest()), body))


def test_another_device_or_another_epoch_key_is_refused() -> None:
    data = ENTRIES["an op"]
    assert refused(data, public=OTHER.bundle.ed25519)
    assert refused(data, public=b"")
    with pytest.raises(ForgedEntry, match="sealed under another key"):
        opened(data, key=bytes(32))


# -- T8: cut and paste


def log_of_fifty() -> list[bytes]:
    made: list[bytes] = []
    for number in range(50):
        head = Head(number, entry.hash_of(made[-1])) if made else None
        made.append(sealed(head=head, seen={}, content=b"%d" % number, hlc=HLC + number))
    return made


def test_nothing_of_one_entry_fits_another() -> None:
    """All ordered pairs of 50: header, ciphertext, signature, key parts; by the relay, and by the device itself."""
    cut = [(data, *crypto.unpacked(data), parts_of(data)[0]) for data in log_of_fifty()]
    count = 0
    for (_, header, body, signature, parts), (_, header2, body2, signature2, parts2) in permutations(cut, 2):
        pasted = [
            crypto.packed(header, body2, signature),
            crypto.packed(header, body, signature2),
            crypto.packed(header2, body, signature),
            signed(crypto.packed(*parts[:12], *parts2[12:]), body2),  # their commitment and ciphertext
            signed(crypto.packed(*parts[:11], *parts2[11:]), body2),  # and their salt
            signed(crypto.packed(*parts[:13], parts2[13]), body2),
        ]
        assert all(map(refused, pasted))
        count += len(pasted)
    assert count == 50 * 49 * 6


def test_an_entry_is_not_another_devices() -> None:
    """A member that copies what another one sealed, under its own name and signature, has copied nothing."""
    parts, body = parts_of(sealed(device=OTHER, content=b"theirs"))
    parts[4] = bytes.fromhex(OWN.device_id)
    assert refused(signed(crypto.packed(*parts), body))


# -- T9: downgrade


@pytest.mark.parametrize("written", [entry.CLASSIC, entry.HYBRID])
def test_the_suite_of_an_entry_cannot_be_changed(written: int) -> None:
    data = sealed(suite=written)
    parts, body = parts_of(data)
    for claimed in range(256):
        parts[1] = bytes([claimed])
        header = crypto.packed(*parts)
        assert refused(crypto.packed(header, body, crypto.unpacked(data)[2])) == (claimed != written)
        assert refused(signed(header, body)) == (claimed != written)


@pytest.mark.parametrize("version", [b"0", b"2", b"10", b"", b"1.0", b"1 "])
def test_another_version_is_refused_not_guessed(version: bytes) -> None:
    parts, body = parts_of(ENTRIES["an op"])
    with pytest.raises(ForgedEntry, match="another version of Keyferry"):
        entry.read_header(signed(crypto.packed(b"keyferry/entry/" + version, *parts[1:]), body))
    header = crypto.packed(*parts)
    signature = OWN.ed25519.sign(crypto.packed(b"keyferry/entry-signature/" + version, header))
    assert refused(crypto.packed(header, body, signature))


# -- T11: a ciphertext that opens under two keys


def test_a_ciphertext_that_opens_under_two_keys_opens_under_one_only() -> None:
    """Such a ciphertext is easy to make for AES-GCM; the commitment says which of the two keys is meant."""
    parts, _ = parts_of(ENTRIES["an op"])
    bound = crypto.packed(*parts[:12])
    keys = [bytes(range(32)), bytes(range(1, 33))]
    sealing = [entry._keys(key, VAULT, OWN.device_id, 8, parts[11]) for key in keys]
    body = salamander(sealing[0][0], sealing[1][0], bound)
    plain = [AESGCM(key).decrypt(bytes(12), body, bound) for key, _ in sealing]
    assert plain[0] != plain[1]
    assert len(plain[0]) == 384
    for commitment, meant in ((sealing[0][1], 0), (sealing[1][1], 1)):
        data = signed(crypto.packed(*parts[:12], commitment, hashlib.sha256(body).digest()), body)
        with pytest.raises(ForgedEntry, match="sealed under another key"):
            opened(data, key=keys[1 - meant])
    data = signed(crypto.packed(*parts[:12], sealing[0][1], hashlib.sha256(body).digest()), body)
    assert opened(data, key=keys[0])[1] == plain[0][4:]


def test_without_the_commitment_the_cipher_itself_would_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """So the test above would fail if the commitment were not compared."""
    monkeypatch.setattr(hmac, "compare_digest", lambda one, other: True)
    with pytest.raises(ForgedEntry, match="does not open"):
        opened(ENTRIES["an op"], key=bytes(32))


def salamander(first: bytes, second: bytes, bound: bytes) -> bytes:
    """Return ciphertext and tag that AES-256-GCM opens under both keys; under the first it is padded as it has to be.

    A tag is linear in the blocks: one block can be chosen so that both keys give the same.
    """
    plain = (380).to_bytes(4, "big") + b"a contract that reads another way".ljust(380, b".")
    stream = Cipher(algorithms.AES(first), modes.CTR(bytes(15 * [0]) + b"\2")).encryptor().update(bytes(384))
    body = bytearray(a ^ b for a, b in zip(plain, stream, strict=True))
    body[-16:] = bytes(16)
    secret = [Cipher(algorithms.AES(key), modes.ECB()).encryptor() for key in (first, second)]
    hashes = [int.from_bytes(one.update(bytes(16)), "big") for one in secret]
    masks = [int.from_bytes(one.update(bytes(12) + b"\0\0\0\1"), "big") for one in secret]
    tags = [_ghash(hash_, bound, bytes(body)) ^ mask for hash_, mask in zip(hashes, masks, strict=True)]
    factor = _times(hashes[0], hashes[0]) ^ _times(hashes[1], hashes[1])  # the last block is two multiplications deep
    body[-16:] = _times(tags[0] ^ tags[1], _inverse(factor)).to_bytes(16, "big")
    return bytes(body) + (_ghash(hashes[0], bound, bytes(body)) ^ masks[0]).to_bytes(16, "big")


def _ghash(hash_: int, bound: bytes, body: bytes) -> int:
    """NIST SP 800-38D, section 6.4."""
    blocks = bound + bytes(-len(bound) % 16) + body + bytes(-len(body) % 16)
    blocks += (8 * len(bound)).to_bytes(8, "big") + (8 * len(body)).to_bytes(8, "big")
    found = 0
    for at in range(0, len(blocks), 16):
        found = _times(found ^ int.from_bytes(blocks[at : at + 16], "big"), hash_)
    return found


def _times(one: int, other: int) -> int:
    """Multiply in the field of GCM, whose bits stand the other way round."""
    found = 0
    for bit in range(127, -1, -1):
        found ^= other if one >> bit & 1 else 0
        other = other >> 1 ^ (0xE1 << 120 if other & 1 else 0)
    return found


def _inverse(one: int) -> int:
    found, power = 1 << 127, one
    for _ in range(127):
        power = _times(power, power)
        found = _times(found, power)
    return found


# -- size


@pytest.mark.parametrize("suite", [entry.CLASSIC, entry.HYBRID])
def test_one_changed_field_is_less_than_a_kilobyte_with_five_devices(suite: int) -> None:
    data = sealed(suite=suite, content=one_field())
    sent = wire.write_batch([wire.Part(wire.ENTRY, data)])
    print(f"suite {suite}: entry {len(data)} bytes, on the wire {len(sent)} without HTTP's headers")
    assert len(sent) <= 1024


def one_field() -> bytes:
    """Return the plaintext of a changed password, as the merge writes it."""
    row = {
        "id": "2f1c8d9e-7c1b-4c55-9a51-0d3f5a8f7b11",
        "title": "My bank",
        "modifiedAt": "2026-11-23T21:00:00Z",
        "credentials": [{"type": "basic-auth", "password": {"fieldType": "concealed-string", "value": "before"}}],
    }
    op = merge.ops_between("item", row["id"], None, row, HLC)
    assert op is not None
    thing = merge.apply(None, op, device=OWN.device_id, seq=1, seen={})
    password = {"fieldType": "concealed-string", "value": "correct horse battery staple"}
    changed = {
        **row,
        "modifiedAt": "2026-11-23T21:05:00Z",
        "credentials": [{"type": "basic-auth", "password": password}],
    }
    op = merge.ops_between("item", row["id"], thing, changed, HLC + 1)
    assert op is not None
    assert sorted(op.cells) == ["credentials/basic-auth", "credentials/basic-auth/password", "modifiedAt"]
    return merge.encode_ops([op])


def main(check: Callable[[bytes], bool] = refused) -> int:
    """Flip every bit of every entry, also in headers that the device signs again; return how many were accepted."""
    flips = accepted = 0
    for name, data in ENTRIES.items():
        header, body, _ = crypto.unpacked(data)
        for one in (*flipped(data, True), *(signed(each, body) for each in flipped(header, True))):
            flips += 1
            accepted += not check(one)
        print(f"{name}: {flips} bits flipped so far, {accepted} accepted")
    return accepted


if __name__ == "__main__":
    sys.exit(main() > 0)
