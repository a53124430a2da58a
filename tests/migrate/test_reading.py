"""One rotten record costs only itself, and is kept with the place where an editor finds it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from migrate import catalog, moving
from migrate.adapter import Parsed
from migrate.reading import read_record
from migrate.source import Record, Source
from tests.migrate.household import as_bytes, bring, export, login, opened, vault
from vault.errors import KeyferryError
from vault.model import Item
from vault.store import Store

COUNT = 1_000
STRUCK = "strike this one"  # the adapter raises on it


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty vault."""
    with vault(tmp_path) as made:
        yield made


def good(number: int) -> bytes:
    return json.dumps(login(f"Site {number}", "ann", f"pw-{number}", f"https://s{number}.test")).encode()


def spoil(record: bytes, old: str, new: str) -> bytes:
    assert old.encode() in record
    return record.replace(old.encode(), new.encode(), 1)


ROTTEN: dict[int, tuple[Callable[[bytes], bytes], str]] = {
    3: (lambda one: spoil(one, '"reprompt": 0', '"reprompt": 0, "name": "again"'), "same key twice"),
    17: (lambda one: b'"only a text, ' + b"\xc3\xa9" + b'"', "no object"),
    100: (lambda one: spoil(one, '"reprompt": 0', '"reprompt": NaN'), "does not allow"),
    101: (lambda one: spoil(one, '"reprompt": 0', '"deep": ' + "[" * 10_000 + "]" * 10_000), "nested too deeply"),
    555: (lambda one: spoil(one, '"reprompt": 0', '"reprompt": ' + "7" * 5_000), "does not allow"),
    998: (lambda one: spoil(one, '"notes": null', f'"notes": "{STRUCK}"'), "cannot be read (KeyError)"),
    999: (lambda one: spoil(one, '"notes": null', '"notes": "a\x01b"'), "does not allow"),
}
SURROGATE = 500  # is not broken: it is spelled


@pytest.fixture(scope="module")
def spoiled() -> bytes:
    """A file of many records, seven of them rotten in seven ways."""
    records = [good(number) for number in range(COUNT)]
    for number, (way, _) in ROTTEN.items():
        records[number] = way(records[number])
    records[SURROGATE] = spoil(records[SURROGATE], '"notes": null', r'"notes": "half \ud83d, whole \ud83d\ude00"')
    # The eñe in front moves bytes away from characters; three records share each line.
    lines = [b"  " + b", ".join(records[at : at + 3]) for at in range(0, COUNT, 3)]
    return b'{"encrypted": false, "folders": [],\n"items": [\n' + b",\n".join(lines) + b"\n]}\n"


def reading_after(monkeypatch: pytest.MonkeyPatch, before: Callable[[Record], None], *, then: bool = False) -> None:
    """Do something with each record before the adapter reads it, or after."""
    honest = catalog.parse

    def parse(source: Source) -> Parsed:
        parsed = honest(source)
        read = parsed.read

        def read_then(record: Record) -> Item | None:
            if not then:
                before(record)
            made = read(record)
            if then:
                before(record)
            return made

        parsed.read = read_then
        return parsed

    monkeypatch.setattr(catalog, "parse", parse)


@pytest.fixture
def strict_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter fails on one record."""

    def before(record: Record) -> None:
        if record.data.get("notes") == STRUCK:
            raise KeyError(STRUCK)

    reading_after(monkeypatch, before)


def editor_at(data: bytes, line: int, column: int) -> str:
    """Return what an editor shows from a line and column on."""
    return data.decode().split("\n")[line - 1][column - 1 :]


@pytest.mark.usefixtures("strict_adapter")
def test_seven_rotten_records_of_a_thousand_cost_only_themselves(store: Store, spoiled: bytes) -> None:
    outcome = bring(store, spoiled)
    assert (outcome.items["new"], store.count()) == (COUNT - len(ROTTEN), COUNT - len(ROTTEN))
    aside = sorted(outcome.ledger.quarantine, key=lambda one: int(one.place.split("/")[1]))
    assert [one.place for one in aside] == [f"items/{number}" for number in ROTTEN]
    for one, (_, reason) in zip(aside, ROTTEN.values(), strict=True):
        assert reason in one.reason
        shown = editor_at(spoiled, one.line, one.column)
        assert shown.encode().startswith(one.raw)
    values = outcome.ledger.values()
    assert values["quarantined"] == sum(one.values for one in aside)
    assert values["total"] == sum(
        values[fate] for fate in ("arrived", "elsewhere", "changed", "dropped", "quarantined")
    )
    kept = {one.place: (one.reason, one.raw) for one in store.quarantined(store.runs()[0].id)}
    for one in aside:
        assert kept[one.place] == (f"{one.reason} (line {one.line}, column {one.column})", one.raw)


@pytest.mark.usefixtures("strict_adapter")
def test_what_was_set_aside_does_not_trouble_the_proof_later(store: Store, spoiled: bytes) -> None:
    bring(store, spoiled)
    assert moving.verify(store, opened(spoiled), store.runs()[0]).proof.findings == []
    assert dict(bring(store, spoiled).items) == {"same": COUNT - len(ROTTEN)}


def test_a_lone_surrogate_is_spelled_and_the_whole_ones_stay(store: Store) -> None:
    record = spoil(good(1), '"notes": null', r'"notes": "half \ud83d, whole \ud83d\ude00"')
    outcome = bring(store, b'{"items": [' + record + b'], "folders": []}')
    assert not outcome.ledger.quarantine
    (item,) = store.items()
    assert item.credentials[-1].content.reveal() == "half \\ud83d, whole 😀"  # type: ignore[union-attr]


def test_a_rotten_record_leaves_no_folder_line_or_count_behind(store: Store) -> None:
    whole = export([login("a", "x", "1", folder="Bank", more={"unknown": 1}), login("b", "x", "2")], "Bank")
    bad = as_bytes(whole).replace(b'"fido2Credentials": []', b'"fido2Credentials": NaN', 1)
    outcome = bring(store, bad)
    assert [one.place for one in outcome.ledger.quarantine] == ["items/0"]
    assert outcome.ledger.values()["elsewhere"] == 0


def test_an_adapter_that_fails_halfway_takes_its_lines_and_changes_back(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def after(record: Record) -> None:
        if record.place == "items/0":
            raise IndexError

    reading_after(monkeypatch, after, then=True)
    card = {
        **login("a", "x", "1"),
        "type": 3,
        "card": {"expMonth": "7", "expYear": "2029", "number": "4111"},
        "odd": "x",
    }
    outcome = bring(store, export([card, login("b", "x", "2")]))
    values = outcome.ledger.values()
    assert (values["changed"], values["elsewhere"], values["quarantined"]) == (
        0,
        0,
        outcome.ledger.quarantine[0].values,
    )
    assert values["arrived"] == values["total"] - values["quarantined"]


def test_an_error_of_ours_is_not_mistaken_for_a_rotten_record(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def before(_: Record) -> None:
        raise KeyferryError("stop")

    reading_after(monkeypatch, before)
    with pytest.raises(KeyferryError, match="stop"):
        bring(store, export([login("a", "x", "1")]))
    assert store.runs() == []


def test_a_record_that_is_null_says_nothing(store: Store) -> None:
    outcome = bring(store, b'{"items": [null, ' + good(1) + b', null], "folders": [], "a": null}')
    assert (outcome.items["new"], outcome.ledger.quarantine) == (1, [])
    assert outcome.ledger.structure >= 2


@pytest.mark.parametrize("cell", ['"unclosed', 'a"b"c'])
def test_a_rotten_row_of_a_table_is_set_aside_with_its_line(store: Store, cell: str) -> None:
    rows = ["name,url,username,password,note", "a,https://a.test,ann,one,", f"b,https://b.test,{cell},two,"]
    rows += ["c,https://c.test,ann,three,", "d,https://d.test,ann,four,", ""]
    data = "\n".join(rows).encode()
    outcome = bring(store, data, name="chrome.csv")
    titles = {item.title for item in store.items()}
    assert {"a", "d"} <= titles
    for one in outcome.ledger.quarantine:
        assert editor_at(data, one.line, one.column).startswith(one.raw.decode().split("\n")[0])


def test_a_line_that_is_no_address_is_set_aside_with_its_number(store: Store) -> None:
    data = b"otpauth://totp/A:a?secret=JBSWY3DPEHPK3PXP\n\nnot an address\notpauth://totp/B:b?secret=JBSWY3DPEHPK3PXP\n"
    outcome = bring(store, data, name="list.txt")
    assert [(one.line, one.raw) for one in outcome.ledger.quarantine] == [(3, b"not an address")]
    assert outcome.items["new"] == 2


@pytest.mark.parametrize(
    ("raw", "answer"),
    [
        (b'{"a": 1, "a": 1}', "the record has the same key twice"),
        (b'{"a": {"b": 1, "b": 2}}', "the record has the same key twice"),
        (b"[1]", "the record is no object"),
        (b"7", "the record is no object"),
        (b"[" * 100_000 + b"]" * 100_000, "the record is nested too deeply"),
        (b'{"a": Infinity}', "the record holds text or a number that JSON does not allow"),
        (b"null", None),
        (b'{"a": "\\ud800"}', {"a": "\\ud800"}),
        (b'{"\\udfff": 1}', {"\\udfff": 1}),
        (b'{"a": "\\ud83d\\ude00"}', {"a": "😀"}),
    ],
)
def test_a_record_is_an_object_nothing_or_a_reason(raw: bytes, answer: Any) -> None:
    assert read_record(raw) == answer


def test_a_rotten_record_in_a_container_is_told_by_its_place_in_the_member() -> None:
    import io
    import zipfile

    record = {"uuid": "u1", "categoryUuid": "001", "overview": {"title": "A"}, "details": {}, "createdAt": 1}
    good_one, bad = (
        json.dumps(record),
        json.dumps({**record, "uuid": "u2"}).replace('"createdAt": 1', '"createdAt": NaN'),
    )
    text = '{"accounts": [{"attrs": {"uuid": "a"}, "vaults": [{"attrs": {"uuid": "v", "name": "Ünï"}, "items": [\n'
    text += f"  {good_one},\n  {bad}\n]}}]}}]}}"
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w") as made:
        made.writestr("export.data", text)
    source = catalog.open_source(Path("x.1pux"), data=memory.getvalue())
    parsed = catalog.parse(source)
    assert len(list(parsed.records)) == 1
    (aside,) = source.ledger.quarantine
    assert (aside.line, aside.column) == (3, 3)
    assert editor_at(text.encode(), aside.line, aside.column).startswith('{"uuid": "u2"')
