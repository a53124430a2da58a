"""Tokens as text: what is read from it, and that it can be written back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vault.canonical import canonical, decode_item, encode
from vault.model import Item, Totp
from vault.otp import code, parse, same_codes, steam_uri, text_of, uri
from vault.secret import Secret

KEY = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"
YANDEX_KEY = "6SB2IKNM6OBZPAVBVTOHDKS4FAAAAAAADFUTQMBTRY"


def shown(totp: Totp) -> dict[str, Any]:
    """The members that differ from the defaults, the secret only where it is not ours."""
    members = {name: getattr(totp, name) for name in totp.__struct_fields__ if name not in ("source", "extra")}
    plain = {name: value.reveal() if isinstance(value, Secret) else value for name, value in members.items()}
    usual = Totp(secret=Secret(KEY))
    return {k: v for k, v in plain.items() if v != (KEY if k == "secret" else getattr(usual, k))}


ACME = {"issuer": "ACME", "username": "ann"}
STEAM = {"kind": "steam", "digits": 5}
READINGS: list[tuple[str, dict[str, Any]]] = [
    # bare
    (KEY, {}),
    ("gezd gnbv gy3t qojq gezd gnbv gy3t qojq", {}),
    (f"{KEY}======", {}),
    (f" {KEY}\r\n", {}),
    ("JBSWY3DPEHPK3PXP", {"secret": "JBSWY3DPEHPK3PXP"}),
    ("jbswy3dp-ehpk3pxp", {"secret": "JBSWY3DPEHPK3PXP"}),
    # the rules
    (f"otpauth://totp/ACME:ann?secret={KEY}&issuer=ACME&algorithm=SHA1&digits=6&period=30", ACME),
    (f"otpauth://totp/ACME:ann?secret={KEY}", ACME),
    (f"otpauth://totp/ann?secret={KEY}&issuer=ACME", ACME),
    (f"otpauth://totp/ACME%3Aann?secret={KEY}", ACME),
    (f"otpauth://totp/ACME:%20ann?secret={KEY}&issuer=ACME", ACME),
    (f"otpauth://totp/:ann?secret={KEY}", {"username": "ann"}),
    (f"otpauth://totp/ann?secret={KEY}&issuer=", {"username": "ann"}),
    (f"otpauth://totp/ACME?secret={KEY}&issuer=ACME", {"issuer": "ACME"}),
    (f"otpauth://totp/ann?secret={KEY}&digits=8&period=60&algorithm=SHA512",
     {"username": "ann", "digits": 8, "period": 60, "algorithm": "sha512"}),
    (f"otpauth://hotp/ACME:ann?secret={KEY}&counter=7", ACME | {"kind": "hotp", "counter": 7}),
    (f"otpauth://hotp/ACME:ann?secret={KEY}&period=30", ACME | {"kind": "hotp", "counter": 0}),
    (f"otpauth://hotp/ACME:ann?secret={KEY}&counter=18446744073709551615",
     ACME | {"kind": "hotp", "counter": 2**64 - 1}),
    # an issuer of the label that differs
    (f"otpauth://totp/Other:ann?secret={KEY}&issuer=ACME", ACME | {"parameters": {"label_issuer": "Other"}}),
    # spelling
    (f"OTPAUTH://TOTP/ACME:ann?SECRET={KEY}&Issuer=ACME", ACME),
    (f"apple-otpauth://totp/ACME:ann?secret={KEY}&issuer=ACME", ACME),
    ("otpauth://totp/ACME:ann?secret=gezd%20gnbv gy3t+qojqgezdgnbvgy3tqojq%3D%3D&issuer=ACME", ACME),
    # the malformed of the dossier's table
    (f"otpauth://totp/My%20Bank:ann?secret={KEY}&issuer=My+Bank", {"issuer": "My Bank", "username": "ann"}),
    (f"otpauth://totp/My+Bank:ann?secret={KEY}&issuer=My+Bank", {"issuer": "My Bank", "username": "ann"}),
    (f"otpauth://totp/My+Bank:ann+shop@example.test?secret={KEY}&issuer=My+Bank",
     {"issuer": "My Bank", "username": "ann+shop@example.test"}),
    (f"otpauth://totp/ACME:ann+shop@example.test?secret={KEY}&issuer=ACME",
     {"issuer": "ACME", "username": "ann+shop@example.test"}),
    (f"otpauth://totp/My Bank:ann smith?secret={KEY}&issuer=My Bank", {"issuer": "My Bank", "username": "ann smith"}),
    (f"otpauth://totp/Gitea: home:ann?secret={KEY}&issuer=Gitea: home", {"issuer": "Gitea: home", "username": "ann"}),
    (f"otpauth://totp/Gitea%3A%20home:ann?secret={KEY}&issuer=Gitea%3A%20home",
     {"issuer": "Gitea: home", "username": "ann"}),
    (f"otpauth://totp/ACME:ann#2?secret={KEY}&issuer=ACME", {"issuer": "ACME", "username": "ann#2"}),
    (f"otpauth://totp/Who?:ann?secret={KEY}", {"issuer": "Who?", "username": "ann"}),
    (f"otpauth://totp/ann?secret={KEY}&issuer", {"username": "ann"}),
    (f"otpauth://totp/Tom & Joe:ann?secret={KEY}&issuer=Tom & Joe", {"issuer": "Tom & Joe", "username": "ann"}),
    (f"otpauth://totp/ann?secret={KEY}&issuer=ACMEperiod=60&digits=8", ACME | {"period": 60, "digits": 8}),
    (f"otpauth://totp/ann?secret={KEY}&amp;issuer=ACME", ACME),
    (f"otpauth://totp/ann?secret={KEY}&algorithm=Algorithm.sha256", {"username": "ann", "algorithm": "sha256"}),
    (f"otpauth://totp/ann?secret={KEY}&algorithm=HmacSHA256", {"username": "ann", "algorithm": "sha256"}),
    (f"otpauth://totp/ann?secret={KEY}&algorithm=HMAC-SHA-512", {"username": "ann", "algorithm": "sha512"}),
    (f"otpauth://totp/ann?secret={KEY}&algorithm=sha256", {"username": "ann", "algorithm": "sha256"}),
    (f"otpauth://totp/ann?secret={KEY}&algorithm=MD5", {"username": "ann", "algorithm": "md5"}),
    (f"otpauth://totp/ann?secret={KEY}&algorithm=null&digits=null&period=0", {"username": "ann"}),
    (f"otpauth://totp/ann?secret={KEY}&digits=&period=", {"username": "ann"}),
    (f"otpauth://totp/ann?secret={KEY}&digits=7.0", {"username": "ann", "digits": 7}),
    (f"otpauth://totp/R%26amp%3BD:ann?secret={KEY}&issuer=R%26D", {"issuer": "R&D", "username": "ann"}),
    (f"otpauth://totp/ann?secret={KEY}&digits=undefined", {"username": "ann"}),
    (f"otpauth://totp/ann?secret={KEY}&secret=JBSWY3DPEHPK3PXP&x=1&x=2", {"username": "ann", "parameters": {"x": "1"}}),
    (f"otpauth://totp/ann?&secret={KEY}", {"username": "ann"}),
    (f"otpauth://totp/ann?issuer=ACME&digits&secret={KEY}", ACME),
    (f"otpauth://totp/?secret={KEY}", {}),
    (f"otpauth://totp?secret={KEY}", {}),
    (f"otpauth%3A%2F%2Ftotp%2FACME%3Aann%3Fsecret%3D{KEY}%26issuer%3DACME", ACME),
    (f"otpauth://totp/ann?secret={KEY}&image=https%3A%2F%2Fx.test%2Fi.png&lock=true&icon=acme",
     {"username": "ann", "parameters": {"image": "https://x.test/i.png", "lock": "true", "icon": "acme"}}),
    (f"otpauth://totp/caf%E9:ann?secret={KEY}", {"issuer": "caf\u00e9", "username": "ann"}),
    # Steam
    (f"steam://{KEY}", STEAM),
    (f"otpauth://steam/Steam:ann?secret={KEY}&digits=5", STEAM | {"issuer": "Steam", "username": "ann"}),
    (f"otpauth://totp/Game:ann?secret={KEY}&period=30&digits=5&issuer=Game&encoder=steam",
     STEAM | {"issuer": "Game", "username": "ann"}),
    (f"otpauth://totp/Game:ann?secret={KEY}&issuer=Game&steam", STEAM | {"issuer": "Game", "username": "ann"}),
    (f"otpauth://totp/Steam:ann?secret={KEY}", STEAM | {"issuer": "Steam", "username": "ann"}),
    (f"otpauth://totp/Steam:ann?secret={KEY}&digits=5", STEAM | {"issuer": "Steam", "username": "ann"}),
    (f"otpauth://totp/Steam:ann?secret={KEY}&digits=6", {"issuer": "Steam", "username": "ann"}),
    # Yandex, mOTP
    (f"otpauth://yaotp/Yandex:ann?secret={YANDEX_KEY}&pin=GUZDGOI",
     {"kind": "yandex", "secret": YANDEX_KEY, "pin": "5239", "digits": 8, "algorithm": "sha256",
      "issuer": "Yandex", "username": "ann"}),
    (f"otpauth://yaotp/ann?secret={YANDEX_KEY}&pin_length=4",
     {"kind": "yandex", "secret": YANDEX_KEY, "digits": 8, "algorithm": "sha256", "username": "ann",
      "parameters": {"pin_length": "4"}}),
    ("motp://ACME:ann?secret=E3152AFEE62599C8",
     ACME | {"kind": "motp", "secret": "e3152afee62599c8", "period": 10, "algorithm": "md5"}),
    # KeeOtp
    (f"key={KEY}", {}),
    (f"key={KEY}&size=8&step=60&otpHashMode=SHA256", {"digits": 8, "period": 60, "algorithm": "sha256"}),
    (f"key={KEY}%3d%3d&type=Hotp&counter=3", {"kind": "hotp", "counter": 3}),
    ("key=3132333435363738393031323334353637383930&encoding=Hex", {}),
    ("step=30&key=MTIzNDU2Nzg5MDEyMzQ1Njc4OTA=&encoding=Base64", {}),
    ("key=12345678901234567890&encoding=UTF8&x=y", {"parameters": {"x": "y"}}),
]  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), READINGS)
def test_a_text_means_what_its_writer_meant(text: str, expected: dict[str, Any]) -> None:
    assert shown(parse(text)) == expected


@pytest.mark.parametrize("text", [text for text, _ in READINGS])
def test_every_text_is_written_back_letter_by_letter(text: str) -> None:
    totp = parse(text)
    assert text_of(totp) == text
    stored = decode_item(encode(Item(id="a", credentials=(totp,)))).credentials[0]
    assert text_of(stored) == text


@pytest.mark.parametrize("text", [text for text, _ in READINGS])
def test_the_canonical_form_gives_the_same_codes(text: str) -> None:
    totp = parse(text)
    again = parse(uri(totp))
    assert shown(again) == shown(totp)
    assert same_codes(totp, again)


def test_the_canonical_secret_alone_needs_no_source() -> None:
    assert parse(KEY).source is None
    assert parse(KEY.lower()).source == Secret(KEY.lower())
    assert parse(f"steam://{KEY}").source == Secret(f"steam://{KEY}")


def test_a_stated_default_is_no_difference_in_canonical_form() -> None:
    stated = replace(parse(f"otpauth://totp/?secret={KEY}&algorithm=sha1&digits=6&period=30"), source=None)
    assert canonical(stated) == canonical(parse(KEY))


def test_a_misread_letter_is_repaired_in_the_secret_and_kept_in_the_source() -> None:
    text = KEY.replace("O", "0")
    assert parse(text).secret == Secret(KEY)
    assert text_of(parse(text)) == text


def test_a_changed_token_is_written_anew() -> None:
    totp = parse(f"otpauth://hotp/ACME:ann?secret={KEY}&counter=7&lock=true")
    assert text_of(replace(totp, counter=8)) == (
        f"otpauth://hotp/ACME:ann?secret={KEY}&issuer=ACME&algorithm=SHA1&digits=6&counter=8&lock=true"
    )
    assert text_of(replace(parse(KEY.lower()), secret=Secret("JBSWY3DPEHPK3PXP"))) == "JBSWY3DPEHPK3PXP"
    assert text_of(replace(parse(KEY.lower()), source=Secret("spoiled!"))) == KEY


def test_where_a_token_stood_does_not_change_its_text() -> None:
    totp = replace(parse(KEY.lower()), label="second code", extra={"id": "x"})
    assert text_of(totp) == KEY.lower()
    assert text_of(replace(totp, source=None)) == KEY


def test_the_canonical_uri_says_everything() -> None:
    totp = Totp(secret=Secret(KEY), issuer="R&D: a+b", username="ann@example.test")
    assert uri(totp) == (
        f"otpauth://totp/R%26D%3A%20a%2Bb:ann%40example.test?secret={KEY}"
        "&issuer=R%26D%3A%20a%2Bb&algorithm=SHA1&digits=6&period=30"
    )
    assert text_of(replace(totp, issuer=None, username=None)) == KEY


def test_each_kind_has_its_uri() -> None:
    steam = Totp(secret=Secret(KEY), kind="steam", digits=5, issuer="Steam", username="ann")
    assert uri(steam) == (
        f"otpauth://steam/Steam:ann?secret={KEY}&issuer=Steam&algorithm=SHA1&digits=5&period=30&encoder=steam"
    )
    assert steam_uri(steam) == f"steam://{KEY}"
    assert code(parse(steam_uri(steam)), 59) == "PV9M4"
    motp = Totp(secret=Secret("e3152afee62599c8"), kind="motp", period=10, algorithm="md5", username="ann")
    assert uri(motp) == "motp://ann?secret=e3152afee62599c8"
    yandex = Totp(secret=Secret(YANDEX_KEY), kind="yandex", digits=8, algorithm="sha256", pin=Secret("5239"))
    assert uri(yandex) == f"otpauth://yaotp/?secret={YANDEX_KEY}&algorithm=SHA256&digits=8&period=30&pin=GUZDGOI"


@pytest.mark.parametrize(
    "totp",
    [
        Totp(secret=Secret(KEY), issuer="Steam", digits=5),
        Totp(secret=Secret(KEY), username="a:b"),
        Totp(secret=Secret(KEY), issuer="a", username="b:c"),
        Totp(secret=Secret(KEY), issuer="a:b", username="c"),
        Totp(secret=Secret(KEY), issuer="R&amp;D", username="&#39;"),
    ],
)
def test_a_name_that_looks_like_a_sign_is_still_only_a_name(totp: Totp) -> None:
    assert shown(parse(uri(totp))) == shown(totp)


def test_a_pin_is_read_as_base32_or_as_it_is() -> None:
    for written in ("GUZDGOI", "5239"):
        totp = parse(f"otpauth://yaotp/ann?secret={YANDEX_KEY}&pin={written}")
        assert code(totp, 1641559648) == "umozdicq"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "password 1!",
        "otpauth://",
        "otpauth://totp/ann",
        "otpauth://totp/ann?secret=",
        "otpauth://totp/ann?secret=!!!!",
        f"otpauth://battle/ann?secret={KEY}",
        f"otpauth://totp/ann?secret={KEY}&digits=six",
        f"otpauth://totp/ann?secret={KEY}&digits=11",
        f"otpauth://totp/ann?secret={KEY}&period=-30",
        f"otpauth://totp/ann?secret={KEY}&period=" + "9" * 5000,
        "otpauth-migration://offline?data=CgYKBAECAwQ%3D",
        "steam://open/friends",
        "steam://",
        "motp://ann?secret=xyz",
        "motp://ann?secret=",
        "key=&step=30",
        f"key={KEY}&encoding=rot13",
        f"key={KEY}&type=battle",
        "key=!&encoding=Base64",
        "https://example.test/?secret=" + KEY,
        "30;6",
    ],
)
def test_what_is_no_token_is_refused_without_saying_what_it_was(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse(text)
    assert str(caught.value) == "not a one-time code secret or otpauth address"
    assert caught.value.__suppress_context__


words = st.text(st.characters(), max_size=15).map(str.strip)
names = st.one_of(words, st.sampled_from(["Steam", "a:b", "a%3Ab", "R&amp;D", "&#39;", "a+b", "#1", "?secret=x", "/x"]))
RESERVED = {"", "secret", "issuer", "algorithm", "digits", "period", "counter", "pin", "encoder", "steam"}
keys = st.binary(min_size=1, max_size=40)
numbers = st.integers(1, 2**64 - 1)


@st.composite
def canonical_tokens(draw: st.DrawFn) -> Totp:
    import base64

    kind = draw(st.sampled_from(["totp", "hotp", "steam", "yandex", "motp"]))
    key = draw(keys)
    return Totp(
        kind=kind,
        secret=Secret(key.hex() if kind == "motp" else base64.b32encode(key).decode().rstrip("=")),
        period=draw(st.one_of(st.just(30), numbers)),
        digits=draw(st.integers(1, 10)),
        algorithm=draw(st.sampled_from(["sha1", "sha256", "sha512", "md5"])),
        issuer=draw(names) or None,
        username=draw(names) or None,
        counter=draw(numbers if kind == "hotp" else st.one_of(st.none(), st.just(0), numbers)),
        pin=draw(st.one_of(st.none(), st.builds(Secret, st.text("0123456789ABCabc -é", min_size=1, max_size=8)))),
        parameters={k: v for k, v in draw(st.dictionaries(words, names, max_size=3)).items() if k not in RESERVED},
    )


@given(canonical_tokens())
def test_every_token_comes_back_from_its_uri(totp: Totp) -> None:
    again = parse(uri(totp))
    assert again.source == Secret(uri(totp))
    assert shown(again) == shown(totp)
    assert shown(parse(text_of(totp))) == shown(totp)


pieces = st.sampled_from(
    ["otpauth://", "totp", "hotp", "steam", "motp", "yaotp", "/", ":", "?", "&", "=", "secret=", "issuer=", "digits=",
     "period=", "counter=", "key=", "encoding=", "Hex", "pin=", "%", "%3A", "%ED%A0%80", "%FF", "+", "#", "amp;", KEY,
     "GEZDGNBV", "6", "null", "-1", "1.0", "Steam", "encoder=", "decimal", "&steam", "\ud800", "\x00", " ", "é"]
)  # fmt: skip


@given(st.one_of(st.text(st.characters(), max_size=40), st.lists(pieces, max_size=14).map("".join)))
def test_any_text_is_a_token_that_can_be_written_back_or_a_plain_refusal(text: str) -> None:
    try:
        totp = parse(text)
    except ValueError as refused:
        assert type(refused) is ValueError
        return
    assert text_of(totp) == text
    assert same_codes(totp, parse(uri(totp)))
    assert "****" in repr(totp) and KEY not in repr(totp)


def test_a_long_text_is_refused_at_once() -> None:
    """Three hundred thousand characters of the worst kind take no quadratic time; a hang would show."""
    for text in (
        "=" * 300_000 + "!",
        "A=&" * 100_000,
        "?" * 300_000,
        "otpauth://totp/" + "?a" * 150_000,
        "%3D" * 99_999,
        "a:" * 150_000,
    ):
        with pytest.raises(ValueError):
            parse(text)
