"""A set is sealed to several keys, opened by any one of them, and by nobody else; an altered file is never opened."""

from __future__ import annotations

import errno
import io
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pyrage
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backup import sealing
from backup.zipped import Take
from tests.backup.sets import sealed
from vault.errors import DamagedBackup, DamagedVault, KeyferryError, SealedElsewhere

ONE, TWO, OTHER = (pyrage.x25519.Identity.generate() for _ in range(3))
CHUNK = 64 << 10  # what age authenticates at a time


def taker(found: list[bytes], size: int) -> Take:
    """A reader that wants exactly so many bytes."""
    while size:
        piece = yield min(size, 1000)
        found.append(piece)
        size -= len(piece)


def unsealed(data: bytes, *identities: object, size: int) -> bytes:
    found: list[bytes] = []
    keys = [str(one) for one in identities]
    sealing.unseal(io.BufferedReader(io.BytesIO(data), 1 << 20), keys, taker(found, size))  # type: ignore[arg-type]
    return b"".join(found)


def ours(content: bytes, *identities: pyrage.x25519.Identity) -> bytes:
    out = io.BytesIO()
    sealing.seal([content], out, [str(one.to_public()) for one in identities])
    return out.getvalue()


@pytest.mark.parametrize("size", [1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 7])
def test_each_key_opens_what_was_sealed_to_all(size: int) -> None:
    content = bytes(range(256)) * (size // 256 + 1)
    data = ours(content[:size], ONE, TWO)
    for identities in ((ONE,), (TWO,), (OTHER, TWO), (ONE, TWO)):
        assert unsealed(data, *identities, size=size) == content[:size]


def test_nothing_of_the_content_is_in_the_file() -> None:
    assert b"canary" not in ours(b"canary" * 1000, ONE)


@given(st.lists(st.binary(max_size=3000), max_size=9))
@settings(max_examples=50)
def test_pieces_of_any_size_are_sealed_in_order(pieces: list[bytes]) -> None:
    out = io.BytesIO()
    sealing.seal(iter(pieces), out, [str(ONE.to_public())])
    assert pyrage.decrypt(out.getvalue(), [ONE]) == b"".join(pieces)


def test_what_age_seals_is_ours_to_open(tmp_path: Path) -> None:
    if shutil.which("age") is None:
        pytest.skip("needs age")
    done = subprocess.run(
        ["age", "-r", str(ONE.to_public()), "-r", str(TWO.to_public())],
        input=b"x" * 99,
        capture_output=True,
        timeout=60,
    )
    assert unsealed(done.stdout, TWO, size=99) == b"x" * 99


# -- other keys


def test_other_keys_are_told_from_damage() -> None:
    with pytest.raises(SealedElsewhere, match="sealed to other keys"):
        unsealed(ours(b"x", ONE), OTHER, size=1)
    with pytest.raises(SealedElsewhere):
        unsealed(ours(b"x", ONE), size=1)


def test_a_file_is_not_one_thing_under_one_key_and_another_under_the_next() -> None:
    """The header's MAC is under the file key: stanzas of two files do not go together, whoever put them there."""
    mine, theirs = ours(b"for one", ONE), ours(b"for two", TWO)
    stanza, body = re.compile(rb"-> X25519 [^\n]+\n[^\n]+\n"), theirs[theirs.index(b"\n--- ") + 1 :]
    both = sealing.MAGIC + stanza.findall(mine)[0] + stanza.findall(theirs)[0] + body
    for identity in (ONE, TWO):
        with pytest.raises(DamagedBackup):
            unsealed(both, identity, size=7)
    with pytest.raises(SealedElsewhere):
        unsealed(both, OTHER, size=7)


# -- damage


def refused(data: bytes, size: int) -> bool:
    try:
        unsealed(data, ONE, size=size)
    except (DamagedBackup, SealedElsewhere):
        return True
    return False


def test_no_bit_of_a_file_can_be_altered() -> None:
    data = bytearray(ours(b"content", ONE, TWO))
    for place in range(8 * len(data)):
        data[place >> 3] ^= 1 << (place & 7)
        assert refused(bytes(data), 7), place
        data[place >> 3] ^= 1 << (place & 7)
    assert not refused(bytes(data), 7)


def test_a_file_is_refused_wherever_it_is_cut_and_when_it_goes_on() -> None:
    size = 2 * CHUNK + 100
    data = ours(bytes(size), ONE)
    start = len(data) - size - 3 * 16
    edges = {start, *(start + number * (CHUNK + 16) for number in (1, 2))}
    for length in sorted({0, 1, 21, 22, 23, len(data) - 1, *(edge + more for edge in edges for more in (-1, 0, 1))}):
        assert refused(data[:length], size), length
    assert refused(data + b"\0", size)
    assert refused(data + data, size)
    assert not refused(data, size)


def test_pieces_of_a_file_do_not_change_places() -> None:
    size = 3 * CHUNK
    data = ours(bytes(CHUNK) + bytes([1]) * CHUNK + bytes([2]) * CHUNK, ONE)
    start = len(data) - 3 * (CHUNK + 16)
    first, second, third = (data[start + n * (CHUNK + 16) : start + (n + 1) * (CHUNK + 16)] for n in range(3))
    for order in (
        (second, first, third),
        (first, third, second),
        (first, first, third),
        (first, third),
        (second, third),
    ):
        assert refused(data[:start] + b"".join(order), size)


def test_content_that_is_longer_or_shorter_than_its_reader_is_refused() -> None:
    data = ours(b"12345", ONE)
    with pytest.raises(DamagedBackup, match="goes on behind its end"):
        unsealed(data, ONE, size=4)
    with pytest.raises(DamagedBackup, match="ends too early"):
        unsealed(data, ONE, size=6)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"age",
        b"PK\x03\x04",
        sealing.MAGIC,
        sealing.MAGIC + b"\n--- ",
        sealing.MAGIC + b"-> scrypt AAAA 10\nAAAA\n--- AAAA\n",
        b"-----BEGIN AGE ENCRYPTED FILE-----\n",
        bytes(100_000),
    ],
)
def test_what_is_no_age_file_is_refused(data: bytes) -> None:
    with pytest.raises(DamagedBackup):
        unsealed(data, ONE, size=1)


@pytest.mark.parametrize(
    "stanza", [b"-> x\n" + b"A" * 64 + b"\n", b"-> X25519 " + b"A" * 43 + b"\n" + b"A" * 43 + b"\n"]
)
def test_a_header_without_end_takes_no_time(stanza: bytes) -> None:
    """The library reads a header again from its beginning for each line."""
    began = time.perf_counter()
    with pytest.raises(DamagedBackup, match="its beginning is damaged"):
        unsealed(sealing.MAGIC + stanza * (20_000_000 // len(stanza)), ONE, size=1)
    assert time.perf_counter() - began < 1


def test_a_set_for_a_thousand_devices_is_read() -> None:
    public = str(ONE.to_public())
    data = sealed(b"x", *[str(OTHER.to_public())] * 999, public)
    assert unsealed(data, ONE, size=1) == b"x"


# -- what others raise comes through


def test_an_error_of_the_content_is_not_turned_into_another() -> None:
    def content() -> Iterator[bytes]:
        yield b"begun"
        raise DamagedVault("an attachment in the vault is damaged")

    with pytest.raises(DamagedVault, match="attachment"):
        sealing.seal(content(), io.BytesIO(), [str(ONE.to_public())])


def test_a_full_disk_stays_a_full_disk() -> None:
    class Full(io.BytesIO):
        def write(self, data: object, /) -> int:
            raise OSError(errno.ENOSPC, "no space")

    with pytest.raises(OSError, match="no space") as caught:
        sealing.seal([bytes(1 << 20)], Full(), [str(ONE.to_public())])
    assert caught.value.errno == errno.ENOSPC


def test_an_interrupt_while_sealing_or_reading_ends_it() -> None:
    def content() -> Iterator[bytes]:
        yield b"begun"
        raise KeyboardInterrupt

    def reader() -> Take:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sealing.seal(content(), io.BytesIO(), [str(ONE.to_public())])
    with pytest.raises(KeyboardInterrupt):
        file = io.BufferedReader(io.BytesIO(ours(b"xy", ONE)), 1 << 20)  # type: ignore[arg-type]
        sealing.unseal(file, [str(ONE)], reader())


def test_what_the_reader_refuses_is_what_is_told() -> None:
    class OwnError(KeyferryError):
        pass

    def reader() -> Take:
        yield 5
        raise OwnError("the vault is full")

    with pytest.raises(OwnError):
        file = io.BufferedReader(io.BytesIO(ours(bytes(300_000), ONE)), 1 << 20)  # type: ignore[arg-type]
        sealing.unseal(file, [str(ONE)], reader())
