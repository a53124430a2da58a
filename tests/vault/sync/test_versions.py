"""The table in docs/sync-protocol.md, row by row: another version is refused or served by rule, never guessed."""

from __future__ import annotations

import base64
import hashlib
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.vault.relay.calling import AT, LAPTOP, PHONE, TABLET, Caller, chain_of, log_of, member, running
from tests.vault.sync.test_session import Relay
from tests.vault.sync.world import World
from vault import crypto, listmaking, membership
from vault.device import read_bundle
from vault.errors import DamagedVault, ForgedEntry, KeyferryError, NewerVault, PairingFailed, RelayUnreachable
from vault.relay.sqlite import SqliteStorage
from vault.sync import entry, https, log, merge, pairing, replaying, session, wire
from vault.sync.client import Client
from vault.sync.entry import Head
from vault.sync.https import Answer
from vault.sync.session import Round
from vault.sync.travel import ENTRY, MEMBER, Heads

ROOT = Path(__file__).parents[3]
READ = entry.read_header


@pytest.fixture
def two(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path, "laptop", "phone")
    yield world
    world.close()


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[Caller]:
    with running(tmp_path) as found:
        yield found


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    """Return what is packed with another name in its first part."""
    head, *rest = crypto.unpacked(data)
    name, *parts = crypto.unpacked(head)
    assert name == old
    return crypto.packed(crypto.packed(new, *parts), *rest)


# -- a device, and what another device sent


class Newer(Relay):
    """A relay in memory that reads every entry, whatever a device here does not know."""

    def heads(self) -> Heads:
        members = [data for kind, data in self.messages if kind == MEMBER]
        found = [READ(data) for kind, data in self.messages if kind == ENTRY]
        return Heads(len(members), entry.hash_of(members[-1]), {one.device: Head(one.seq, one.hash) for one in found})


def through(two: World, where: str) -> Callable[[str], Round]:
    """Return what makes a round of sync of a device, through a folder or a relay."""
    relay = Newer()

    def sync(name: str) -> Round:
        two.ms += 1
        vault = two[name]
        return vault.sync() if where == "folder" else session.sync(vault.store, relay, vault.now_ms)

    return sync


@pytest.mark.parametrize("where", ["folder", "relay"])
def test_an_entry_of_another_number_waits_for_the_update_and_is_then_taken_in(
    two: World, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The laptop is the older one: it knows this entry's number as little as one of tomorrow."""
    sync = through(two, where)
    for id_ in ("bank", "mail"):
        two["phone"].add(id_)
        sync("phone")
    newer = log.heads(two["phone"].store.database)[two["phone"].id].seq - 1

    def is_newer(data: bytes) -> bool:
        header = READ(data)
        return (header.device, header.seq) == (two["phone"].id, newer)

    def older(data: bytes) -> entry.Header:
        if is_newer(data):
            raise ForgedEntry("an entry of the log is of another version of Keyferry", hint="update Keyferry")
        return READ(data)

    with monkeypatch.context() as patched:
        patched.setattr(entry, "read_header", older)
        patched.setattr(entry, "is_of_other_version", is_newer)
        for _ in range(2):
            assert any("another version of Keyferry" in one.text for one in sync("laptop").findings)
            assert two["laptop"].title("mail") is None
    sync("laptop")
    assert two["laptop"].title("mail") is not None
    assert two["laptop"].title("bank") is not None


@pytest.mark.parametrize("where", ["folder", "relay"])
def test_a_membership_entry_of_another_number_waits_for_the_update_and_is_then_taken_in(
    two: World, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = through(two, where)
    for name in ("laptop", "phone"):
        sync(name)
    two.join("tablet", by="phone")
    two["tablet"].add("bank")
    two["tablet"].sync()
    two["phone"].sync()
    sync("phone")
    hidden, link = set(two["phone"].chain()) - set(two["laptop"].chain()), membership.link_of
    assert hidden

    def older(data: bytes) -> bytes | None:
        if data in hidden:
            raise ValueError("an unknown entry")
        return link(data)

    with monkeypatch.context() as patched:
        patched.setattr(membership, "link_of", older)
        patched.setattr(membership, "is_of_other_version", hidden.__contains__)
        for _ in range(2):
            assert any("membership entry is of another version" in one.text for one in sync("laptop").findings)
            assert two["laptop"].title("bank") is None
    sync("laptop")
    assert two["laptop"].title("bank") is not None


@pytest.mark.parametrize("number", [b"0", b"3", b"10"])
def test_a_membership_entry_of_another_number_is_named(number: bytes) -> None:
    chain = chain_of(LAPTOP, PHONE)
    other = renamed(chain[1], membership.NAMESPACE, b"keyferry/membership/" + number)
    assert membership.is_of_other_version(other)
    assert not any(map(membership.is_of_other_version, (*chain, b"", b"\0\0\0\1a", crypto.packed(b"", b"", b""))))
    for read in (lambda: membership.link_of(other), lambda: membership.read_chain([chain[0], other])):
        with pytest.raises((ValueError, DamagedVault)):
            read()


@pytest.mark.parametrize(("place", "value"), [(1, b"\0"), (1, b"\3"), (10, b"opx"), (10, b"")])
def test_another_suite_or_kind_under_a_known_number_is_an_altered_entry(place: int, value: bytes) -> None:
    head, *rest = crypto.unpacked(log_of(chain_of(LAPTOP), LAPTOP).write())
    parts = list(crypto.unpacked(head))
    parts[place] = value
    with pytest.raises(ForgedEntry, match="not built as entries are"):
        entry.read_header(crypto.packed(crypto.packed(*parts), *rest))


@pytest.mark.parametrize(
    ("read", "data"),
    [
        (replaying.read_part, b'{"things": {"new": "form"}}'),
        (merge.decode_ops, b'{"ops": [["item", "a", 1, "archive", []]]}'),
        (merge.decode_ops, b'{"ops": {"new": "form"}}'),
    ],
)
def test_a_snapshot_or_an_op_of_another_form_asks_for_the_update(read: Any, data: bytes) -> None:
    with pytest.raises(ForgedEntry) as caught:
        read(data)
    assert caught.value.hint == "update Keyferry"


@pytest.mark.parametrize("number", [b"2", b"0", b"17"])
def test_a_pairing_code_of_another_number_says_so(number: bytes) -> None:
    packed = crypto.packed(b"keyferry/pair/" + number, b"whatever it has")
    whole = base64.urlsafe_b64encode(packed + hashlib.sha256(packed).digest()[:4]).rstrip(b"=").decode()
    for code in (f"KF1-{whole}", f"KF{number.decode()}-{whole}"):
        with pytest.raises(PairingFailed, match="another version of Keyferry"):
            pairing.read_code(code)
    with pytest.raises(PairingFailed, match="no pairing code"):
        pairing.read_code(f"KF1-{whole[:-3]}")


@pytest.mark.parametrize("number", [b"3", b"0", b"22"])
def test_a_bundle_of_another_number_is_refused(number: bytes) -> None:
    for device in (LAPTOP, PHONE):
        with pytest.raises(ValueError, match="not a device's bundle"):
            read_bundle(crypto.packed(b"keyferry/device/" + number, *crypto.unpacked(device.bundle.packed)[1:]))


# -- a relay, and a device of another version


def test_a_request_under_another_name_is_refused(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    chain = chain_of(LAPTOP, PHONE)
    assert caller.create(chain, LAPTOP).status == 201
    target = f"/v1/vaults/{membership.vault_id_of(chain)}/heads"
    with monkeypatch.context() as patched:
        patched.setattr(wire, "NAMESPACE", b"keyferry/request/2")
        headers = caller.headers(LAPTOP, "GET", target)
    answer = caller.call("GET", target, b"", headers)
    assert (answer.status, answer.word) == (401, "wrong-signature")


@pytest.mark.parametrize("path", ["/v2/vaults", "/v0/vaults/1/heads", "/v1/newer", "/", "/v1/vaults/1/heads/more"])
def test_a_path_of_another_version_is_told_to_be_none(caller: Caller, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        answer = caller.signed(LAPTOP, method, path)
        assert (answer.status, answer.word) == (404, "nothing-here")


def test_entries_of_another_number_are_refused_as_a_whole(caller: Caller) -> None:
    chain = chain_of(LAPTOP, PHONE)
    assert caller.create(chain, LAPTOP).status == 201
    vault, own = membership.vault_id_of(chain), log_of(chain, LAPTOP)
    good = wire.Part(wire.ENTRY, own.write())
    newer = wire.Part(wire.ENTRY, renamed(own.write(), entry.NAMESPACE, b"keyferry/entry/2"))
    answer = caller.append(LAPTOP, vault, good, newer)
    assert (answer.status, answer.word) == (422, "bad-entry")
    enrolling = listmaking.enrol(chain, TABLET, name="", by=LAPTOP.signer, now=AT)
    listed = member(renamed(enrolling, membership.NAMESPACE, b"keyferry/membership/3"))
    answer = caller.append(LAPTOP, vault, good, listed)
    assert (answer.status, answer.word) == (422, "bad-membership")
    assert [one.data for one in caller.page(PHONE, vault).entries] == chain
    assert caller.append(LAPTOP, vault, good).status == 200


def test_a_database_of_a_newer_relay_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "relay.db"
    SqliteStorage(path).close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 3")
    before = path.read_bytes()
    with pytest.raises(NewerVault) as caught:
        SqliteStorage(path)
    assert caught.value.exit_code == 26
    assert path.read_bytes() == before


# -- a device, and a relay of another version


class Strange:
    """What answers at the address of a relay."""

    def __init__(self, status: int, word: str = "", body: bytes = b"") -> None:
        self._answer = Answer(status, {wire.ERROR: word} if word else {}, body)

    def request(self, *given: Any, **named: Any) -> Answer:
        return self._answer

    def close(self) -> None:
        """Nothing to do."""


def talking_to(there: Strange, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setattr(https, "Http", lambda origin, pin: there)
    return Client("https://relay.example", "", "0" * 32, device=LAPTOP)


@pytest.mark.parametrize(("status", "word"), [(404, ""), (404, "nothing-here"), (405, "")])
def test_a_relay_without_these_paths_is_not_one_that_forgot_the_vault(
    status: int, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a device would bring its vault to whatever answers there."""
    there = talking_to(Strange(status, word), monkeypatch)
    for ask in (there.exists, there.heads, lambda: there.pull(""), lambda: there.get_blob("0" * 64)):
        with pytest.raises(RelayUnreachable, match="none that this version can talk to"):
            ask()


def test_only_a_relay_that_says_so_does_not_have_the_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not talking_to(Strange(404, "no-such-vault"), monkeypatch).exists()
    assert not talking_to(Strange(410, "deleted"), monkeypatch).exists()
    assert talking_to(Strange(404, "no-such-blob"), monkeypatch).get_blob("0" * 64) is None


def test_an_answer_of_another_form_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = crypto.packed(crypto.packed(bytes(8), b"snapshot", b"whatever it has"))
    there = talking_to(Strange(200, "", newer), monkeypatch)
    for ask in (there.heads, lambda: there.pull("")):
        with pytest.raises(KeyferryError, match="not built as answers are"):
            ask()


# -- a vault file of another version


def test_a_log_for_a_newer_keyferry_is_left_alone(two: World) -> None:
    store = two["laptop"].store
    told = json.loads(store.meta("sync") or "")
    assert "version" not in told
    with store.transaction():
        store.set_meta("sync", json.dumps({**told, "version": log.VERSION + 1, "places": "of a new form"}))
    before = two["laptop"].content()
    for action in (lambda: two["laptop"].sync(), lambda: log.begin(store), lambda: log.setting(store)):
        with pytest.raises(NewerVault) as caught:
            action()
        assert caught.value.exit_code == 26
    assert two["laptop"].content() == before


# -- the page


def test_the_page_has_a_row_for_each_of_these() -> None:
    page = (ROOT / "docs" / "sync-protocol.md").read_text(encoding="utf-8")
    table = page.partition("| who meets what |")[2].partition("\n\n")[0]
    assert len(table.splitlines()) - 2 == 13
    for word in ("wrong-signature", "nothing-here", "bad-entry", "bad-membership", "no-such-vault"):
        assert f"`{word}`" in table
