"""What every database of a relay must do; each function is a claim, run on each of them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from tests.vault.relay.calling import (
    AT,
    KIT,
    LAPTOP,
    PHONE,
    STRANGER,
    TABLET,
    Caller,
    chain_of,
    log_of,
    member,
)
from vault import listmaking, membership
from vault.relay.quota import Limits
from vault.sync import entry, wire

DAY = 86_400


def vault_of(caller: Caller) -> tuple[list[bytes], str]:
    """Make a vault of laptop and phone at the relay."""
    chain = chain_of(LAPTOP, PHONE)
    assert caller.create(chain, LAPTOP).status == 201
    return chain, membership.vault_id_of(chain)


def what_was_sent_comes_back_in_order(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    own, others = log_of(chain, LAPTOP), log_of(chain, PHONE)
    first, second, third = own.parts(3), others.parts(2), own.parts(2)
    for who, parts in ((LAPTOP, first), (PHONE, second), (LAPTOP, third)):
        assert caller.append(who, vault, *parts).status == 200
    page = caller.page(PHONE, vault)
    assert [one.data for one in page.entries] == [*chain, *(one.data for one in (*first, *second, *third))]
    assert [one.number for one in page.entries] == list(range(1, 10))
    assert (page.cursor, page.more) == (9, False)
    assert [one.kind for one in page.entries[:3]] == [wire.MEMBER, wire.MEMBER, wire.ENTRY]


def heads_name_the_newest_of_each_device(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    own, others = log_of(chain, LAPTOP), log_of(chain, PHONE)
    caller.append(LAPTOP, vault, *own.parts(12))
    caller.append(PHONE, vault, *others.parts(3))
    heads = caller.heads(LAPTOP, vault)
    assert (heads.membership, heads.height) == (membership.head_of(chain), 2)
    assert {(one.device_id, one.seq, one.hash) for one in heads.devices} == {
        (LAPTOP.device_id, 12, entry.hash_of(own.entries[-1])),
        (PHONE.device_id, 3, entry.hash_of(others.entries[-1])),
    }


def pages_follow_each_other(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    caller.append(LAPTOP, vault, *log_of(chain, LAPTOP).parts(20))
    read, after, more = [], 0, True
    while more:
        page = caller.page(PHONE, vault, after, 7)
        read += [one.number for one in page.entries]
        after, more = page.cursor, page.more
    assert read == list(range(1, 23))
    assert caller.page(PHONE, vault, 22) == wire.Page(22, False, ())


def a_page_ends_at_four_megabytes(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    log = log_of(chain, LAPTOP)
    for _ in range(6):
        assert caller.append(LAPTOP, vault, wire.Part(wire.ENTRY, log.write(b"x" * 900_000))).status == 200
    page = caller.page(PHONE, vault, 2)
    assert page.more
    assert 3 <= len(page.entries) <= 5
    assert sum(len(one.data) for one in page.entries) <= wire.MOST_PAGE_BYTES
    rest = caller.page(PHONE, vault, page.cursor)
    assert [one.number for one in (*page.entries, *rest.entries)] == list(range(3, 9))


def a_cursor_beyond_the_newest_is_answered_with_the_newest(caller: Caller) -> None:
    _, vault = vault_of(caller)
    assert caller.page(PHONE, vault, 99) == wire.Page(2, False, ())
    answer = caller.signed(PHONE, "GET", f"/v1/vaults/{vault}/watch?after=99&wait=20")
    assert (answer.status, wire.read_cursor(answer.body)) == (200, 2)


def the_same_batch_again_changes_nothing(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    log = log_of(chain, LAPTOP)
    parts = log.parts(4)
    first = caller.append(LAPTOP, vault, *parts)
    again = caller.append(PHONE, vault, *parts)
    longer = caller.append(LAPTOP, vault, *parts[2:], *log.parts(1))
    assert (first.status, again.status, longer.status) == (200, 200, 200)
    assert [wire.read_cursor(one.body) for one in (first, again, longer)] == [6, 6, 7]
    assert len(caller.page(PHONE, vault).entries) == 7


def a_fork_is_answered_with_what_stands_there(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    log, other = log_of(chain, LAPTOP), log_of(chain, LAPTOP)
    caller.append(LAPTOP, vault, *log.parts(3))
    before = caller.page(PHONE, vault)
    answer = caller.append(LAPTOP, vault, *other.parts(1))
    assert (answer.status, answer.word) == (409, "fork")
    assert wire.read_hash(answer.body) == entry.hash_of(log.entries[0])
    beyond = caller.append(LAPTOP, vault, *other.parts(3)[-1:])
    assert (beyond.status, wire.read_hash(beyond.body)) == (409, entry.hash_of(log.entries[2]))
    assert caller.page(PHONE, vault) == before


def what_a_snapshot_stands_for_goes_once_all_have_seen_it(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    own, others = log_of(chain, LAPTOP), log_of(chain, PHONE)
    caller.append(LAPTOP, vault, *own.parts(5))
    caller.append(PHONE, vault, *others.parts(4))
    seen = others.head
    snap = [wire.Part(wire.ENTRY, own.write(kind=b"snap", seen=seen)) for _ in range(2)]
    assert caller.append(LAPTOP, vault, *snap).status == 200
    caller.append(PHONE, vault, wire.Part(wire.ENTRY, others.write(seen=own.head)))
    assert caller.relay.drop_settled() == 0  # it is not closed yet
    caller.append(LAPTOP, vault, wire.Part(wire.ENTRY, own.write(kind=b"beat", seen=seen)))
    assert caller.relay.drop_settled() == 0  # the phone has not seen its end
    heads, before = caller.heads(PHONE, vault), caller.relay.storage.state(bytes.fromhex(vault))
    caller.append(PHONE, vault, wire.Part(wire.ENTRY, others.write(seen=own.head)))
    assert caller.relay.drop_settled() == 4 + 3
    after = caller.relay.storage.state(bytes.fromhex(vault))
    assert before is not None and after is not None and after.size < before.size
    left = [one.data for one in caller.page(PHONE, vault).entries]
    assert sorted(left) == sorted([*chain, *own.entries[4:], *others.entries[3:]])
    assert caller.heads(PHONE, vault).devices[0].seq in (8, 6)
    assert {one.device_id for one in heads.devices} == {one.device_id for one in caller.heads(PHONE, vault).devices}
    again = caller.append(PHONE, vault, *(wire.Part(wire.ENTRY, one) for one in own.entries[:3]))
    assert again.status == 200  # what was dropped is not wanted again, and no fork
    assert caller.relay.drop_settled() == 0
    assert caller.append(LAPTOP, vault, *own.parts(1)).status == 200


def what_was_dropped_leaves_room_for_attachments(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    own, others = log_of(chain, LAPTOP), log_of(chain, PHONE)
    caller.append(LAPTOP, vault, *(wire.Part(wire.ENTRY, own.write(bytes(20_000))) for _ in range(3)))
    blob, target = bytes(50_000), f"/v1/vaults/{vault}/blobs/"
    digest = hashlib.sha256(blob).hexdigest()
    assert caller.signed(LAPTOP, "PUT", target + digest, blob).word == "quota"
    caller.append(LAPTOP, vault, *own.parts(1))
    caller.append(LAPTOP, vault, *(wire.Part(wire.ENTRY, own.write(kind=kind)) for kind in (b"snap", b"beat")))
    caller.append(PHONE, vault, wire.Part(wire.ENTRY, others.write(seen=own.head)))
    assert caller.relay.drop_settled() == 3
    assert caller.signed(LAPTOP, "PUT", target + digest, blob).status == 201


def nothing_goes_while_a_member_has_not_seen_the_snapshot_or_a_revocation_cuts_into_it(caller: Caller) -> None:
    chain = chain_of(LAPTOP, PHONE, TABLET)
    caller.create(chain, LAPTOP)
    vault = membership.vault_id_of(chain)
    own, others, third = (log_of(chain, one) for one in (LAPTOP, PHONE, TABLET))
    caller.append(LAPTOP, vault, *own.parts(3))
    caller.append(TABLET, vault, *third.parts(3))
    seen = third.head
    parts = [wire.Part(wire.ENTRY, own.write(kind=kind, seen=seen)) for kind in (b"snap", b"beat")]
    caller.append(LAPTOP, vault, *parts)
    caller.append(TABLET, vault, wire.Part(wire.ENTRY, third.write(seen=own.head)))
    assert caller.relay.drop_settled() == 0
    cut = (2, entry.hash_of(third.entries[1]))
    chain.append(listmaking.revoke(chain, TABLET.device_id, by=PHONE.signer, now=AT, last=cut))
    others.chain = chain
    assert caller.append(PHONE, vault, wire.Part(wire.MEMBER, chain[-1])).status == 200
    assert caller.append(PHONE, vault, wire.Part(wire.ENTRY, others.write(seen=own.head))).status == 200
    assert caller.relay.drop_settled() == 0


def a_log_goes_on_behind_a_gap_only_where_a_snapshot_stands_for_it(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    own, others = log_of(chain, LAPTOP), log_of(chain, PHONE)
    own.parts(4)
    others.parts(3)
    cut = others.head
    late = others.parts(2)
    assert caller.append(PHONE, vault, late[0]).word == "gap"
    snap = wire.Part(wire.ENTRY, own.write(kind=b"snap", seen=cut))
    assert caller.append(PHONE, vault, late[1], snap).word == "gap"
    assert caller.append(PHONE, vault, snap, late[0]).status == 200  # its log goes on where the snapshot has it
    assert caller.append(PHONE, vault, late[1], *own.parts(1)).status == 200
    other = log_of(chain, PHONE)
    other.parts(5)
    assert caller.append(PHONE, vault, *other.parts(1)).word == "fork"
    assert {one.seq for one in caller.heads(PHONE, vault).devices} == {5, 6}


def a_log_may_begin_with_the_last_entry_that_a_snapshot_has_of_it(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    own, others = log_of(chain, LAPTOP), log_of(chain, PHONE)
    kept = others.parts(3)[-1]
    snap = wire.Part(wire.ENTRY, own.write(kind=b"snap", seen=others.head))
    assert caller.append(PHONE, vault, snap).status == 200
    assert caller.append(PHONE, vault, kept, *others.parts(1)).status == 200


def a_gap_is_refused_with_the_number_that_is_missing(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    parts = log_of(chain, LAPTOP).parts(5)
    caller.append(LAPTOP, vault, *parts[:2])
    answer = caller.append(LAPTOP, vault, *parts[3:])
    assert (answer.status, answer.word, answer.headers["keyferry-expected"]) == (422, "gap", "3")


def a_batch_is_taken_as_a_whole_or_not_at_all(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    own, others, fork = log_of(chain, LAPTOP), log_of(chain, PHONE), log_of(chain, PHONE)
    caller.append(PHONE, vault, *others.parts(1))
    before = caller.page(PHONE, vault)
    answer = caller.append(LAPTOP, vault, *own.parts(2), *fork.parts(1))
    assert answer.status == 409
    assert caller.page(PHONE, vault) == before


def members_come_and_go_with_entries_that_name_them(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    log, left = log_of(chain, LAPTOP), log_of(chain, PHONE)
    caller.append(PHONE, vault, *left.parts(2))
    chain = [*chain, listmaking.enrol(chain, TABLET, name="", by=LAPTOP.signer, now=AT)]
    head = (2, entry.hash_of(left.entries[-1]))
    gone = listmaking.revoke(chain, PHONE.device_id, by=LAPTOP.signer, now=AT, last=head)
    log.chain = after = [*chain, gone]
    assert caller.append(LAPTOP, vault, *map(member, after[2:]), *log.parts(1)).status == 200
    assert caller.append(PHONE, vault, *left.parts(1)).word == "revoked"
    late = caller.append(LAPTOP, vault, wire.Part(wire.ENTRY, left.entries[-1]))
    assert (late.status, late.word) == (403, "not-a-member")
    assert caller.append(LAPTOP, vault, wire.Part(wire.ENTRY, left.entries[0])).status == 200
    assert caller.heads(TABLET, vault).height == 4
    assert caller.signed(PHONE, "GET", f"/v1/vaults/{vault}/heads").word == "revoked"


def a_blob_comes_back_under_its_hash(caller: Caller) -> None:
    _, vault = vault_of(caller)
    blob = bytes(range(256)) * 12_000
    digest = hashlib.sha256(blob).digest()
    target = f"/v1/vaults/{vault}/blobs/{digest.hex()}"
    assert caller.signed(LAPTOP, "HEAD", target).status == 404
    assert caller.signed(LAPTOP, "PUT", target, blob).status == 201
    assert caller.signed(PHONE, "PUT", target, blob).status == 200
    got = caller.signed(PHONE, "GET", target)
    assert (got.status, got.body, got.headers["content-length"]) == (200, blob, str(len(blob)))
    size = caller.signed(PHONE, "HEAD", target)
    assert (size.status, size.body, size.headers["content-length"]) == (200, b"", str(len(blob)))


def a_full_vault_takes_no_more(caller: Caller) -> None:
    """With a quota of 100,000 bytes."""
    chain, vault = vault_of(caller)
    log = log_of(chain, LAPTOP)
    blob = bytes(70_000)
    target = f"/v1/vaults/{vault}/blobs/{hashlib.sha256(blob).hexdigest()}"
    assert caller.signed(LAPTOP, "PUT", target, blob).status == 201
    large = wire.Part(wire.ENTRY, log.write(b"x" * 60_000))
    refused = caller.append(LAPTOP, vault, large)
    assert (refused.status, refused.word) == (507, "quota")
    more = b"\1" * 90_000
    target = f"/v1/vaults/{vault}/blobs/{hashlib.sha256(more).hexdigest()}"
    assert caller.signed(LAPTOP, "PUT", target, more).word == "quota"
    assert caller.append(LAPTOP, vault, *log_of(chain, LAPTOP).parts(1)).status == 200


def a_deleted_vault_is_gone_and_can_come_back_for_thirty_days(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    parts = log_of(chain, LAPTOP).parts(3)
    caller.append(LAPTOP, vault, *parts)
    assert caller.signed(LAPTOP, "DELETE", f"/v1/vaults/{vault}").word == "not-the-root"
    assert caller.signed(KIT, "DELETE", f"/v1/vaults/{vault}").status == 204
    assert caller.signed(LAPTOP, "GET", f"/v1/vaults/{vault}/heads").status == 410
    assert caller.append(LAPTOP, vault, *parts).status == 410
    caller.clock.now += 29 * DAY
    caller.run(purged(caller))
    assert caller.create(chain, PHONE).status == 200
    assert len(caller.page(PHONE, vault).entries) == 5


def a_deleted_vault_is_removed_after_thirty_days(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    caller.append(LAPTOP, vault, *log_of(chain, LAPTOP).parts(3))
    blob = b"blob"
    target = f"/v1/vaults/{vault}/blobs/{hashlib.sha256(blob).hexdigest()}"
    caller.signed(LAPTOP, "PUT", target, blob)
    caller.signed(KIT, "DELETE", f"/v1/vaults/{vault}")
    caller.clock.now += 30 * DAY + 1
    assert caller.run(purged(caller)) == 1
    assert caller.signed(LAPTOP, "GET", f"/v1/vaults/{vault}/heads").status == 404
    assert caller.create(chain, PHONE).status == 201
    assert len(caller.page(PHONE, vault).entries) == 2
    assert caller.signed(LAPTOP, "GET", target).status == 404


async def purged(caller: Caller) -> int:
    """Remove what was deleted long ago, in the relay's own thread."""
    relay = caller.relay
    before = int((caller.clock() - relay.limits.grace_days * DAY) * 1000)
    return await relay.threads.run(relay.storage.purge, before)


def vaults_know_nothing_of_each_other(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    foreign = chain_of(STRANGER)
    assert caller.create(foreign, STRANGER).status == 201
    caller.append(LAPTOP, vault, *log_of(chain, LAPTOP).parts(2))
    other = membership.vault_id_of(foreign)
    assert len(caller.page(STRANGER, other).entries) == 1
    assert caller.signed(STRANGER, "GET", f"/v1/vaults/{vault}/entries").word == "not-a-member"
    strange = log_of(foreign, STRANGER).parts(1)
    assert caller.append(LAPTOP, vault, *strange).word == "bad-entry"


def a_slot_carries_words_both_ways_and_burns(caller: Caller) -> None:
    opened = caller.call("POST", "/v1/rendezvous", b"first")
    slot, etag = opened.headers["location"], opened.headers["etag"]
    assert caller.call("GET", slot).body == b"first"
    assert caller.call("GET", slot, headers={"if-none-match": etag}).status == 304
    written = caller.call("PUT", slot, b"second", {"if-match": etag})
    assert written.status == 204
    assert caller.call("PUT", slot, b"third", {"if-match": etag}).word == "changed"
    read = caller.call("GET", slot, headers={"if-none-match": etag})
    assert (read.status, read.body, read.headers["etag"]) == (200, b"second", written.headers["etag"])
    assert caller.call("DELETE", slot).status == 204
    assert caller.call("GET", slot).word == "no-such-slot"
    assert caller.call("PUT", slot, b"x", {"if-match": etag}).word == "no-such-slot"


def what_stands_on_a_list_that_lost_is_taken(caller: Caller) -> None:
    """By whoever brings it, if its writer was a member there; the list comes first and goes to the others as well."""
    chain, vault = vault_of(caller)
    above = [*chain, listmaking.enrol(chain, TABLET, name="", by=LAPTOP.signer, now=AT)]
    lost = [*chain, listmaking.enrol(chain, STRANGER, name="", by=PHONE.signer, now=AT)]
    own, guest = log_of(lost, PHONE), log_of(lost, STRANGER)
    assert caller.append(LAPTOP, vault, member(above[-1])).status == 200
    written = [*own.parts(2), *guest.parts(1)]
    assert caller.append(PHONE, vault, *written).word == "unknown-membership"
    assert caller.append(PHONE, vault, member(lost[-1]), *written).status == 200
    assert caller.append(STRANGER, vault, *guest.parts(1)).word == "not-a-member"
    late = log_of(lost, TABLET).parts(1)
    assert caller.append(PHONE, vault, *late).word == "not-a-member"
    caller.relay.memberships.forget(vault)
    own.chain = above
    assert caller.append(PHONE, vault, *own.parts(1)).status == 200
    data = [one.data for one in caller.page(TABLET, vault).entries]
    assert data == [*above, lost[-1], *own.entries[:2], guest.entries[0], own.entries[2]]
    assert caller.heads(TABLET, vault).membership == membership.head_of(above)


def a_list_that_lost_may_yet_stand_above(caller: Caller) -> None:
    chain, vault = vault_of(caller)
    first = [*chain, listmaking.enrol(chain, TABLET, name="", by=LAPTOP.signer, now=AT)]
    other = [*chain, listmaking.enrol(chain, STRANGER, name="", by=PHONE.signer, now=AT)]
    log = log_of(first, LAPTOP)
    assert caller.append(LAPTOP, vault, member(first[-1]), *log.parts(1)).status == 200
    assert caller.append(PHONE, vault, member(other[-1])).status == 200
    other.append(listmaking.revoke(other, LAPTOP.device_id, by=PHONE.signer, now=AT, last=(2, bytes(32))))
    assert caller.append(PHONE, vault, member(other[-1])).status == 200
    assert caller.append(STRANGER, vault, *log.parts(1)).status == 200
    assert caller.append(STRANGER, vault, *log.parts(1)).word == "not-a-member"  # behind the last that counts
    for _ in range(2):
        assert caller.heads(STRANGER, vault).membership == membership.head_of(other)
        assert caller.signed(LAPTOP, "GET", f"/v1/vaults/{vault}/heads").word == "revoked"
        assert caller.signed(TABLET, "GET", f"/v1/vaults/{vault}/heads").word == "not-a-member"
        caller.relay.memberships.forget(vault)


CLAIMS: tuple[Callable[[Caller], None], ...] = (
    what_was_sent_comes_back_in_order,
    heads_name_the_newest_of_each_device,
    pages_follow_each_other,
    a_page_ends_at_four_megabytes,
    a_cursor_beyond_the_newest_is_answered_with_the_newest,
    the_same_batch_again_changes_nothing,
    a_fork_is_answered_with_what_stands_there,
    a_gap_is_refused_with_the_number_that_is_missing,
    what_a_snapshot_stands_for_goes_once_all_have_seen_it,
    what_was_dropped_leaves_room_for_attachments,
    nothing_goes_while_a_member_has_not_seen_the_snapshot_or_a_revocation_cuts_into_it,
    a_log_goes_on_behind_a_gap_only_where_a_snapshot_stands_for_it,
    a_log_may_begin_with_the_last_entry_that_a_snapshot_has_of_it,
    a_batch_is_taken_as_a_whole_or_not_at_all,
    members_come_and_go_with_entries_that_name_them,
    what_stands_on_a_list_that_lost_is_taken,
    a_list_that_lost_may_yet_stand_above,
    a_blob_comes_back_under_its_hash,
    a_full_vault_takes_no_more,
    a_deleted_vault_is_gone_and_can_come_back_for_thirty_days,
    a_deleted_vault_is_removed_after_thirty_days,
    vaults_know_nothing_of_each_other,
    a_slot_carries_words_both_ways_and_burns,
)


def limits_of(claim: Callable[[Caller], None]) -> Limits:
    """Return the limits under which a claim is made."""
    is_small = claim in (a_full_vault_takes_no_more, what_was_dropped_leaves_room_for_attachments)
    return Limits(vault_bytes=100_000) if is_small else Limits()
