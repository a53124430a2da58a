"""The commands about key and kit, as they are typed."""

from __future__ import annotations

import io
import json
import re
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import keyferry
from tests.vault.agefile import armored, sealed
from tests.vault.ring import FileRing
from vault import device, oskeyring
from vault.device import new_device
from vault.kit import parse, typed_lines
from vault.kitfile import page_of

DEVICE = new_device()


@dataclass
class Said:
    """What one command line said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Type = Callable[..., Said]


@pytest.fixture
def ring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileRing:
    found = FileRing(tmp_path / "ring.json")
    monkeypatch.setattr(oskeyring, "_loaded", lambda name: found)
    return found


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], ring: FileRing) -> Type:
    """Type a command line in a home of its own; what is asked is answered from ``answers``."""
    monkeypatch.setenv("KEYFERRY_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(device, "new_device", lambda: DEVICE)
    monkeypatch.setattr(
        "vault.keyholders.find_keyring", lambda: oskeyring.KeyringHolder("keyring.backends.SecretService.Keyring")
    )
    monkeypatch.chdir(tmp_path)

    def typed(line: str, answers: str = "") -> Said:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(answers.encode())))
        code = keyferry.run(shlex.split(line))
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Said(code, said.out, said.err)

    return typed


def done(said: Said) -> Said:
    assert said.code == 0, said.err
    return said


def test_init_says_where_everything_is_and_reminds_of_the_kit(run: Type, tmp_path: Path) -> None:
    said = done(run("init"))
    assert f"made a vault in {tmp_path}/home; its key is in: OS keyring, Secret Service" in said.out
    assert "keyferry kit save FILE" in said.out.splitlines()[-1]
    again = run("init")
    assert (again.code, again.err.splitlines()[0]) == (22, f"error: there is a vault in {tmp_path}/home already")


def test_init_for_machines(run: Type, tmp_path: Path) -> None:
    said = done(run("init --json --kit kit.txt")).json
    assert said.items() >= {"home": f"{tmp_path}/home", "key_holder": "keyring", "kit": "saved"}.items()
    assert len(said["vault"]) == 32
    assert run("init --json").err.startswith('{"error": "VaultExists"')


def test_init_with_a_key_file_beside_the_vault_warns(run: Type, tmp_path: Path) -> None:
    said = done(run("init --key-file stick.key"))
    assert "same file system" in said.err
    assert (tmp_path / "stick.key").exists()
    assert done(run("status --json")).json["key"] == f"key file {tmp_path}/stick.key"


def test_init_with_a_passphrase_asks_before_anything_else(run: Type) -> None:
    done(run("init --passphrase", "open sesame\n"))
    assert done(run("status --json", "open sesame\n")).json["key_holder"] == "passphrase"
    assert run("status", "open says me\n").code == 32
    assert run("status").code == 2


@pytest.mark.parametrize("answers", ["", "\n"])
def test_init_with_no_passphrase_given_makes_nothing(run: Type, tmp_path: Path, answers: str) -> None:
    assert run("init --passphrase", answers).code == 2
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("line", ["init --kit a --no-kit", "init --key-file a --passphrase"])
def test_init_refuses_what_excludes_itself(run: Type, tmp_path: Path, line: str) -> None:
    assert run(line, "p\n").code == 2
    assert not (tmp_path / "home").exists()


def test_init_without_a_keyring_tells_the_whole_command(
    run: Type, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("vault.keyholders.find_keyring", oskeyring.find_keyring)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyrings.alt.file.PlaintextKeyring")
    said = run("init")
    assert said.code == 28
    assert "keyferry init --key-file ~/keyferry.key" in said.err
    assert not (tmp_path / "home").exists()


def test_status_names_what_checks_rely_on(run: Type) -> None:
    done(run("init"))
    said = done(run("status --json")).json
    assert (
        said.items()
        >= {
            "items": 0,
            "trashed": 0,
            "runs": 0,
            "kit_checked": False,
            "kit": "waiting",
            "last_backup": None,
            "last_proven_restore": None,
            "sync": None,
        }.items()
    )


def test_the_kit_is_saved_checked_and_then_gone(run: Type, tmp_path: Path) -> None:
    done(run("init"))
    assert "next: keyferry kit check" in done(run("kit save kit.txt")).out
    assert "saved, not checked" in done(run("status")).out
    assert "no longer kept inside" in done(run("kit check kit.txt")).out
    assert done(run("status --json")).json["kit_checked"] is True
    assert "keyferry kit save" not in done(run("status")).out
    assert run("kit save again.txt").code == 2
    assert not (tmp_path / "again.txt").exists()


def test_a_printed_page_is_an_identity_file_in_a_pipe(run: Type) -> None:
    done(run("init"))
    out = done(run("kit print")).out
    assert [line[:16] for line in out.splitlines() if not line.startswith("#")] == ["AGE-SECRET-KEY-1"]
    assert parse(out) == parse(done(run("kit print --json")).json["page"])


@pytest.mark.parametrize(
    "spelled",
    [
        lambda page: page,
        lambda page: parse(page).identity.lower(),
        lambda page: "\ufeff" + page.replace("\n", "\r\n"),
        lambda page: "\n".join(typed_lines(parse(page))),
        lambda page: "\n".join(typed_lines(parse(page))).lower().replace(" ", "") + "\nmore",
    ],
)
@pytest.mark.parametrize("line", ["kit check", "kit check -"])
def test_a_typed_kit_is_checked(run: Type, spelled: Callable[[str], str], line: str) -> None:
    done(run("init"))
    done(run(line, spelled(done(run("kit print")).out)))


def test_a_kit_saved_by_another_editor_is_checked(run: Type, tmp_path: Path) -> None:
    done(run("init"))
    page = done(run("kit print")).out
    (tmp_path / "notepad.txt").write_bytes(page.replace("\n", "\r\n").encode("utf-16"))
    done(run("kit check notepad.txt"))


@pytest.mark.parametrize(("file", "code"), [("missing.txt", 19), ("empty.txt", 33), ("junk.txt", 33), (".", 19)])
def test_a_bad_kit_file_is_one_sentence(run: Type, tmp_path: Path, file: str, code: int) -> None:
    (tmp_path / "empty.txt").touch()
    (tmp_path / "junk.txt").write_bytes(b"\xff\x00" * 99)
    done(run("init"))
    for line in (f"kit check {file}", f"unlock --kit {file}"):
        said = run(line)
        assert said.code == code
        assert said.err.startswith("error: ")


@pytest.mark.parametrize("option", ["", " --sealed"])
def test_a_kit_is_not_saved_into_a_backup_target(run: Type, tmp_path: Path, option: str) -> None:
    done(run("init"))
    done(run("backup target add stick"))
    (tmp_path / "stick" / ".keyferry-target").unlink()
    said = run(f"kit save stick/kit.txt{option}", "p\n")
    assert said.code == 34
    assert "beside the backups it opens" in said.err
    assert not (tmp_path / "stick" / "kit.txt").exists()


def seal(path: Path, page: str, passphrase: str) -> None:
    path.write_bytes(armored(sealed(page.encode(), passphrase)))


def test_a_kit_is_saved_under_a_passphrase_beside_the_plain_one(run: Type, tmp_path: Path) -> None:
    done(run("init"))
    done(run("kit save kit.txt"))
    said = done(run("kit save kit.age --sealed", "open sesame\n"))
    assert "keep a kit on paper too" in said.out
    assert "next: keyferry kit check kit.age" in said.out
    data = (tmp_path / "kit.age").read_bytes()
    assert data.startswith(b"-----BEGIN AGE ENCRYPTED FILE-----")
    assert (tmp_path / "kit.age").stat().st_mode & 0o777 == 0o600
    assert page_of(data, lambda: "open sesame") == (tmp_path / "kit.txt").read_text()
    assert "opens this vault" in done(run("kit check kit.age", "open sesame\n")).out
    assert done(run("status --json")).json["kit_checked"] is True


def test_nothing_is_saved_without_a_passphrase(run: Type, tmp_path: Path) -> None:
    done(run("init"))
    for answers in ("", "\n"):
        assert run("kit save kit.age --sealed", answers).code == 2
    assert not (tmp_path / "kit.age").exists()
    assert done(run("status --json")).json["kit"] == "waiting"


@pytest.mark.parametrize("line", ["kit check kit.age", "unlock --kit kit.age --key-file k", "kit new --kit kit.age"])
def test_a_sealed_kit_is_taken_wherever_a_kit_is(run: Type, tmp_path: Path, line: str) -> None:
    done(run("init --kit kit.txt"))
    seal(tmp_path / "kit.age", (tmp_path / "kit.txt").read_text(), "p")
    wrong = run(line, "q\n")
    assert wrong.code == 32
    assert wrong.err.startswith("error: the passphrase does not open the sealed kit\n")
    assert run(line).code == 2
    done(run(line, "p\n"))


def test_a_sealed_kit_of_a_vault_under_a_passphrase_is_asked_for_second(run: Type, tmp_path: Path) -> None:
    done(run("init --passphrase --kit kit.txt", "vault\n"))
    seal(tmp_path / "kit.age", (tmp_path / "kit.txt").read_text(), "kit")
    assert run("kit check kit.age", "kit\nvault\n").code == 32
    done(run("kit check kit.age", "vault\nkit\n"))


def test_a_sealed_kit_comes_through_a_pipe_as_text_only(run: Type, tmp_path: Path) -> None:
    done(run("init --kit kit.txt"))
    data = sealed((tmp_path / "kit.txt").read_bytes(), "p")
    done(run("kit check -", armored(data).decode() + "p\n"))
    said = run("kit check -", data.decode("latin-1"))
    assert said.code == 2
    assert "comes as a file" in said.err


def test_a_sealed_kit_that_asks_for_too_much_work_is_one_sentence(run: Type, tmp_path: Path) -> None:
    done(run("init"))
    (tmp_path / "bomb.age").write_bytes(sealed(b"", "p", told="40"))
    said = run("kit check bomb.age", "p\n")
    assert said.code == 33
    assert "more work than is safe" in said.err


def test_a_kit_on_a_synced_folder_is_warned_about(run: Type, tmp_path: Path) -> None:
    (tmp_path / "Dropbox").mkdir()
    done(run("init"))
    assert "cloud service" in done(run("kit save Dropbox/kit.txt")).err


def test_a_kit_beside_the_vault_is_refused(run: Type, tmp_path: Path) -> None:
    done(run("init"))
    assert run("kit save home/kit.txt").code == 34
    assert not (tmp_path / "home" / "kit.txt").exists()


def test_a_deleted_entry_is_put_back_by_the_kit(run: Type, ring: FileRing) -> None:
    done(run("init --kit kit.txt"))
    ring.path.unlink()
    lost = run("status")
    assert lost.code == 30
    assert "keyferry unlock --kit FILE" in lost.err
    assert "opens again" in done(run("unlock --kit kit.txt")).out
    done(run("status"))


def test_a_kit_from_paper_puts_the_key_into_a_file(run: Type, tmp_path: Path, ring: FileRing) -> None:
    done(run("init --kit kit.txt"))
    ring.path.unlink()
    typed = "\n".join(typed_lines(parse((tmp_path / "kit.txt").read_text())))
    done(run("unlock --kit - --key-file new.key", typed))
    assert done(run("status --json")).json["key_holder"] == "key-file"


def test_a_forgotten_passphrase_is_replaced_with_the_kit(run: Type) -> None:
    done(run("init --passphrase --kit kit.txt", "old\n"))
    done(run("unlock --kit kit.txt", "new\n"))
    done(run("status", "new\n"))
    done(run("unlock --kit kit.txt --passphrase", "newer\n"))
    done(run("status", "newer\n"))
    assert run("status", "old\n").code == 32


def test_the_key_moves_where_it_is_sent(run: Type, ring: FileRing) -> None:
    done(run("init"))
    done(run("key move --key-file k"))
    assert ring.entries() == {}
    assert "still holds the key" in done(run("key move --passphrase", "p\n")).err
    assert done(run("key move --keyring --json", "p\n")).json == {"key_holder": "keyring", "left": None}
    assert run("key move --keyring").code == 2
    assert run("key move").code == 2
    assert run("key move --keyring --key-file k").code == 2


def test_a_rotated_key_leaves_everything_else(run: Type) -> None:
    done(run("init --kit kit.txt"))
    assert "new key" in done(run("key rotate")).out
    done(run("kit check kit.txt"))
    assert "in order" in done(run("doctor")).out


def test_a_new_kit_takes_the_old_ones_place(run: Type) -> None:
    done(run("init --kit old.txt"))
    done(run("kit new"))
    assert run("kit check old.txt").code == 33
    done(run("kit save new.txt"))
    done(run("kit check new.txt"))


def test_a_new_kit_tells_what_the_old_ones_are_good_for(run: Type, tmp_path: Path) -> None:
    done(run("init --kit one.txt"))
    done(run("kit check one.txt"))
    one = parse((tmp_path / "one.txt").read_text()).key_id
    said = done(run("kit new")).out.splitlines()
    assert said[0] == "made without the old kit: there is no other device that could object"
    assert said[1] == f"backups made until now open with the old kit (key id {one}): keep it for them"
    assert "next: keyferry kit save FILE, then keyferry kit check FILE" in said[2]
    assert "keyferry kit save" in done(run("status")).out
    done(run("kit save two.txt"))
    done(run("kit check two.txt"))
    two = parse((tmp_path / "two.txt").read_text()).key_id
    said = done(run("kit new --kit two.txt")).out.splitlines()
    assert said[0] == f"backups made until now open with the old kit (key id {two}): keep it for them"
    assert re.fullmatch(rf"backups made until \d{{4}}-\d\d-\d\d open with the old kit \(key id {one}\): .*", said[1])
    told = done(run("kit new --json")).json
    assert told["signed_by_old_kit"] is True
    assert [(kit["key_id"], kit["kept"]) for kit in told["old_kits"][1:]] == [(two, True), (one, True)]
    assert told["old_kits"][0]["kept"] is False


def test_an_unsaved_kit_that_is_replaced_is_not_told_to_be_kept(run: Type) -> None:
    done(run("init"))
    said = done(run("kit new")).out
    assert "sealed to a kit nobody saved" in said
    assert "keep it" not in said
    assert "made without the old kit" not in said


@pytest.mark.parametrize(("file", "code"), [("another.txt", 33), ("missing.txt", 19)])
def test_a_kit_that_is_not_the_present_one_renews_nothing(run: Type, file: str, code: int) -> None:
    done(run("init --kit another.txt --home another"))
    done(run("init --kit kit.txt"))
    before = done(run("status --json")).json
    assert run(f"kit new --kit {file}").code == code
    assert done(run("status --json")).json == before


def test_a_vault_without_a_kit_says_so_when_its_first_is_made(run: Type) -> None:
    done(run("init --no-kit"))
    assert run("kit new --kit -", "junk\n").code == 33
    said = done(run("kit new")).out
    assert "made without the old kit" in said
    assert "backups" not in said


@pytest.mark.parametrize("answers", ["", "\n", "yes\n", "y\n"])
def test_nothing_is_destroyed_unconfirmed(run: Type, answers: str) -> None:
    done(run("init"))
    said = run("destroy", answers)
    assert said.code == 2
    assert "keyferry destroy --yes" in said.err
    done(run("status"))


@pytest.mark.parametrize(("line", "answers"), [("destroy", "destroy\n"), ("destroy --yes", "")])
def test_a_confirmed_vault_is_destroyed(run: Type, ring: FileRing, tmp_path: Path, line: str, answers: str) -> None:
    done(run("init"))
    assert f"destroyed the vault in {tmp_path}/home" in done(run(line, answers)).out
    assert run("status").code == 21
    assert run(line, answers).code == 21
    assert ring.entries() == {}
    done(run("init"))


def test_an_old_file_put_back_is_told_and_can_be_accepted(run: Type, tmp_path: Path) -> None:
    done(run("init"))
    done(run("kit save kit.txt"))
    old = (tmp_path / "home" / "vault.db").read_bytes()
    done(run("kit check kit.txt"))
    (tmp_path / "home" / "vault.db").write_bytes(old)
    assert "older than" in done(run("status")).err
    assert run("kit new").code == 27
    found = run("doctor --json")
    assert found.code == 5
    assert "older" in found.json["findings"][0]["what"]
    assert done(run("doctor --accept-older --json")).json == {"accepted_older": True, "findings": []}
    done(run("kit new"))


def test_the_doctor_finds_wrong_rights_and_a_missing_file(run: Type, tmp_path: Path) -> None:
    done(run("init"))
    assert done(run("doctor")).out == "the vault is in order\n"
    (tmp_path / "home" / "vault.db").chmod(0o644)
    (tmp_path / "home" / "vault.recovery.age").unlink()
    said = run("doctor")
    assert said.code == 5
    assert "chmod 600" in said.out
    assert "vault.recovery.age is missing" in said.out


def test_no_command_shows_a_secret_unasked(run: Type, ring: FileRing, tmp_path: Path) -> None:
    """Everything said by every command, against the kit, the vault key and the passphrase."""
    said = [done(run("init --kit kit.txt"))]
    kit = parse((tmp_path / "kit.txt").read_text())
    (key,) = (text for name, text in ring.entries().items() if "/" not in name)
    assert len(key) == 44
    lines = ["status", "status --json", "kit check kit.txt", "doctor", "key move --key-file k", "key rotate"]
    said += [done(run(line)) for line in lines]
    said += [done(run("key move --passphrase", "open sesame\n")), run("status", "open says me\n")]
    said += [run("unlock --kit k"), done(run("destroy --yes"))]
    text = "".join(one.out + one.err for one in said)
    for secret in (kit.identity[20:40], key, "open sesame", "open says me", "AGE-SECRET-KEY-1Q"):
        assert secret.lower() not in text.lower()
