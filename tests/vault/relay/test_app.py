"""What a relay refuses, and in which words."""

from __future__ import annotations

import asyncio
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vault.relay.calling import (
    AT,
    KIT,
    LAPTOP,
    NOW,
    OTHER_KIT,
    PHONE,
    STRANGER,
    TABLET,
    Answer,
    Caller,
    Clock,
    chain_of,
    log_of,
    member,
    running,
)
from vault import crypto, listmaking, membership
from vault.device import new_device
from vault.relay import checking
from vault.relay.app import Relay
from vault.relay.quota import Limits
from vault.relay.refusals import Refused
from vault.relay.storage import Append, Outcome, Write
from vault.sync import entry, wire

OLD = new_device()
CHAIN = chain_of(LAPTOP, PHONE)
VAULT = membership.vault_id_of(CHAIN)
HEADS = f"/v1/vaults/{VAULT}/heads"


@pytest.fixture
def caller(tmp_path: Path) -> Any:
    with running(tmp_path) as made:
        assert made.create(CHAIN, LAPTOP).status == 201
        yield made


def refused(answer: Answer, status: int, word: str) -> bool:
    """Tell whether the relay refused in this way; a sentence for people is with it."""
    told = json.loads(answer.body)
    assert told["error"] == answer.word
    assert told["message"][0].islower()
    assert not told["message"].endswith(".")
    return (answer.status, answer.word) == (status, word)


def test_every_answer_is_kept_by_nobody_and_sniffed_by_nobody(caller: Caller) -> None:
    for answer in (caller.signed(LAPTOP, "GET", HEADS), caller.call("GET", HEADS), caller.call("GET", "/health")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("missing", [wire.DEVICE, wire.TIME, wire.NONCE, wire.SIGNATURE])
def test_an_unsigned_request_is_refused(caller: Caller, missing: str) -> None:
    headers = caller.headers(LAPTOP, "GET", HEADS)
    del headers[missing]
    assert refused(caller.call("GET", HEADS, headers=headers), 401, "unsigned")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (wire.TIME, "-1"),
        (wire.TIME, "1" * 40),
        (wire.TIME, "١٢"),
        (wire.NONCE, "00"),
        (wire.NONCE, "G" * 32),
        (wire.DEVICE, "ab"),
        (wire.SIGNATURE, "AAAA"),
        (wire.SIGNATURE, "no base64"),
        (wire.ROOT, "00" * 32),
    ],
)
def test_headers_of_another_form_are_refused(caller: Caller, name: str, value: str) -> None:
    headers = {**caller.headers(LAPTOP, "GET", HEADS), name: value}
    assert refused(caller.call("GET", HEADS, headers=headers), 401, "unsigned")


def test_every_part_of_a_request_is_signed(caller: Caller) -> None:
    body = wire.write_batch(log_of(CHAIN, LAPTOP).parts(1))
    target = f"/v1/vaults/{VAULT}/entries"
    good = caller.headers(LAPTOP, "POST", target, body)
    other = caller.headers(LAPTOP, "POST", target, b"")
    page = f"{target}?after=1"
    changed = [
        ("POST", target, body, {**good, wire.TIME: str(int(good[wire.TIME]) + 1)}),
        ("POST", target, body, {**good, wire.NONCE: "0" * 32}),
        ("POST", target, body, {**good, wire.SIGNATURE: other[wire.SIGNATURE]}),
        ("POST", target, wire.write_batch(log_of(CHAIN, LAPTOP).parts(1)), good),
        ("GET", page, b"", caller.headers(LAPTOP, "GET", target)),
        ("GET", page, b"", caller.headers(LAPTOP, "GET", f"{target}?after=2")),
        ("GET", HEADS, b"", caller.headers(LAPTOP, "HEAD", HEADS)),
        ("GET", HEADS, b"", {**caller.headers(LAPTOP, "GET", HEADS), wire.DEVICE: PHONE.device_id}),
    ]
    for method, where, sent, headers in changed:
        assert refused(caller.call(method, where, sent, headers), 401, "wrong-signature"), (method, where)
    assert caller.call("POST", target, body, good).status == 200


def test_a_request_is_taken_once(caller: Caller) -> None:
    headers = caller.headers(LAPTOP, "GET", HEADS)
    assert caller.call("GET", HEADS, headers=headers).status == 200
    assert refused(caller.call("GET", HEADS, headers=headers), 401, "replayed")
    caller.clock.now += 299
    assert refused(caller.call("GET", HEADS, headers=headers), 401, "replayed")


def test_a_nonce_in_a_forged_request_stays_free(caller: Caller) -> None:
    good = caller.headers(LAPTOP, "GET", HEADS)
    forged = {**good, wire.SIGNATURE: caller.headers(PHONE, "GET", HEADS)[wire.SIGNATURE]}
    assert refused(caller.call("GET", HEADS, headers=forged), 401, "wrong-signature")
    assert caller.call("GET", HEADS, headers=good).status == 200


@pytest.mark.parametrize("seconds", [301, -301])
def test_clocks_may_differ_by_five_minutes(caller: Caller, seconds: int) -> None:
    headers = caller.headers(LAPTOP, "GET", HEADS)
    caller.clock.now += seconds
    answer = caller.call("GET", HEADS, headers=headers)
    assert refused(answer, 401, "wrong-time")
    assert answer.headers[wire.TIME] == str(int((NOW + seconds) * 1000))
    caller.clock.now -= 2 * seconds // abs(seconds)
    assert caller.call("GET", HEADS, headers=headers).status == 200


def test_only_members_and_the_root_are_heard(caller: Caller) -> None:
    assert refused(caller.signed(STRANGER, "GET", HEADS), 403, "not-a-member")
    assert refused(caller.signed(OTHER_KIT, "GET", HEADS), 403, "not-the-root")
    assert caller.signed(PHONE, "GET", HEADS).status == 200
    assert caller.signed(KIT, "GET", HEADS).status == 200


@pytest.mark.parametrize("vault", ["0" * 32, VAULT.upper(), "x", VAULT[:-1]])
def test_an_unknown_vault_is_not_found(caller: Caller, vault: str) -> None:
    assert refused(caller.signed(LAPTOP, "GET", f"/v1/vaults/{vault}/heads"), 404, "no-such-vault")


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "limit=0", "limit=501", "after=" + "9" * 30, "after=%D9%A1", "limit="]
)
def test_numbers_out_of_bounds_are_refused(caller: Caller, query: str) -> None:
    answer = caller.signed(LAPTOP, "GET", f"/v1/vaults/{VAULT}/entries?{query}")
    assert refused(answer, 400, "malformed")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"x",
        crypto.packed(b"x"),
        crypto.packed(crypto.packed(b"other", b"x")),
        crypto.packed(crypto.packed(b"entry", b"x", b"y")),
        crypto.packed(crypto.packed(b"member", b"x")),
        crypto.packed(*[crypto.packed(b"entry", b"")] * (wire.MOST_PARTS + 1)),
    ],
)
def test_a_body_of_another_form_is_refused(caller: Caller, body: bytes) -> None:
    answer = caller.signed(LAPTOP, "POST", f"/v1/vaults/{VAULT}/entries", body)
    assert refused(answer, 400, "malformed")


def test_a_batch_is_a_megabyte_and_a_lone_entry_a_tenth_more(caller: Caller) -> None:
    log = log_of(CHAIN, LAPTOP)
    alone = wire.Part(wire.ENTRY, log.write(bytes(1_045_000)))
    assert wire.MOST_BATCH < len(alone.data) <= entry.MOST_BYTES
    two = [alone, *log.parts(1)]
    assert refused(caller.append(LAPTOP, VAULT, *two), 413, "too-large")
    assert caller.append(LAPTOP, VAULT, alone).status == 200
    huge = wire.Part(wire.ENTRY, bytes(wire.MOST_SINGLE))
    assert refused(caller.append(LAPTOP, VAULT, huge), 413, "too-large")


def test_a_body_longer_than_it_said_is_cut_off(caller: Caller) -> None:
    target, body = f"/v1/vaults/{VAULT}/entries", bytes(wire.MOST_SINGLE + 1)
    headers = {**caller.headers(LAPTOP, "POST", target, body), "content-length": "5"}
    assert refused(caller.call("POST", target, body, headers), 413, "too-large")
    assert caller.relay.bodies.buffered == 0


def test_too_much_at_once_is_put_off(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(buffered_bytes=1000)) as caller:
        answer = caller.create(chain_of(LAPTOP), LAPTOP)
        assert (answer.status, answer.word, answer.headers["retry-after"]) == (503, "unavailable", "5")


def altered(data: bytes) -> list[bytes]:
    """Return an entry with one bit of each of its bytes turned."""
    return [data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :] for at in range(len(data))]


def test_an_entry_with_any_byte_altered_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(requests=10**6, entries=10**6, refusals=10**6)) as caller:
        caller.create(CHAIN, LAPTOP)
        good = log_of(CHAIN, LAPTOP).write()
        words = set()
        for bad in altered(good):
            answer = caller.append(LAPTOP, VAULT, wire.Part(wire.ENTRY, bad))
            assert answer.status in (403, 422), answer
            words.add(answer.word)
        assert words >= {"bad-entry", "bad-signature", "unknown-membership", "not-a-member"}
        assert caller.heads(LAPTOP, VAULT).devices == ()


def test_a_membership_entry_with_any_byte_altered_is_refused(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(requests=10**6, entries=10**6, refusals=10**6)) as caller:
        caller.create(CHAIN, LAPTOP)
        good = listmaking.revoke(CHAIN, PHONE.device_id, by=LAPTOP.signer, now=AT)
        for bad in altered(good):
            assert caller.append(LAPTOP, VAULT, member(bad)).status in (400, 422)
        assert caller.heads(PHONE, VAULT).height == 2


def test_an_entry_of_another_vault_is_refused(caller: Caller) -> None:
    foreign = chain_of(LAPTOP, kit=OTHER_KIT)
    part = wire.Part(wire.ENTRY, log_of(foreign, LAPTOP).write())
    assert refused(caller.append(LAPTOP, VAULT, part), 422, "bad-entry")


def test_an_entry_that_names_members_the_relay_has_not_seen_is_refused(caller: Caller) -> None:
    log = log_of(CHAIN, LAPTOP)
    part = wire.Part(wire.ENTRY, log.write(membership_head=bytes(32)))
    assert refused(caller.append(LAPTOP, VAULT, part), 422, "unknown-membership")


def test_an_entry_dated_before_its_device_was_a_member_is_refused(caller: Caller) -> None:
    part = wire.Part(wire.ENTRY, log_of(CHAIN[:1], PHONE).write())
    assert refused(caller.append(PHONE, VAULT, part), 403, "not-a-member")


def test_an_entry_dated_after_a_revocation_is_refused(caller: Caller) -> None:
    gone = [*CHAIN, listmaking.revoke(CHAIN, PHONE.device_id, by=LAPTOP.signer, now=AT)]
    caller.append(LAPTOP, VAULT, member(gone[-1]))
    late = log_of(gone, PHONE)
    late.vault = VAULT
    assert refused(caller.append(LAPTOP, VAULT, wire.Part(wire.ENTRY, late.write())), 403, "not-a-member")


def test_a_device_joins_with_its_own_enrolment(caller: Caller) -> None:
    """The kit's way, when every other device is lost: the batch that enrols is signed by who is enrolled."""
    longer = [*CHAIN, listmaking.enrol(CHAIN, TABLET, name="", by=KIT.root, now=AT)]
    assert refused(caller.append(TABLET, VAULT, *log_of(CHAIN, TABLET).parts(1)), 403, "not-a-member")
    assert caller.append(TABLET, VAULT, member(longer[-1]), *log_of(longer, TABLET).parts(1)).status == 200
    assert caller.heads(TABLET, VAULT).height == 3


def test_a_membership_entry_in_a_taken_place_is_kept_beside_what_stands_above_it(caller: Caller) -> None:
    one = listmaking.enrol(CHAIN, TABLET, name="", by=LAPTOP.signer, now=AT)
    other = listmaking.enrol(CHAIN, STRANGER, name="", by=PHONE.signer, now=AT)
    for _ in range(2):
        assert caller.append(LAPTOP, VAULT, member(one)).status == 200
        assert caller.append(PHONE, VAULT, member(other)).status == 200
    assert caller.heads(PHONE, VAULT).membership == hashlib.sha256(one).digest()
    assert [each.data for each in caller.page(PHONE, VAULT).entries] == [*CHAIN, one, other]
    caller.relay.memberships.forget(VAULT)
    assert caller.heads(PHONE, VAULT).membership == hashlib.sha256(one).digest()


def test_only_a_list_that_holds_is_kept_beside(caller: Caller) -> None:
    one = listmaking.enrol(CHAIN, TABLET, name="", by=LAPTOP.signer, now=AT)
    other = listmaking.enrol(CHAIN, STRANGER, name="", by=PHONE.signer, now=AT)
    assert caller.append(LAPTOP, VAULT, member(one)).status == 200
    forged = bytearray(other)
    forged[-1] ^= 1
    assert refused(caller.append(PHONE, VAULT, member(bytes(forged))), 422, "bad-membership")
    assert caller.append(PHONE, VAULT, member(other)).status == 200
    beyond = listmaking.enrol([*CHAIN, other], OLD, name="", by=STRANGER.signer, now=AT)
    assert caller.append(LAPTOP, VAULT, member(beyond)).status == 200
    forged = bytearray(listmaking.enrol([*CHAIN, other, beyond], new_device(), name="", by=OLD.signer, now=AT))
    forged[-1] ^= 1
    assert refused(caller.append(LAPTOP, VAULT, member(bytes(forged))), 422, "bad-membership")


def test_lists_beside_have_a_bound(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(lost_entries=2)) as caller:
        caller.create(CHAIN, LAPTOP)
        ones = [listmaking.enrol(CHAIN, one, name="", by=LAPTOP.signer, now=AT) for one in (TABLET, STRANGER, OLD)]
        assert [caller.append(LAPTOP, VAULT, member(one)).status for one in ones] == [200, 200, 200]
        more = listmaking.enrol(CHAIN, new_device(), name="", by=PHONE.signer, now=AT)
        assert refused(caller.append(PHONE, VAULT, member(more)), 507, "quota")
        above = listmaking.revoke(CHAIN, PHONE.device_id, by=KIT.root, now=AT)  # that is no list beside
        assert caller.append(LAPTOP, VAULT, member(above)).status == 200


def test_a_membership_entry_that_follows_nothing_is_a_gap(caller: Caller) -> None:
    longer = [*CHAIN, listmaking.enrol(CHAIN, TABLET, name="", by=LAPTOP.signer, now=AT)]
    last = listmaking.enrol(longer, STRANGER, name="", by=LAPTOP.signer, now=AT)
    assert refused(caller.append(LAPTOP, VAULT, member(last)), 422, "gap")


@pytest.mark.parametrize("senior_first", [True, False])
def test_of_two_that_revoke_each_other_the_senior_stays(caller: Caller, senior_first: bool) -> None:
    senior = listmaking.revoke(CHAIN, PHONE.device_id, by=LAPTOP.signer, now=AT)
    junior = listmaking.revoke(CHAIN, LAPTOP.device_id, by=PHONE.signer, now=AT)
    both = [(LAPTOP, senior), (PHONE, junior)]
    answers = [caller.append(who, VAULT, member(one)) for who, one in (both if senior_first else both[::-1])]
    assert [one.status for one in answers] == ([200, 403] if senior_first else [200, 200])
    assert caller.heads(LAPTOP, VAULT).membership == hashlib.sha256(senior).digest()
    assert refused(caller.signed(PHONE, "GET", HEADS), 403, "revoked")
    caller.relay.memberships.forget(VAULT)
    assert caller.heads(LAPTOP, VAULT).height == 3


def test_the_root_overrides_whoever_came_first(caller: Caller) -> None:
    first = listmaking.revoke(CHAIN, PHONE.device_id, by=LAPTOP.signer, now=AT)
    root = listmaking.revoke(CHAIN, LAPTOP.device_id, by=KIT.root, now=AT)
    assert caller.append(LAPTOP, VAULT, member(first)).status == 200
    assert caller.append(PHONE, VAULT, member(root)).status == 200
    assert caller.heads(PHONE, VAULT).membership == hashlib.sha256(root).digest()


def test_a_chain_that_was_brought_before_is_taken_again(caller: Caller) -> None:
    assert caller.create(CHAIN, PHONE).status == 200
    assert caller.create(CHAIN[:1], LAPTOP).status == 200
    longer = [*CHAIN, listmaking.enrol(CHAIN, TABLET, name="", by=LAPTOP.signer, now=AT)]
    answer = caller.create(longer, TABLET)
    assert (answer.status, wire.read_cursor(answer.body)) == (200, 3)
    assert len(caller.page(TABLET, VAULT).entries) == 3


def test_a_chain_is_brought_by_one_of_its_own(caller: Caller) -> None:
    other = chain_of(LAPTOP, kit=OTHER_KIT)
    assert refused(caller.create(other, PHONE), 403, "not-a-member")
    assert refused(caller.create(other, KIT), 403, "not-the-root")
    assert caller.create(other, OTHER_KIT).status == 201


def test_a_chain_that_does_not_hold_is_refused(caller: Caller) -> None:
    assert refused(caller.create([CHAIN[0], CHAIN[0]], LAPTOP), 422, "bad-membership")
    assert refused(caller.create([b"nothing"], LAPTOP), 422, "bad-membership")


def test_new_vaults_need_the_invitation(tmp_path: Path) -> None:
    with running(tmp_path, invite="word") as caller:
        assert refused(caller.create(CHAIN, LAPTOP), 403, "no-invite")
        assert refused(caller.create(CHAIN, LAPTOP, keyferry_invite="ward"), 403, "no-invite")
        assert caller.create(CHAIN, LAPTOP, keyferry_invite="word").status == 201
        assert caller.create(CHAIN, LAPTOP).status == 200


def test_a_vault_has_sixty_four_devices_at_most(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(devices=2)) as caller:
        assert caller.create(CHAIN, LAPTOP).status == 201
        more = listmaking.enrol(CHAIN, TABLET, name="", by=LAPTOP.signer, now=AT)
        assert refused(caller.append(LAPTOP, VAULT, member(more)), 507, "quota")
    assert Limits().devices == 64


def test_too_many_requests_are_put_off_and_taken_later(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(requests=3)) as caller:
        caller.create(CHAIN, LAPTOP)
        assert [caller.signed(LAPTOP, "GET", HEADS).status for _ in range(3)] == [200, 200, 429]
        answer = caller.signed(PHONE, "GET", HEADS)
        assert refused(answer, 429, "too-many")
        caller.clock.now += int(answer.headers["retry-after"])
        assert caller.signed(PHONE, "GET", HEADS).status == 200


def test_too_many_entries_are_put_off(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(entries=60)) as caller:
        caller.create(CHAIN, LAPTOP)
        log = log_of(CHAIN, LAPTOP)
        assert caller.append(LAPTOP, VAULT, *log.parts(50)).status == 200
        answer = caller.append(LAPTOP, VAULT, *(parts := log.parts(30)))
        assert (answer.status, answer.headers["retry-after"]) == (429, "20")
        caller.clock.now += 20
        assert caller.append(LAPTOP, VAULT, *parts).status == 200


def test_an_address_that_is_refused_too_often_is_not_heard(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(refusals=5)) as caller:
        caller.create(CHAIN, LAPTOP)
        assert [caller.call("GET", HEADS).status for _ in range(6)] == [401] * 5 + [429]
        answer = caller.signed(LAPTOP, "GET", HEADS)
        assert refused(answer, 429, "too-many-refusals")
        caller.address = "198.51.100.9"
        assert caller.signed(LAPTOP, "GET", HEADS).status == 200


def test_an_address_makes_few_vaults_a_minute(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(vaults=1)) as caller:
        assert caller.create(CHAIN, LAPTOP).status == 201
        other = chain_of(LAPTOP, kit=OTHER_KIT)
        assert refused(caller.create(other, LAPTOP), 429, "too-many-vaults")
        caller.clock.now += 60
        assert caller.create(other, LAPTOP).status == 201


@given(st.lists(st.tuples(st.sampled_from([wire.MEMBER, wire.ENTRY]), st.binary(max_size=60)), min_size=1, max_size=4))
def test_no_bytes_make_the_relay_stumble(parts: list[tuple[bytes, bytes]]) -> None:
    known = checking.read_known(CHAIN, Limits())
    for kind, data in parts:
        for shape in (
            data,
            crypto.packed(data),
            crypto.packed(data, data, data),
            crypto.packed(crypto.packed(data) * 6),
        ):
            with pytest.raises(Refused):
                checking.joined(known, [shape], Limits()) if kind == wire.MEMBER else checking.checked_entry(
                    known, shape
                )


def test_a_blob_is_what_its_address_says(caller: Caller) -> None:
    target = f"/v1/vaults/{VAULT}/blobs/{hashlib.sha256(b'one').hexdigest()}"
    headers = caller.headers(LAPTOP, "PUT", target, b"one")
    assert refused(caller.call("PUT", target, b"two", headers), 422, "wrong-digest")
    assert refused(caller.signed(LAPTOP, "GET", target), 404, "no-such-blob")
    headers = caller.headers(LAPTOP, "PUT", target, b"two")
    assert refused(caller.call("PUT", target, b"two", headers), 401, "wrong-signature")
    large = {**caller.headers(LAPTOP, "PUT", target, b"one"), "content-length": str(wire.MOST_BLOB + 1)}
    assert refused(caller.call("PUT", target, b"one", large), 413, "too-large")
    assert refused(caller.signed(LAPTOP, "GET", target + "0"), 400, "malformed")
    assert list((Path(caller.relay.storage._blobs)).iterdir()) == []  # type: ignore[attr-defined]


def test_whoever_waits_hears_of_an_entry_at_once(caller: Caller) -> None:
    target = f"/v1/vaults/{VAULT}/watch?after=2&wait=25"
    log = log_of(CHAIN, LAPTOP)

    async def both() -> tuple[Answer, Answer]:
        waiting = asyncio.create_task(caller.acall("GET", target, headers=caller.headers(PHONE, "GET", target)))
        while not caller.relay.bells.count:
            await asyncio.sleep(0)
        body, where = wire.write_batch(log.parts(1)), f"/v1/vaults/{VAULT}/entries"
        sent = await caller.acall("POST", where, body, caller.headers(LAPTOP, "POST", where, body))
        async with asyncio.timeout(5):
            return sent, await waiting

    sent, heard = caller.run(both())
    assert (sent.status, heard.status) == (200, 200)
    assert wire.read_cursor(heard.body) == wire.read_cursor(sent.body) == 3
    assert caller.relay.bells.count == 0


def test_whoever_waits_in_vain_is_told_nothing(caller: Caller) -> None:
    answer = caller.signed(PHONE, "GET", f"/v1/vaults/{VAULT}/watch?after=2&wait=0")
    assert (answer.status, answer.body) == (204, b"")


def test_whoever_waits_is_let_go_when_the_relay_ends(caller: Caller) -> None:
    target = f"/v1/vaults/{VAULT}/watch?after=2&wait=25"

    async def ended() -> Answer:
        waiting = asyncio.create_task(caller.acall("GET", target, headers=caller.headers(PHONE, "GET", target)))
        while not caller.relay.bells.count:
            await asyncio.sleep(0)
        caller.relay.stop_waiting()
        async with asyncio.timeout(5):
            return await waiting

    assert caller.run(ended()).status == 204


def test_a_revoked_device_stops_waiting_for_news_it_may_not_read(caller: Caller) -> None:
    gone = listmaking.revoke(CHAIN, PHONE.device_id, by=LAPTOP.signer, now=AT)
    caller.append(LAPTOP, VAULT, member(gone))
    assert refused(caller.signed(PHONE, "GET", f"/v1/vaults/{VAULT}/watch?after=0"), 403, "revoked")


class Overtaken(Relay):
    """A relay whose vault gets another member between the check of a batch and its commit."""

    before: list[Write]

    async def taken(self, write: Write) -> Outcome:
        if isinstance(write, Append) and self.before:
            await super().taken(self.before.pop())
        return await super().taken(write)


def test_a_batch_checked_against_older_members_is_checked_again(tmp_path: Path) -> None:
    from vault.relay.checking import member_row

    with running(tmp_path, kind=Overtaken) as caller:
        relay = caller.relay
        assert isinstance(relay, Overtaken)
        relay.before = []
        caller.create(CHAIN, LAPTOP)
        head, vault = membership.head_of(CHAIN), bytes.fromhex(VAULT)
        more = listmaking.enrol(CHAIN, TABLET, name="", by=LAPTOP.signer, now=AT)
        relay.before = [Append(vault, head, (member_row(more),), 10**9)]
        assert caller.append(PHONE, VAULT, *log_of(CHAIN, PHONE).parts(1)).status == 200
        longer = [*CHAIN, more]
        gone = listmaking.revoke(longer, PHONE.device_id, by=LAPTOP.signer, now=AT)
        relay.before = [Append(vault, membership.head_of(longer), (member_row(gone),), 10**9)]
        log = log_of(CHAIN, PHONE)
        log.parts(1)
        assert refused(caller.append(PHONE, VAULT, *log.parts(1)), 403, "revoked")


class Broken(Relay):
    """A relay with a problem that nobody foresaw."""

    async def heads_of(self, known: Any) -> wire.Heads:
        raise RuntimeError("something that stands in a vault")


def test_a_problem_of_the_relay_is_told_without_its_words(tmp_path: Path) -> None:
    with running(tmp_path, kind=Broken) as caller:
        caller.create(CHAIN, LAPTOP)
        answer = caller.signed(LAPTOP, "GET", HEADS)
        assert refused(answer, 503, "unavailable")
        assert b"something" not in answer.body
        assert caller.relay.counts.failures == 1


def test_health_tells_when_the_database_is_away(caller: Caller) -> None:
    assert caller.call("GET", "/health").status == 200
    caller.relay.storage.check = lambda: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    assert refused(caller.call("GET", "/health"), 503, "unavailable")


def test_metrics_are_sums_for_the_machine_itself(caller: Caller) -> None:
    assert caller.call("GET", "/metrics").status == 404
    caller.signed(LAPTOP, "GET", HEADS)
    caller.address = "127.0.0.1"
    text = caller.call("GET", "/metrics").body.decode()
    assert 'keyferry_relay_answers_total{endpoint="heads",status="200"} 1\n' in text
    assert "keyferry_relay_commits_total 1\n" in text
    assert "keyferry_relay_watchers 0\n" in text
    assert VAULT not in text


def test_the_clock_of_a_test_is_the_relays(tmp_path: Path) -> None:
    """Nothing above waits: the relay looks at no other clock."""
    with running(tmp_path, clock=Clock(0.0)) as caller:
        assert caller.create(CHAIN, LAPTOP).status == 201
