"""A statement holds for exactly its bytes, its purpose, its signer and the chain of a root that the reader trusts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vault import crypto, listmaking, statement
from vault.device import new_device
from vault.errors import ForgedSignature
from vault.kit import new_kit

LAPTOP, PHONE, STRANGER = (new_device() for _ in range(3))
KIT, NEXT = new_kit(), new_kit()
AT = "2026-11-23T00:00:00Z"
PURPOSE = b"keyferry/test/1"


def chain_of(*more: str) -> tuple[bytes, ...]:
    """Return a chain of the laptop, to which these happen: phone, revoked, kit."""
    chain = [listmaking.genesis(KIT.root, LAPTOP, name="laptop", now=AT)]
    for what in more:
        if what == "phone":
            chain.append(listmaking.enrol(chain, PHONE, name="phone", by=LAPTOP.signer, now=AT))
        elif what == "revoked":
            chain.append(listmaking.revoke(chain, PHONE.device_id, by=LAPTOP.signer, now=AT))
        else:
            chain.append(listmaking.new_root(chain, NEXT.root, LAPTOP, now=AT))
    return tuple(chain)


CHAIN = chain_of("phone")
GOOD = statement.sign(PHONE, CHAIN, PURPOSE, b"body")
ROOTS = (KIT.root_public,)


def words(data: bytes, *, purpose: bytes = PURPOSE, body: bytes = b"body", roots: tuple[bytes, ...] = ROOTS) -> str:
    """Return what a refusal says; nothing if the statement holds."""
    try:
        statement.check(data, purpose, body, roots)
    except ForgedSignature as error:
        return error.message
    return ""


def test_it_names_who_signed_and_by_which_chain() -> None:
    found = statement.check(GOOD, PURPOSE, b"body", (NEXT.root_public, KIT.root_public))
    assert (found.member.device_id, found.member.name, found.chain) == (PHONE.device_id, "phone", CHAIN)
    assert statement.chain_in(GOOD) == CHAIN


@given(st.binary(max_size=50), st.binary(max_size=9))
def test_it_holds_for_its_bytes_and_purpose_only(body: bytes, purpose: bytes) -> None:
    signed = statement.sign(LAPTOP, CHAIN, purpose, body)
    assert words(signed, purpose=purpose, body=body) == ""
    assert words(signed, purpose=purpose, body=body + b"\0") == "its signature does not hold"
    assert words(signed, purpose=purpose + b"\0", body=body) == "its signature does not hold"


def test_purpose_and_body_do_not_run_into_each_other() -> None:
    signed = statement.sign(LAPTOP, CHAIN, b"ab", b"c")
    assert words(signed, purpose=b"a", body=b"bc") == "its signature does not hold"


def test_no_bit_of_it_can_be_altered() -> None:
    data = bytearray(GOOD)
    for place in range(0, 8 * len(data), 11):
        data[place >> 3] ^= 1 << (place & 7)
        assert words(bytes(data)), place
        data[place >> 3] ^= 1 << (place & 7)


@pytest.mark.parametrize("data", [b"", b"\0" * 4, b"x", GOOD[:-1], GOOD + b"x", crypto.packed(b"other", b"", b"")])
def test_what_is_no_statement_is_refused(data: bytes) -> None:
    assert words(data) in ("it is not signed", "its list of devices is damaged or forged")
    with pytest.raises(ForgedSignature):
        statement.chain_in(GOOD[:-1])


def test_the_signer_is_a_member_at_the_end_of_the_chain() -> None:
    assert words(statement.sign(STRANGER, CHAIN, PURPOSE, b"body")) == "it is signed by a stranger"
    ended = chain_of("phone", "revoked")
    assert words(statement.sign(PHONE, ended, PURPOSE, b"body")) == "it is signed by a revoked device"
    assert words(statement.sign(PHONE, chain_of(), PURPOSE, b"body")) == "it is signed by a stranger"
    assert words(statement.sign(LAPTOP, ended, PURPOSE, b"body")) == ""


def test_a_key_of_another_than_the_signer_does_not_help() -> None:
    _, signature, _, *chain = crypto.unpacked(statement.sign(STRANGER, CHAIN, PURPOSE, b"body"))
    borrowed = crypto.packed(statement.NAMESPACE, signature, PHONE.bundle.ed25519, *chain)
    assert words(borrowed) == "its signature does not hold"


def test_a_signature_for_the_chain_is_none_for_a_statement() -> None:
    """An entry's body is signed too, by the same keys; its namespace keeps it apart."""
    body, signers, signatures = crypto.unpacked(CHAIN[0])
    device = crypto.unpacked(signatures)[1][:64]  # the Ed25519 half
    for whole in (body, body[4:]):
        forged = crypto.packed(statement.NAMESPACE, device, crypto.unpacked(signers)[1], *CHAIN)
        assert words(forged, body=whole)


def test_only_the_newest_root_of_the_chain_counts() -> None:
    renewed = statement.sign(LAPTOP, chain_of("phone", "kit"), PURPOSE, b"body")
    assert words(renewed) == "its devices are signed by another kit"
    assert words(renewed, roots=(NEXT.root_public,)) == ""
    assert words(GOOD, roots=()) == "its devices are signed by another kit"


def test_a_chain_that_does_not_hold_is_refused() -> None:
    for chain in ((), CHAIN[1:], (CHAIN[1], CHAIN[0]), (*CHAIN, CHAIN[1]), (CHAIN[0][:-1],)):
        assert words(statement.sign(PHONE, chain, PURPOSE, b"body")) == "its list of devices is damaged or forged"
