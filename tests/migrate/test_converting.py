"""From one product's export to another's: proven, written, read again; and every code stays the code it was."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from migrate import catalog, converting
from migrate.converting import outgoing_of, read, render, summed, target_of
from migrate.giving import Loss
from migrate.source import Source
from migrate.tables import unique
from tests.migrate.household import as_bytes, export, household, login, opened
from tests.migrate.test_samples import options_of
from vault import otp
from vault.errors import CannotWriteFormat, KeyferryError, UndeclaredLoss, UsageError
from vault.model import CustomFields, Item, Note, Totp, find_all

SAMPLES = Path(__file__).parents[2] / "samples"
WRITABLE = [name for name in catalog.names() if catalog.adapter(name).render is not None]


def turned(source: Source, to: str) -> tuple[Source, list[Loss]]:
    """Return a source written in another format, as a source again, and what was lost."""
    got, target, memory = read(source), catalog.adapter(to), io.BytesIO()
    out = outgoing_of(got, target, {})
    render(out, target, memory)
    if not memory.getvalue().strip():
        return opened(export([])), out.losses
    return catalog.open_source(
        Path("turned"), data=memory.getvalue(), format=to, options=mapped(to, memory)
    ), out.losses


def mapped(to: str, file: io.BytesIO) -> dict[str, Any]:
    """Return what a person says of the columns of a table of unknown origin."""
    if to != "generic_csv":
        return {}
    header = next(csv.reader(io.StringIO(file.getvalue().decode())))
    roles = {"title", "username", "password", "url", "totp", "notes", "folder", "tags", "favorite"}
    return {"map": {name: name if name in roles else "field" for name in unique(header)}}


# --- codes

Codes = tuple[str, ...]


def codes_of(item: Item) -> Iterator[Codes]:
    """Yield what each one-time code of an item shows at three instants, wherever it stands in it."""
    texts = [f.text for one in find_all(item, CustomFields) for f in one.fields]
    texts += [line for one in find_all(item, Note) for line in one.content.reveal().split("\n")]
    spelled = [found[0] for text in texts if (found := re.search("(?:otpauth|steam|motp):.*", text))]
    totps = [*find_all(item, Totp), *(otp.parse(text) for text in spelled)]
    for totp in totps:
        shown = tuple(code for at in otp.INSTANTS if (code := _code(totp, at)))
        if shown:
            yield (str(totp.kind == "hotp"), *shown)


def _code(totp: Totp, at: int) -> str:
    try:
        return otp.code(totp, at)
    except KeyferryError:
        return ""


def with_codes(source: Source) -> list[tuple[Item, Codes]]:
    return [(item, codes) for item in read(source).items for codes in codes_of(item)]


SPELLINGS = (
    "JBSWY3DPEHPK3PXP",
    "jbsw y3dp ehpk 3pxp jbsw y3dp",
    "otpauth://totp/ACME:ann?secret=JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP&issuer=ACME&digits=8&period=60&algorithm=SHA256",
    "otpauth://totp/ACME?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&algorithm=SHA512",
    "otpauth://totp/a%20b:c%40d?secret=GEZDGNBV&period=15",
    "steam://JBSWY3DPEHPK3PXP",
    "otpauth://totp/Steam:ann?secret=JBSWY3DPEHPK3PXP&issuer=Steam",
    "key=JBSWY3DPEHPK3PXP&size=8&step=45",
)


def many_codes() -> bytes:
    items = [login(f"Item {n}", f"u{n}", f"p{n}", f"https://s{n}.test", totp=code) for n, code in enumerate(SPELLINGS)]
    return as_bytes(export(items))


def samples_with_codes() -> dict[str, Path]:
    found = {}
    for path in sorted(SAMPLES.glob("*/household.*")):
        if ".expected." not in path.name and ".options." not in path.name:
            found[f"{path.parent.name} {path.suffix}"] = path
    return found


def codes_of_all(source: Source) -> Iterator[Codes]:
    for item in read(source).items:
        yield from codes_of(item)


def test_most_formats_that_can_be_written_hold_codes() -> None:
    holding = {name for name in WRITABLE if any(codes_of_all(turned(opened(many_codes()), name)[0]))}
    assert {"bitwarden_json", "bitwarden_csv", "lastpass_csv", "onepassword_1pux", "apple_csv"} <= holding
    assert "otpauth_uris" in holding


@pytest.mark.parametrize("to", WRITABLE)
def test_every_spelling_of_a_code_shows_the_same_after_a_turn_through_any_format(to: str) -> None:
    source = opened(many_codes())
    before = with_codes(source)
    assert len(before) == len(SPELLINGS)
    there, losses = turned(source, to)
    lost = {loss.item for loss in losses}
    back, _ = turned(there, "bitwarden_json")
    after = list(codes_of_all(back))
    for item, codes in before:
        assert codes in after or item.id in lost, item.title


@pytest.mark.parametrize("sample", samples_with_codes().values(), ids=samples_with_codes())
@pytest.mark.parametrize("to", WRITABLE)
def test_the_codes_of_a_household_show_the_same_after_a_turn_through_any_format(sample: Path, to: str) -> None:
    options: dict[str, Any] = options_of(sample)
    given = options.pop("from", None)
    first = catalog.open_source(sample, format=given, options=options)
    base, early = turned(first, "bitwarden_json")
    before = with_codes(base)
    if to == "generic_csv" and not before:
        return  # a table of unknown origin without any password is not read
    there, losses = turned(base, to)
    lost = {loss.item for loss in losses} | {loss.item for loss in early}
    back, _ = turned(there, "bitwarden_json")
    after = list(codes_of_all(back))
    for item, codes in before:
        assert codes in after or item.id in lost, item.title


# --- reading and writing


def test_what_is_read_is_proven_before_anything_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = catalog.parse

    def forgetful(source: Source) -> Any:
        parsed = honest(source)
        inner = parsed.read

        def reader(record: Any) -> Item | None:
            record.data["login"].pop("password", None)
            return inner(record)

        parsed.read = reader
        return parsed

    monkeypatch.setattr(catalog, "parse", forgetful)
    with pytest.raises(UndeclaredLoss, match="could not be found again: 1"):
        read(opened(export([login("a", "x", "gone")])))


def test_items_in_are_items_out_and_losses() -> None:
    for to in WRITABLE:
        got, target = read(opened(household())), catalog.adapter(to)
        out = outgoing_of(got, target, {})
        render(out, target, io.BytesIO())
        assert {loss.item for loss in out.losses} - {""} <= {item.id for item in got.items}


def test_the_same_format_loses_nothing_and_reads_as_before() -> None:
    back, losses = turned(opened(household()), "bitwarden_json")
    assert losses == []
    ours, theirs = read(opened(household())), read(back)
    assert [one.title for one in ours.items] == [one.title for one in theirs.items]


def test_losses_are_summed_by_kind() -> None:
    losses = [Loss("a", "A", "urls", 2), Loss("b", "B", "urls"), Loss("a", "A", "notes", 5)]
    assert summed(losses) == [("urls", 2, 3), ("notes", 1, 5)]


def test_a_format_that_is_not_there_or_not_written_is_told() -> None:
    with pytest.raises(UsageError, match="there is no format"):
        target_of("bitwarden_jsn")
    for name in set(catalog.names()) - set(WRITABLE):
        with pytest.raises(CannotWriteFormat, match="can be read but not written"):
            target_of(name)


def test_a_file_with_nothing_in_it_turns_into_a_file_with_nothing_in_it() -> None:
    for to in WRITABLE:
        got, target, memory = converting.read(opened(export([]))), catalog.adapter(to), io.BytesIO()
        render(outgoing_of(got, target, {}), target, memory)
        if memory.getvalue().strip() and to != "generic_csv":  # which is not read without any password
            options = mapped(to, memory)
            again = catalog.open_source(Path("empty"), data=memory.getvalue(), format=to, options=options)
            assert read(again).items == []
