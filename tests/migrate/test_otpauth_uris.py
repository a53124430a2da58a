"""Lists of one-time codes as addresses: the samples, the way back, and what a list cannot hold."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from migrate import catalog
from migrate.formats.otpauth_uris import render
from migrate.giving import Outgoing
from migrate.lines import entries
from migrate.moving import migrate
from migrate.reading import items_of
from migrate.source import Source
from migrate.written import check_written
from vault.base32 import encode_secret
from vault.canonical import plain
from vault.model import BasicAuth, Collection, Field, Item, Note, Provenance, Totp, Url, Vault, concealed, find
from vault.otp import parse, same_codes
from vault.secret import Secret
from vault.store import Store

SAMPLES = Path(__file__).parents[2] / "samples" / "otpauth_uris"
CASES = sorted(path.stem for path in SAMPLES.glob("*.txt"))
KEY = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"


def read(data: bytes) -> tuple[Source, list[Item]]:
    source = catalog.open_source(Path("list.txt"), data=data, key=b"samples")
    assert source.format == "otpauth_uris"
    return source, [item for _, item in items_of(source, catalog.parse(source)) if item is not None]


def fresh(data: bytes) -> Source:
    return catalog.open_source(Path("list.txt"), data=data)


def write(*items: Item) -> tuple[list[str], list[tuple[str, int]]]:
    out, file = Outgoing("otpauth_uris", items=items), io.BytesIO()
    render(out, file)
    return file.getvalue().decode().splitlines(), [(loss.member, loss.count) for loss in out.losses]


def outcome(case: str) -> dict[str, Any]:
    source, items = read((SAMPLES / f"{case}.txt").read_bytes())
    return {
        "vault": json.loads(json.dumps(plain(Vault(items=tuple(items), collections=source.folders.all())))),
        "quarantined": [
            {"place": q.place, "line": q.line, "reason": q.reason, "raw": q.raw.decode()}
            for q in source.ledger.quarantine
        ],
        "values": source.ledger.values(),
        "warnings": source.ledger.warnings,
    }


@pytest.mark.parametrize("case", CASES)
def test_a_sample_is_read_as_its_golden_says(case: str, request: pytest.FixtureRequest) -> None:
    golden = SAMPLES / f"{case}.txt.expected.json"
    found = outcome(case)
    if request.config.getoption("--bless", default=False):
        golden.write_text(json.dumps(found, indent=1, ensure_ascii=False, sort_keys=True) + "\n", encoding="utf-8")
    assert found == json.loads(golden.read_text(encoding="utf-8"))


@pytest.mark.parametrize("case", CASES)
def test_a_sample_arrives_in_a_vault_and_is_proven_from_its_bytes(case: str, tmp_path: Path) -> None:
    data = (SAMPLES / f"{case}.txt").read_bytes()
    now = "2026-01-02T03:04:05Z"
    with Store.create(tmp_path / "vault.db", b"k" * 32, "v") as store:
        source, items = read(data)
        first = migrate(store, fresh(data), run="r1", now=now)
        assert first.proof.holds
        assert first.items["new"] == len(items)
        assert first.ledger.values() == source.ledger.values()
        assert migrate(store, fresh(data), run="r2", now=now).items == {"same": len(items)}
        codes = [find(item, Totp) for item in store.items()]
        assert all(same_codes(code, find(item, Totp)) for code, item in zip(codes, items, strict=True))


@pytest.mark.parametrize("case", CASES)
def test_an_unchanged_list_is_written_back_letter_by_letter(case: str) -> None:
    source, items = read((SAMPLES / f"{case}.txt").read_bytes())
    lost = {q.place for q in source.ledger.quarantine}
    assert write(*items) == ([e.text for e in entries(source.data) if e.place not in lost], [])


@pytest.mark.parametrize("case", CASES)
def test_what_a_list_says_is_found_in_the_list_that_is_written(case: str) -> None:
    _, items = read((SAMPLES / f"{case}.txt").read_bytes())
    out, file = Outgoing("otpauth_uris", (), items), io.BytesIO()
    render(out, file)
    check_written(file.getvalue(), catalog.adapter("otpauth_uris"), items, out.losses)


@pytest.mark.parametrize("case", CASES)
def test_a_list_written_anew_gives_the_same_codes(case: str) -> None:
    _, items = read((SAMPLES / f"{case}.txt").read_bytes())
    foreign = [replace(item, provenance=None) for item in items]
    _, again = read("\n".join(write(*foreign)[0]).encode())
    assert len(again) == len(items)
    for old, new in zip(items, again, strict=True):
        assert same_codes(old.credentials[0], new.credentials[0])


@pytest.mark.parametrize("case", CASES)
def test_a_list_cut_off_anywhere_costs_at_most_its_last_line(case: str) -> None:
    data = (SAMPLES / f"{case}.txt").read_bytes().replace(b"\xef\xbb\xbf", b"")
    whole = len(read(data)[1])
    for tenth in range(3, 10):
        cut = data[: len(data) * tenth // 10]
        source, items = read(cut)
        assert len(items) + len(source.ledger.quarantine) == len(list(entries(cut)))
        assert len(items) <= whole
        is_told = any("has no line end" in text for text in source.ledger.warnings)
        assert is_told or b"\n" not in cut or cut.endswith((b"\n", b"\r"))


def test_every_line_is_one_value_that_arrived_or_is_in_quarantine() -> None:
    values = outcome("bad_line")["values"]
    assert (values["total"], values["arrived"], values["quarantined"]) == (8, 2, 6)
    assert values["elsewhere"] == values["changed"] == values["dropped"] == 0


@pytest.mark.parametrize(
    "first",
    [
        f"otpauth://totp/Smith, Ann:x?secret={KEY}",
        f"OTPAUTH://TOTP/x?secret={KEY}",
        f"\n\n  steam://{KEY}",
        f"# my codes\n# of 2026\notpauth://totp/x?secret={KEY}",
        "motp://x?secret=abcd",
        f"apple-otpauth://totp/x?secret={KEY}",
        f"\ufeffotpauth://totp/x?secret={KEY},otpauth://totp/y?secret={KEY}",
    ],
)
def test_a_list_is_recognised_by_its_first_address(first: str) -> None:
    assert read(first.encode())[1]
    assert read(first.lstrip("\ufeff").encode("utf-16"))[1]


def login(**members: Any) -> Item:
    return Item(
        id="a",
        title="My bank",
        credentials=(
            BasicAuth(username=Field(value="ann"), password=concealed("hunter2")),
            Totp(secret=Secret(KEY), **members),
        ),
    )


def test_a_code_of_a_login_is_named_after_the_login() -> None:
    lines, losses = write(login())
    assert lines == [f"otpauth://totp/My%20bank:ann?secret={KEY}&issuer=My%20bank&algorithm=SHA1&digits=6&period=30"]
    assert losses == [("basic auth.password", 1)]


def test_a_code_with_names_of_its_own_keeps_them_and_the_rest_is_declared_lost() -> None:
    lines, losses = write(login(issuer="Bank", username="a.b", label="second"))
    assert lines[0].startswith("otpauth://totp/Bank:a.b?")
    assert losses == [
        ("basic auth.password", 1),
        ("basic auth.username", 1),
        ("totp.label", 1),
        ("title", 1),
    ]


def test_an_untitled_login_is_named_after_its_host() -> None:
    item = replace(login(), title="", urls=(Url(url="https://bank.example.test/login"),))
    lines, losses = write(item)
    assert lines[0].startswith("otpauth://totp/bank.example.test:ann?")
    assert ("urls", 1) in losses


def test_an_item_without_a_code_writes_no_line_and_is_declared_lost() -> None:
    item = Item(id="n", title="Wifi", favorite=True, credentials=(Note(content=Secret("text")),), collections=("c",))
    assert write(item) == ([], [("note.content", 1), ("collections", 1), ("favorite", 1), ("title", 1)])


def test_each_code_of_an_item_has_its_line() -> None:
    item = Item(id="n", title="T", credentials=(parse(KEY), parse("steam://" + KEY)))
    lines, losses = write(item)
    assert [parse(line).kind for line in lines] == ["totp", "steam"]
    assert losses == []


def test_what_a_person_changed_is_written_into_the_address() -> None:
    _, items = read((SAMPLES / "ente.txt").read_bytes())
    changed = replace(items[0], favorite=False, tags=("money", "bank"), credentials=items[0].credentials[:1])
    (line,), losses = write(changed)
    assert losses == []
    display = json.loads(parse(line).parameters["codeDisplay"])
    assert (display["pinned"], display["tags"], display["note"], display["tapCount"]) == (
        False,
        ["money", "bank"],
        "",
        3,
    )
    again = read(line.encode())[1][0]
    assert (again.favorite, again.tags, again.title) == (False, ("money", "bank"), "Riverbank (ann@example.test)")


def test_ente_s_own_spelling_stays_where_nothing_changed() -> None:
    line = f"otpauth://totp/Bank:ann?secret={KEY}&codeDisplay=%7B%20%22tags%22%3A%20%5B%22x%22%5D%20%7D"
    _, items = read(line.encode())
    assert items[0].tags == ("x",)
    assert write(items[0]) == ([line], [])


def test_what_a_person_added_without_a_place_in_the_address_is_declared_lost() -> None:
    _, items = read(f"otpauth://totp/Bank:ann?secret={KEY}".encode())
    changed = replace(items[0], title="Other", tags=("x", "y"), collections=("c",))
    (line,), losses = write(changed)
    assert line == f"otpauth://totp/Bank:ann?secret={KEY}"
    assert losses == [("collections", 1), ("tags", 2), ("title", 1)]


def test_no_address_of_ours_is_a_bare_secret() -> None:
    own = Item(id="a", credentials=(parse(KEY),), provenance=Provenance(format="otpauth_uris"))
    assert write(own)[0] == [f"otpauth://totp/?secret={KEY}&algorithm=SHA1&digits=6&period=30"]


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12).map(str.strip)


@given(st.lists(st.tuples(texts, texts, texts, st.binary(min_size=1, max_size=30)), max_size=6))
def test_a_list_holds_every_code_and_name(rows: list[tuple[str, str, str, bytes]]) -> None:
    items = [
        Item(
            id=str(number),
            title=title,
            credentials=(
                BasicAuth(username=Field(value=user) if user else None),
                Totp(secret=Secret(encode_secret(key)), issuer=issuer or None),
            ),
        )
        for number, (title, user, issuer, key) in enumerate(rows)
    ]
    lines, losses = write(*items)
    assert len(lines) == len(items)
    assert len(losses) == sum(
        bool(title) and title not in (issuer or title, user, f"{issuer} ({user})") for title, user, issuer, _ in rows
    )
    if not lines:
        return
    again = read("\n".join(lines).encode())[1]
    for (title, user, issuer, _), old, new in zip(rows, items, again, strict=True):
        code = new.credentials[0]
        assert isinstance(code, Totp)
        assert (code.issuer or "", code.username or "") == (issuer or title, user)
        assert code.secret == old.credentials[1].secret  # type: ignore[union-attr]


def test_folders_of_other_formats_do_not_disturb() -> None:
    out, file = Outgoing("otpauth_uris", collections=(Collection(id="c", title="Bank"),), items=[login()]), io.BytesIO()
    render(out, file)
    assert file.getvalue().count(b"\n") == 1
