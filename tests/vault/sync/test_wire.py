"""What goes over the wire has one form, and a signature stands for all of a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault import crypto
from vault.device import new_device
from vault.kit import new_kit
from vault.sync import wire

DEVICE, KIT = new_device(), new_kit()
BODY = wire.digest_of(b"body")

numbers, hashes, data = st.integers(0, 2**64 - 1), st.binary(min_size=32, max_size=32), st.binary(max_size=50)
kinds = st.sampled_from([wire.MEMBER, wire.ENTRY])
parts = st.lists(st.builds(wire.Part, kinds, data), min_size=1, max_size=8).map(tuple)
pages = st.builds(
    wire.Page, numbers, st.booleans(), st.lists(st.builds(wire.Arrived, numbers, kinds, data), max_size=8).map(tuple)
)
device_ids = st.binary(min_size=16, max_size=16).map(bytes.hex)
heads = st.builds(
    wire.Heads,
    hashes,
    st.integers(0, 2**32 - 1),
    st.lists(st.builds(wire.Head, device_ids, numbers, hashes), max_size=8).map(tuple),
)
FORMS: list[tuple[st.SearchStrategy[Any], Callable[[Any], bytes], Callable[[bytes], Any]]] = [
    (parts, wire.write_batch, wire.read_batch),
    (pages, wire.write_page, wire.read_page),
    (heads, wire.write_heads, wire.read_heads),
    (numbers, wire.write_cursor, wire.read_cursor),
    (hashes, wire.write_hash, wire.read_hash),
    (st.lists(data, min_size=1, max_size=5).map(tuple), wire.write_chain, wire.read_chain),
]


@given(st.data(), st.sampled_from(FORMS))
def test_what_is_written_is_read(draw: st.DataObject, form: tuple[Any, Any, Any]) -> None:
    values, write, read = form
    value = draw.draw(values)
    assert read(write(value)) == value


@given(st.binary(max_size=200), st.sampled_from(FORMS))
def test_other_bytes_are_refused_or_are_the_one_form_of_what_they_say(body: bytes, form: tuple[Any, Any, Any]) -> None:
    _, write, read = form
    try:
        value = read(body)
    except ValueError:
        return
    assert write(value) == body


@pytest.mark.parametrize("own", [True, False])
def test_a_signature_stands_for_the_whole_request(own: bool) -> None:
    key = DEVICE.ed25519 if own else KIT.root.ed25519
    device_id = DEVICE.device_id if own else ""
    headers = wire.sign_request(key, "POST", "/v1/x?a=1", BODY, device_id=device_id, now_ms=5, nonce=bytes(16))
    signed = wire.read_signed(headers)
    assert (signed.device_id, signed.root) == (device_id, b"" if own else KIT.root_public)
    assert (signed.time_ms, signed.nonce) == (5, "0" * 32)
    public = key.public_key()
    assert wire.holds(signed, public, "POST", "/v1/x?a=1", BODY)
    assert not wire.holds(signed, public, "PUT", "/v1/x?a=1", BODY)
    assert not wire.holds(signed, public, "POST", "/v1/x?a=2", BODY)
    assert not wire.holds(signed, public, "POST", "/v1/x?a=1", wire.digest_of(b"other"))
    assert not wire.holds(signed, new_device().ed25519.public_key(), "POST", "/v1/x?a=1", BODY)


def test_the_signed_bytes_are_these() -> None:
    """A vector for other implementations."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
    headers = wire.sign_request(
        key,
        "GET",
        "/v1/vaults/00/heads",
        wire.digest_of(b""),
        device_id="ab" * 16,
        now_ms=1_795_000_000_000,
        nonce=b"\1" * 16,
    )
    text = crypto.packed(
        b"keyferry/request/1",
        b"GET",
        b"/v1/vaults/00/heads",
        bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        b"1795000000000",
        b"01" * 16,
    )
    assert crypto.from_text(headers["keyferry-signature"]) == key.sign(text)
    assert sorted(headers) == ["keyferry-device", "keyferry-nonce", "keyferry-signature", "keyferry-time"]


def test_one_entry_may_be_larger_than_several() -> None:
    assert wire.fits(wire.MOST_SINGLE, 1)
    assert not wire.fits(wire.MOST_SINGLE, 2)
    assert wire.fits(wire.MOST_BATCH, wire.MOST_PARTS)
    assert not wire.fits(10, wire.MOST_PARTS + 1)
