"""Tables of unknown origin: no column without a decision, nothing shown that is a value."""

from __future__ import annotations

import json
import stat
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from migrate import mapping
from migrate.catalog import glimpse
from migrate.recognised import look_of
from migrate.roles import COLUMNS, ROLES, role_of, suggestions
from migrate.tables import read_table
from tests.migrate import laws
from vault.errors import KeyferryError, UndecidedColumns, UnknownFormat, UsageError
from vault.model import CreditCard, CustomFields, Note, Totp, find, find_all

TABLE = b"Entry,Login,Pwd,Web,PIN\nMy bank,ada,hunter2,https://bank.example.test,0042\nMy bank,ada,hunter2,,\n"
MAP = {"Entry": "title", "Login": "username", "Pwd": "password", "Web": "url", "PIN": "hidden"}


def load(data: bytes, roles: dict[str, str], **options: Any) -> laws.Loaded:
    return laws.load("generic_csv", data, options={"map": roles, **options}, name="table.csv")


def refused(data: bytes, roles: dict[str, str]) -> KeyferryError:
    with pytest.raises(KeyferryError) as error:
        load(data, roles)
    return error.value


@dataclass
class Told:
    """What a command would show."""

    lines: list[str] = field(default_factory=list)
    json: Any = None

    def say(self, text: str) -> None:
        self.lines.append(text)

    done = say

    def table(self, columns: Any, rows: Any, title: str = "") -> None:
        self.lines += [" | ".join(row) for row in rows]

    def out(self, made: Any) -> None:
        self.json = made


def test_every_column_needs_a_role_and_the_missing_ones_are_named_with_a_command() -> None:
    error = refused(TABLE, {"Entry": "title", "Pwd": "password"})
    assert isinstance(error, UndecidedColumns)
    assert error.exit_code == 4
    assert error.message == "table.csv has columns without a decision: Login, Web, PIN"
    assert "--map Entry=title --map Login=username --map Pwd=password --map Web=url --map PIN=hidden" in error.hint


def test_a_table_no_product_writes_asks_for_roles_at_once() -> None:
    with pytest.raises(UndecidedColumns) as error:
        laws.load(None, TABLE, name="table.csv")
    assert "Entry, Login, Pwd, Web, PIN" in error.value.message


def test_a_column_nobody_has_is_refused() -> None:
    error = refused(TABLE, {**MAP, "Nothing": "field"})
    assert isinstance(error, UsageError)
    assert error.message == "table.csv has no column Nothing"


def test_two_columns_cannot_have_one_single_role() -> None:
    assert refused(TABLE, {**MAP, "Web": "title"}).message == "two columns cannot both be the title"


def test_logins_without_a_filled_password_are_refused() -> None:
    error = refused(b"t,u,p\na,ada,\n", {"t": "title", "u": "username", "p": "password"})
    assert isinstance(error, UndecidedColumns)
    assert refused(b"t,u\na,ada\n", {"t": "title", "u": "username"}).exit_code == 4


def test_a_table_of_logins_without_a_row_holds_none() -> None:
    assert load(b"t,u,p\n", {"t": "title", "u": "username", "p": "password"}).items == ()


def test_notes_alone_need_no_password() -> None:
    loaded = load(b"t,n\nAlarm,4711\n", {"t": "title", "n": "notes"})
    assert find(loaded.items[0], Note).content.reveal() == "4711"


def test_a_first_line_of_values_is_refused_and_not_shown() -> None:
    data = b"My bank,ada@example.org,hunter2,https://bank.example.test\n"
    for error in (refused(data, {}), refused(data + data, {"My bank": "title"})):
        assert isinstance(error, UnknownFormat)
        assert "hunter2" not in error.message + error.hint


def test_a_dropped_column_is_recorded_by_whose_choice() -> None:
    loaded = load(TABLE, {**MAP, "PIN": "drop"})
    assert loaded.ledger.dropped_lines == {("PIN", "by your --map"): 1}
    assert loaded.ledger.values()["dropped"] == 1
    assert find(loaded.items[0], CustomFields) is None


def test_every_role_is_read_proven_and_written_back() -> None:
    values = {
        "totp": "JBSWY3DPEHPK3PXP",
        "tags": "blue,green",
        "favorite": "Yes",
        "created": "2024-05-01T10:00:00Z",
        "modified": "2024-05-02T10:00:00+02:00",
        "card_expiry": "06/31",
        "folder": "Home/Bank",
    }
    roles = {role: role for role in ROLES if role not in ("drop", "note")}
    cells = [values.get(role, f"a {role}") for role in roles]
    data = (",".join(roles) + "\n" + ",".join(f'"{cell}"' for cell in cells) + "\n").encode()
    loaded = load(data, roles)
    item = loaded.items[0]
    assert (item.tags, item.favorite, item.creation_at) == (("blue", "green"), True, "2024-05-01T10:00:00Z")
    assert find(item, CreditCard).expiry_date.text == "2031-06"
    assert loaded.ledger.values()["elsewhere"] == 0
    back, losses = laws.again("generic_csv", loaded, options={"map": roles})
    assert losses == []
    assert laws.canon(back) == laws.canon(loaded)


def test_a_role_that_may_be_said_twice_keeps_both() -> None:
    loaded = load(
        b"t,p,u,u,n,n,c,c\na,b,https://1,https://2,one,two,JBSWY3DPEHPK3PXP,MFRGGZDF\n",
        dict(
            zip(
                ["t", "p", "u", "u (2)", "n", "n (2)", "c", "c (2)"],
                ["title", "password", "url", "url", "notes", "note", "totp", "totp"],
                strict=True,
            )
        ),
    )
    item = loaded.items[0]
    assert [url.url for url in item.urls] == ["https://1", "https://2"]
    assert [note.content.reveal() for note in find_all(item, Note)] == ["one", "two"]
    assert len(list(find_all(item, Totp))) == 2


def test_a_value_a_role_cannot_read_is_kept_under_its_column() -> None:
    loaded = load(b"t,p,f\na,b,perhaps\n", {"t": "title", "p": "password", "f": "favorite"})
    assert loaded.items[0].extra == {"f": "perhaps"}
    assert loaded.ledger.values()["elsewhere"] == 1


@pytest.mark.parametrize(
    ("pairs", "mapping_"),
    [
        (["A=title"], {"A": "title"}),
        ([" A b = title "], {"A b": "title"}),
        (["a=b=password"], {"a=b": "password"}),
    ],
)
def test_pairs_of_column_and_role_are_read(pairs: list[str], mapping_: dict[str, str]) -> None:
    assert mapping.parse_map(pairs) == mapping_


@pytest.mark.parametrize("pair", ["A", "=title", "A=nonsense", "A="])
def test_a_pair_that_is_none_is_refused_with_the_roles(pair: str) -> None:
    with pytest.raises(UsageError) as error:
        mapping.parse_map([pair])
    assert "password" in error.value.hint


def test_a_profile_is_saved_used_and_changed(tmp_path: Path) -> None:
    assert mapping.resolve(["A=title", "B=password"], "old", tmp_path) == {"A": "title", "B": "password"}
    assert mapping.resolve([], "old", tmp_path) == {"A": "title", "B": "password"}
    assert mapping.resolve(["B=hidden"], "old", tmp_path) == {"A": "title", "B": "hidden"}
    assert mapping.resolve([], "old", tmp_path)["B"] == "hidden"
    assert mapping.resolve(["C=url"], None, tmp_path) == {"C": "url"}
    if sys.platform != "win32":
        assert stat.S_IMODE((tmp_path / mapping.PROFILES).stat().st_mode) == 0o600


def test_an_unknown_profile_is_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no profile 'x'"):
        mapping.resolve([], "x", tmp_path)
    mapping.resolve(["A=title"], "mine", tmp_path)
    with pytest.raises(UsageError) as error:
        mapping.resolve([], "x", tmp_path)
    assert error.value.hint == "known: mine"


@pytest.mark.parametrize("text", ["{", "[]", '{"a": 1}', '{"a": {"b": "nonsense"}}', "\xff"])
def test_a_damaged_file_of_profiles_is_no_defect(text: str, tmp_path: Path) -> None:
    (tmp_path / mapping.PROFILES).write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError):
        mapping.resolve([], "zz", tmp_path)


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Kennwort", "password"),
        ("E-Mail", "username"),
        ("URL (2)", "url"),
        ("Card Number", "card_number"),
        ("Nom d’utilisateur", "username"),
        ("Contraseña", "password"),
        ("Lösenord", "password"),
        ("Straße", "street"),
        ("Login_URLs", "url"),
        ("Website Address", "url"),
        ("Two Factor Secret", "totp"),
        ("FolderPath", "folder"),
        ("zzz", None),
    ],
)
def test_a_columns_name_suggests_its_role(name: str, role: str | None) -> None:
    assert role_of(name) == role


def test_a_mail_address_is_the_user_name_only_where_nothing_else_is() -> None:
    assert suggestions(["Email", "Password"])["Email"] == "username"
    assert suggestions(["Email", "User", "Password"]) == {"Email": "field", "User": "username", "Password": "password"}


def test_a_column_that_speaks_of_a_secret_is_hidden_and_the_command_is_whole() -> None:
    header = ["Password", "Password (2)", "SecretData", *(f"c{n}" for n in range(60))]
    assert list(suggestions(header).values())[:4] == ["password", "hidden", "hidden", "field"]
    assert mapping.undecided_columns(header, {}, "t.csv", is_header=True).hint.endswith("--map c59=field")


def test_without_a_secret_nothing_is_suggested_that_only_logins_have() -> None:
    assert suggestions(["Name", "URL", "User"]) == {"Name": "title", "URL": "field", "User": "field"}


def test_every_suggested_role_exists() -> None:
    assert set(suggestions([*ROLES, "anything"]).values()) <= set(COLUMNS)


def test_a_table_is_described_without_a_value() -> None:
    facts = mapping.describe(read_table(TABLE + TABLE.split(b"\n", 1)[1], "t.csv"))
    assert (facts.rows, facts.duplicates) == (4, 2)
    assert [(c.name, c.filled, c.distinct, c.role) for c in facts.columns] == [
        ("Entry", 4, 1, "title"),
        ("Login", 4, 1, "username"),
        ("Pwd", 4, 1, "password"),
        ("Web", 2, 1, "url"),
        ("PIN", 2, 1, "hidden"),
    ]
    assert [c.sample for c in facts.columns] == ["xx xxxx", "xxx", "****", "xxxxx://xxxx.xxxxxxx.xxx", "****"]


def test_contents_suggest_a_role_where_the_name_does_not() -> None:
    table = read_table(b"a,b,c\nhttps://x.example.test,otpauth://totp/x?secret=AA,ada@example.org\n", "t.csv")
    assert [c.role for c in mapping.describe(table).columns] == ["url", "totp", "username"]


def test_inspect_shows_columns_and_no_value() -> None:
    told = Told()
    assert mapping.show(told, TABLE, "t.csv")  # type: ignore[arg-type]
    text = "\n".join(told.lines) + json.dumps(told.json)
    assert "--map Pwd=password" in told.lines[-1]
    assert [c["role"] for c in told.json["columns"]] == list(MAP.values())
    for value in ("hunter2", "ada", "0042", "bank.example"):
        assert value not in text


def test_inspect_names_the_product_a_table_looks_like_and_the_better_export() -> None:
    table = b"Title,Url,Username,Password,OTPAuth,Favorite,Archived,Tags,Notes\na,b,c,d,,false,false,,\n"
    told, look = Told(), look_of(glimpse(table, "t.csv"))
    assert mapping.show(told, table, "t.csv", look=look)  # type: ignore[arg-type]
    assert told.lines[0] == "t.csv looks like a table of 1Password 8: 1 row, 9 columns"
    assert any(line.startswith("better: 1Password 8 writes a .1pux file") for line in told.lines)


def test_inspect_shows_nothing_of_a_table_without_a_header() -> None:
    told = Told()
    assert not mapping.show(told, b"hunter2,https://x.example.test\n", "t.csv")  # type: ignore[arg-type]
    assert told.lines == []
