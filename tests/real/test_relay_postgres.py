"""A relay on a real PostgreSQL cluster does all that every relay must, with several workers that wake each other."""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.real.relaying import Cluster, Line, postgres, postgres_programs, relay, start
from tests.real.test_relay import CHAIN, VAULT, fill_with_canaries, readable, woken
from tests.vault.relay.behaviour import CLAIMS, limits_of
from tests.vault.relay.calling import AT, LAPTOP, PHONE, TABLET, Caller, chain_of, log_of, member, running
from vault import listmaking, membership
from vault.errors import CannotWrite, NewerVault
from vault.sync import wire

psycopg = pytest.importorskip("psycopg")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if postgres_programs() is None:
        pytest.skip("needs postgresql")
    # Outside of pytest's own folder, which the server's user may not enter.
    with tempfile.TemporaryDirectory(prefix="keyferry-postgres-") as folder:
        Path(folder).chmod(0o755)
        with postgres(Path(folder) / "cluster") as found:
            yield found


@pytest.fixture
def url(cluster: Cluster) -> str:
    """An empty database."""
    with psycopg.connect(cluster.url, autocommit=True) as db:
        db.execute("DROP SCHEMA IF EXISTS keyferry CASCADE")
    return cluster.url


def storage_of(url: str) -> Any:
    from vault.relay.postgres import PostgresStorage

    return PostgresStorage(url)


@pytest.mark.parametrize("claim", CLAIMS, ids=lambda claim: claim.__name__)
def test_on_postgres(claim: Callable[[Caller], None], url: str, tmp_path: Path) -> None:
    storage = storage_of(url)
    with running(tmp_path, storage=storage, slots=storage, limits=limits_of(claim)) as caller:
        claim(caller)


def test_a_database_of_a_newer_relay_is_left_alone(url: str) -> None:
    storage_of(url).close()
    storage_of(url).close()
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("COMMENT ON SCHEMA keyferry IS 'keyferry relay 3'")
        with pytest.raises(NewerVault):
            storage_of(url)
        found = db.execute("SELECT obj_description(to_regnamespace('keyferry'), 'pg_namespace')").fetchone()
    assert found == ("keyferry relay 3",)


def test_workers_that_start_together_make_the_tables_once(url: str) -> None:
    made: list[Any] = []
    threads = [threading.Thread(target=lambda: made.append(storage_of(url))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(made) == 4
    for one in made:
        one.check()
        one.close()


def test_a_worker_knows_at_once_whom_another_has_revoked(url: str, tmp_path: Path) -> None:
    one, other = storage_of(url), storage_of(url)
    with running(tmp_path, storage=one) as first, running(tmp_path, storage=other) as second:
        first.create(CHAIN, LAPTOP)
        assert second.append(PHONE, VAULT, *(log := log_of(CHAIN, PHONE)).parts(1)).status == 200
        gone = listmaking.revoke(CHAIN, PHONE.device_id, by=LAPTOP.signer, now=AT)
        assert first.append(LAPTOP, VAULT, member(gone)).status == 200
        assert second.append(PHONE, VAULT, *log.parts(1)).word == "revoked"
        assert second.signed(PHONE, "GET", f"/v1/vaults/{VAULT}/heads").word == "revoked"


def test_a_slot_opened_at_one_worker_is_read_at_another(url: str, tmp_path: Path) -> None:
    one, other = storage_of(url), storage_of(url)
    with (
        running(tmp_path, storage=one, slots=one) as first,
        running(tmp_path, storage=other, slots=other) as second,
    ):
        opened = first.call("POST", "/v1/rendezvous", b"first")
        slot = opened.headers["location"]
        assert second.call("GET", slot).body == b"first"
        assert second.call("PUT", slot, b"second", {"if-match": opened.headers["etag"]}).status == 204
        assert first.call("GET", slot, headers={"if-none-match": opened.headers["etag"]}).body == b"second"


def test_two_workers_that_write_to_one_vault_keep_one_order(url: str, tmp_path: Path) -> None:
    chain = chain_of(LAPTOP, PHONE, TABLET)
    vault = membership.vault_id_of(chain)
    logs = {who: log_of(chain, who) for who in (LAPTOP, PHONE, TABLET)}
    with relay(tmp_path / "a", "--db", url) as one, relay(tmp_path / "b", "--db", url) as other:
        Line(one).create(chain, LAPTOP)
        statuses: list[int] = []

        def write(who: Any, where: Any) -> None:
            line = Line(where)
            for _ in range(40):
                statuses.append(line.append(who, vault, *logs[who].parts(2))[0])

        pairs = zip(logs, (one, other, one), strict=True)
        threads = [threading.Thread(target=write, args=pair) for pair in pairs]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert set(statuses) == {200}
        page = Line(other).page(LAPTOP, vault)
        assert [each.number for each in page.entries] == list(range(1, 3 + 240 + 1))
        for log in logs.values():
            assert [each.data for each in page.entries if each.data in log.entries] == log.entries


def test_a_write_at_one_worker_wakes_who_waits_at_another(url: str, tmp_path: Path) -> None:
    with relay(tmp_path / "a", "--db", url) as one, relay(tmp_path / "b", "--db", url) as other:
        assert woken(one, other) == 3


def test_a_worker_that_is_killed_loses_nothing_it_answered(url: str, tmp_path: Path) -> None:
    found = start(tmp_path / "a", "--db", url)
    line, log = Line(found), log_of(CHAIN, LAPTOP)
    line.create(CHAIN, LAPTOP)
    for _ in range(20):
        assert line.append(LAPTOP, VAULT, *log.parts(3))[0] == 200
    found.kill()
    with relay(tmp_path / "b", "--db", url) as again:
        page = Line(again).page(PHONE, VAULT)
        assert [one.data for one in page.entries[2:]] == log.entries


def test_a_worker_that_is_killed_while_a_blob_comes_in_leaves_no_file(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    found = start(tmp_path / "a", "--db", url)
    line, blob = Line(found), bytes(2 << 20)
    line.create(CHAIN, LAPTOP)
    line.begin(LAPTOP, "PUT", f"/v1/vaults/{VAULT}/blobs/{wire.digest_of(blob).hex()}", blob, sent=1 << 20)
    while sum(sizes_in(found.process.pid, folder)) < 1 << 19:
        time.sleep(0.01)
    found.kill()
    assert list(folder.iterdir()) == []


def sizes_in(pid: int, folder: Path) -> list[int]:
    """Return the sizes of the files in a folder, with a name or without, that a process has open."""
    found = []
    for one in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):
            if os.readlink(one).startswith(f"{folder}/"):
                found.append(one.stat().st_size)
    return found


def test_a_server_that_comes_back_is_used_again(url: str, tmp_path: Path) -> None:
    storage = storage_of(url)
    with running(tmp_path, storage=storage) as caller:
        caller.create(CHAIN, LAPTOP)
        log = log_of(CHAIN, LAPTOP)
        with psycopg.connect(url, autocommit=True) as db:
            db.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'keyferry relay'"
            )
        parts = log.parts(2)
        answers = [caller.append(LAPTOP, VAULT, *parts) for _ in range(12)]
        assert {one.status for one in answers} <= {200, 503}
        assert answers[-1].status == 200
        assert [one.data for one in caller.page(PHONE, VAULT).entries[2:]] == log.entries


def test_commits_are_flushed_even_where_the_server_would_not(cluster: Cluster, url: str) -> None:
    with psycopg.connect(cluster.url, autocommit=True) as db:
        db.execute("ALTER ROLE keyferry SET synchronous_commit = off")
        try:
            storage = storage_of(url)
            with storage._reading() as own:
                assert own.execute("SHOW synchronous_commit").fetchone() == ("on",)
            storage.close()
        finally:
            db.execute("ALTER ROLE keyferry RESET synchronous_commit")


def test_nothing_of_a_vault_can_be_read_in_the_cluster(
    cluster: Cluster, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with relay(tmp_path / "relay", "--db", url) as found:
        vault = fill_with_canaries(Line(found), tmp_path / "vault", monkeypatch)
    with psycopg.connect(url, autocommit=True) as db:
        db.execute("CHECKPOINT")
    assert readable(cluster.data) == []
    kept = b"".join(path.read_bytes() for path in cluster.data.rglob("*") if path.is_file())
    assert bytes.fromhex(vault) in kept, "the files that were read are those of the vault"


def test_a_database_that_does_not_answer_is_told() -> None:
    with pytest.raises(CannotWrite):
        storage_of("postgresql://keyferry@127.0.0.1:1/none")


def test_the_sums_of_bytes_bound_a_page(url: str, tmp_path: Path) -> None:
    storage = storage_of(url)
    with running(tmp_path, storage=storage) as caller:
        caller.create(CHAIN, LAPTOP)
        parts = log_of(CHAIN, LAPTOP).parts(10)
        caller.append(LAPTOP, VAULT, *parts)
        one = len(parts[0].data)
        page = storage.page(bytes.fromhex(VAULT), 2, 500, one * 3)
        assert (len(page.entries), page.more, page.cursor) == (3, True, 5)
        assert storage.page(bytes.fromhex(VAULT), 2, 500, 1) == wire.Page(3, True, page.entries[:1])
