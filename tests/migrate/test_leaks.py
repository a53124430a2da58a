"""Nothing of a file's secrets is ever said, written beside the vault, or left in a temporary folder."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from migrate import catalog
from tests.migrate.household import Export, as_bytes, export, household, item, login
from tests.migrate.terminal import Done, Terminal

PLANTED = 50


class Plants:
    """Texts that can be found again wherever they turn up."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, pattern: str = "{}") -> str:
        """Return a new one; of base32 letters, so that it may be a code's key too."""
        made = f"PLANT{len(self.texts):02d}".translate(str.maketrans("01", "27")) + "QWERTYUIOPASDFGH"
        self.texts.append(made)
        return pattern.format(made)

    def in_any(self, data: bytes) -> list[str]:
        """Return those that stand in the bytes, as they are or in UTF-16."""
        return [text for text in self.texts if text.encode() in data or text.encode("utf-16-le") in data]


def planted(plant: Plants) -> Export:
    """Return a household whose every secret, unknown key and unknown value is planted."""
    passkey = {
        "credentialId": "b64.AAAA",
        "keyValue": plant(),
        "rpId": "x.test",
        "userHandle": plant(),
        "counter": "0",
        "discoverable": "true",
        plant("unknown-{}"): plant(),
    }
    items = [
        login(
            f"Login {n}",
            "ann",
            plant(),
            f"https://s{n}.test",
            totp=plant() if n % 2 else plant("otpauth://totp/a:b?secret={}"),
            notes=plant("first line\n{}"),
            fields=[{"name": "PIN", "value": plant(), "type": 1, "linkedId": None}],
            passwordHistory=[{"lastUsedDate": "2024-11-05T06:07:08.900Z", "password": plant()}],
        )
        | {plant("key-{}"): {"deep": [plant()]}}
        for n in range(4)
    ]
    items.append(login("Passkey", "ann", plant(), passkeys=[passkey]))
    items.append(item("Card", 3, card={"number": plant(), "code": plant(), "expMonth": "1", "expYear": plant()}))
    items.append(item("Note", 2, notes=plant(), secureNote={"type": 0}))
    items.append(item("Ann", 4, identity={"ssn": plant(), "passportNumber": plant(), "licenseNumber": plant()}))
    items.append(item("Key", 5, sshKey={"privateKey": plant("-----BEGIN-----\n{}\n"), "keyFingerprint": plant()}))
    items.append(login("Odd code", "ann", plant(), totp=plant("not a key: {}")))
    items.append(item("Of the future", 99, somebody=plant()))
    rotten = login("Rotten", "ann", plant(), reprompt="@@")
    data = export([*items, rotten], "Bank")
    data[plant("frame-{}")] = plant()
    while len(plant.texts) < PLANTED:
        data["items"].append(login("More", "ann", plant()))
    return data


def exported(plant: Plants) -> bytes:
    """Return the file; one of its records cannot be read."""
    return as_bytes(planted(plant)).replace(b'"@@"', b"NaN")


CHROME = b"name,url,username,password,note\n"


def table(plant: Plants) -> bytes:
    rows = [f"S{n},https://s{n}.test,ann,{plant()},{plant()}\n".encode() for n in range(20)]
    return CHROME + b"".join(rows)


def check(plant: Plants, terminal: Terminal, *sources: Path, done: Done | None = None) -> None:
    """Fail where a planted text stands in the output, or in any file but the exports themselves."""
    if done is not None:
        assert plant.in_any(done.out.encode()) == []
        assert plant.in_any(done.err.encode()) == []
        assert "Traceback" not in done.err
    for path in terminal.folder.rglob("*"):
        if path.is_file() and path not in sources:
            assert plant.in_any(path.read_bytes()) == [], path.name


class Watch:
    """Reads the command lines and environments of a process and of its children while it runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.seen, self.process = b"", process
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while self.process.poll() is None:
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
                    if self.process.pid in (int(folder.name), parent):
                        self.seen += (folder / "cmdline").read_bytes() + (folder / "environ").read_bytes()
                except (OSError, ValueError, IndexError):
                    continue
            time.sleep(0.05)

    def end(self) -> bytes:
        self._thread.join()
        return self.seen


def test_fifty_planted_secrets_are_nowhere_but_in_the_export_and_under_lock(tmp_path: Path) -> None:
    plant, terminal = Plants(), Terminal(tmp_path).init()
    source = terminal.write("export.json", exported(plant))
    assert len(plant.texts) >= PLANTED
    reports = [terminal.folder / name for name in ("r.json", "r.html", "t.json", "t.html")]
    typed: list[tuple[int, tuple[str | Path, ...]]] = [
        (0, ("inspect", source)),
        (0, ("inspect", "--json", source)),
        (3, ("migrate", "--dry-run", source)),
        (3, ("migrate", source, "--report", reports[0])),
        (3, ("migrate", "--json", source, "--report", reports[1])),
        (3, ("migrate", source, "--report", reports[2], "--titles")),
        (3, ("migrate", source, "--report", reports[3], "--titles")),
        (0, ("verify", source)),
        (0, ("verify", "--json", source)),
        (0, ("runs",)),
        (0, ("runs", "--json")),
        (0, ("list", "--json")),
        (0, ("status", "--json")),
        (0, ("edit", "Login 2", "--set", "username=else")),
        (3, ("verify", source)),
        (0, ("rm", "--purge", "Login 3")),
        (4, ("verify", source)),
        (0, ("undo",)),
        (0, ("runs",)),
    ]
    for code, arguments in typed:
        process = terminal.start(*arguments)
        watch = Watch(process)
        out, err = process.communicate(timeout=60)
        done = Done(process.returncode, out.decode(), err.decode())
        assert plant.in_any(watch.end()) == []
        check(plant, terminal, source, done=done)
        assert done.code == code, (arguments, done.out, done.err)
    assert all(report.stat().st_size > 500 for report in reports)


def test_a_quarantined_record_is_shown_only_when_asked(tmp_path: Path) -> None:
    plant, terminal = Plants(), Terminal(tmp_path).init()
    source = terminal.write("export.json", exported(plant))
    run = json.loads(terminal("migrate", "--json", source).out)["run"]
    check(plant, terminal, source, done=terminal("runs", run))
    check(plant, terminal, source, done=terminal("runs", run, "--json"))
    assert plant.in_any(terminal("runs", run, "--reveal").out.encode()) != []


@pytest.mark.parametrize("to", [name for name in catalog.names() if catalog.adapter(name).render is not None])
def test_turning_into_any_format_says_no_value(tmp_path: Path, capfd: pytest.CaptureFixture[str], to: str) -> None:
    plant, terminal = Plants(), Terminal(tmp_path, capfd)
    source = terminal.write("export.json", exported(plant))
    out, report = terminal.folder / f"out{catalog.adapter(to).signature.suffix}", terminal.folder / "report.json"
    done = terminal("convert", source, out, "--to", to, "--report", report, "--titles")
    assert done.code in (0, 3), done.err
    check(plant, terminal, source, out, done=done)


# --- errors


def shares(data: bytes) -> list[bytes]:
    return [data[: len(data) * tenth // 10] for tenth in range(1, 10)]


def spoiled(plant: Plants) -> dict[str, bytes]:
    """Return files that are wrong in every way an error could quote from."""
    whole, rows = exported(plant), table(plant)
    text = whole.decode()
    nasty: dict[str, bytes] = {f"cut {n}.json": part for n, part in enumerate(shares(whole))}
    nasty |= {f"cut {n}.csv": part for n, part in enumerate(shares(rows))}
    nasty |= {
        "latin.json": text.replace("Login 1", "Löwe").encode("latin-1"),
        "latin.csv": rows.replace(b"S1,", "Löwe,".encode("latin-1")),
        "utf16 odd.csv": rows.decode().encode("utf-16")[:-1],
        "comma.json": whole.replace(b'"reprompt": 0,', b'"reprompt": 0', 1),
        "twice.json": whole.replace(
            b'"encrypted": false,', b'"encrypted": false, "encrypted": "%s",' % plant().encode()
        ),
        "nan.json": whole.replace(b'"encrypted": false', b'"encrypted": NaN'),
        "trailing.json": whole + plant().encode(),
        "nobody.json": as_bytes({"stranger": plant(), plant("k-{}"): [plant()]}),
        "list.json": json.dumps([plant(), {plant("k-{}"): 1}]).encode(),
        "text.json": json.dumps(plant()).encode(),
        "nobody.csv": f"{plant()},{plant()}\n{plant()},{plant()}\n".encode(),
        "nobody.txt": plant("secret: {}\n").encode(),
        "quote.csv": CHROME + f'a,https://a.test,ann,"{plant()},x\nb,https://b.test,ann,{plant()},y\n'.encode(),
        "ragged.csv": CHROME + f"a,https://a.test,ann,{plant()},x,{plant()}\n".encode(),
        "no.xml": f'<?xml version="1.0"?><a>{plant()}</a>'.encode(),
        "bomb.xml": f'<!DOCTYPE x [<!ENTITY a "{plant()}">]><KeePassFile>&a;</KeePassFile>'.encode(),
        "no.zip": b"PK\x03\x04" + plant().encode(),
        "codes.txt": f"otpauth://totp/a?secret={plant()}\notpauth://totp/b?secret={plant('!!{}')}\n".encode(),
    }
    return nasty


def test_no_error_quotes_from_a_file(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, terminal = Plants(), Terminal(tmp_path, capfd).init()
    files = {name: terminal.write(name, data) for name, data in spoiled(plant).items()}
    codes: dict[int, int] = {}
    for name, path in files.items():
        debug = "1" if name.startswith(("cut", "twice")) else "0"
        monkeypatch.setenv("KEYFERRY_DEBUG", debug)
        for arguments in (
            ("inspect", path),
            ("migrate", "--json", "--dry-run", path),
            ("convert", path, tmp_path / "none.txt", "--to", "otpauth_uris"),
        ):
            done = terminal(*arguments)
            codes[done.code] = codes.get(done.code, 0) + 1
            (tmp_path / "none.txt").unlink(missing_ok=True)
            check(plant, terminal, *files.values(), done=done)
            assert done.code != 59, (name, done.err)
    assert {10, 13} <= set(codes)


WRONG: list[Any] = [["@"], {"@": "@"}, "@", 7, True, [{"@": "@"}], [["@"]]]


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
def test_values_of_wrong_types_are_kept_and_never_told(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], wrong: Any
) -> None:
    plant, terminal = Plants(), Terminal(tmp_path, capfd).init()

    def other() -> Any:
        text = json.dumps(wrong)
        return json.loads(text.replace("@", plant()) if "@" in text else text)

    data = household()
    for number, one in enumerate(data["items"]):
        keys = list(one)
        for key in keys[number % 3 :: 3]:
            if key not in ("type", "name"):
                one[key] = other()
        if isinstance(one.get("login"), dict):
            one["login"].update({key: other() for key in list(one["login"])[number % 2 :: 2]})
    source = terminal.write("export.json", as_bytes(data))
    report = terminal.folder / "report.html"
    done = terminal("migrate", source, "--report", report)
    assert done.code in (0, 3), done.err
    check(plant, terminal, source, done=done)
    check(plant, terminal, source, done=terminal("verify", source))
    with terminal.store() as store:
        rows = b"".join(row for _, row in store.rows())
        aside = b"".join(one.raw for run in store.runs() for one in store.quarantined(run.id))
    missing = set(plant.texts) - set(plant.in_any(rows + aside))
    assert not missing


def test_a_defect_says_where_and_never_what(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plant, terminal = Plants(), Terminal(tmp_path, capfd).init()
    source = terminal.write("export.json", exported(plant))

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError(plant.texts[0])

    monkeypatch.setattr("migrate.moving.check", broken)
    for debug in ("0", "1"):
        monkeypatch.setenv("KEYFERRY_DEBUG", debug)
        done = terminal("migrate", source)
        assert done.code == 59
        check(plant, terminal, source, done=done)
    with terminal.store() as store:
        assert store.count() == 0


def test_the_plants_can_be_found_at_all(tmp_path: Path) -> None:
    plant = Plants()
    source = tmp_path / "export.json"
    source.write_bytes(exported(plant))
    assert plant.in_any(source.read_bytes()) == plant.texts
    assert os.path.getsize(source) > 10_000
