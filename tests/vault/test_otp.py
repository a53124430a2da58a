"""Codes against published vectors, and the comparison of tokens by their codes."""

import hashlib
import hmac
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from vault import otp
from vault.errors import NoCode
from vault.model import Totp
from vault.secret import Secret

KEY = otp.encode_secret(b"12345678901234567890")
KEYS = {
    "sha1": KEY,
    "sha256": otp.encode_secret(b"12345678901234567890123456789012"),
    "sha512": otp.encode_secret(b"1234567890123456789012345678901234567890123456789012345678901234"),
}
RFC6238 = [
    (59, "94287082", "46119246", "90693936"),
    (1111111109, "07081804", "68084774", "25091201"),
    (1111111111, "14050471", "67062674", "99943326"),
    (1234567890, "89005924", "91819424", "93441116"),
    (2000000000, "69279037", "90698825", "38618901"),
    (20000000000, "65353130", "77737706", "47863826"),
]
RFC4226 = ["755224", "287082", "359152", "969429", "338314", "254676", "287922", "162583", "399871", "520489"]
YANDEX = Totp(kind="yandex", secret=Secret("6SB2IKNM6OBZPAVBVTOHDKS4FAAAAAAADFUTQMBTRY"), pin=Secret("5239"), digits=8)
MOTP = Totp(kind="motp", secret=Secret("e3152afee62599c8"), pin=Secret("1234"), period=10, algorithm="md5")


def token(secret: str = KEY, **members: Any) -> Totp:
    return Totp(secret=Secret(secret), **members)


@pytest.mark.parametrize(("at", "sha1", "sha256", "sha512"), RFC6238)
def test_totp_agrees_with_rfc_6238(at: int, sha1: str, sha256: str, sha512: str) -> None:
    for algorithm, expected in (("sha1", sha1), ("sha256", sha256), ("sha512", sha512)):
        assert otp.code(token(KEYS[algorithm], algorithm=algorithm, digits=8), at) == expected


@pytest.mark.parametrize("counter", range(10))
def test_hotp_agrees_with_rfc_4226_whatever_the_time(counter: int) -> None:
    assert otp.code(token(kind="hotp", counter=counter), 1700000000) == RFC4226[counter]


def test_hotp_without_a_counter_begins_at_zero() -> None:
    assert otp.code(token(kind="hotp"), 0) == RFC4226[0]


@pytest.mark.parametrize(("at", "expected"), [(59, "PV9M4"), (1111111109, "PY4YB"), (1234567890, "VHHQY")])
def test_steam_writes_five_letters_whatever_digits_say(at: int, expected: str) -> None:
    assert otp.code(token(kind="steam", digits=5), at) == expected
    assert otp.code(token(kind="steam", digits=6, period=60, algorithm="sha256"), at) == expected


def test_yandex_and_motp_agree_with_the_vectors_of_aegis() -> None:
    assert otp.code(YANDEX, 1641559648) == "umozdicq"
    assert otp.code(MOTP, 165892298) == "e7d8b6"
    assert otp.code(replace(MOTP, period=30), 165892298) == "e7d8b6"


def test_yandex_uses_only_the_first_sixteen_bytes_of_the_secret() -> None:
    short = otp.encode_secret(otp.decode_secret(YANDEX.secret.reveal())[:16])
    assert otp.code(replace(YANDEX, secret=Secret(short)), 1641559648) == "umozdicq"


def test_yandex_drops_a_zero_at_the_start_of_its_key() -> None:
    secret = otp.decode_secret(YANDEX.secret.reveal())[:16]
    pin = next(f"{n:04d}" for n in range(10_000) if hashlib.sha256(f"{n:04d}".encode() + secret).digest()[0] == 0)
    mac = hmac.digest(hashlib.sha256(pin.encode() + secret).digest()[1:], (50).to_bytes(8, "big"), "sha256")
    at = mac[31] % 16
    number = int.from_bytes(mac[at : at + 8], "big") % 2**63
    expected = "".join(chr(97 + number // 26**place % 26) for place in range(7, -1, -1))
    assert otp.code(replace(YANDEX, pin=Secret(pin)), 1500) == expected


@given(st.binary(min_size=14, max_size=64), st.integers(0, 2**64 - 1), st.integers(6, 10))
def test_our_own_computation_agrees_with_pyotp(key: bytes, counter: int, digits: int) -> None:
    """Both paths are used, for long and for short secrets, so they may not differ."""
    for algorithm in KEYS:
        through_pyotp = otp.code(
            token(otp.encode_secret(key), kind="hotp", counter=counter, digits=digits, algorithm=algorithm), 0
        )
        ours = otp._number(key, counter, otp._HASHES[algorithm], 4) % 10**digits
        assert through_pyotp == f"{ours:0{digits}d}"


def test_a_short_secret_has_a_code() -> None:
    """Eighty bits were Google's default for years; pyotp refuses them."""
    ten = "GEZDGNBVGY3TQOJQ"
    assert otp.code(token(ten), 59) == "263420"
    assert otp.code(token("ME"), 59) == otp.code(token("ME======"), 59) == "892299"


@pytest.mark.parametrize("digits", range(1, 11))
def test_every_length_is_the_end_of_the_longest(digits: int) -> None:
    longest = otp.code(token(digits=10), 59)
    assert longest.endswith("94287082")
    assert otp.code(token(digits=digits), 59) == longest[-digits:]


@pytest.mark.parametrize(
    "broken",
    [
        token("not base32!"),
        token(""),
        token(digits=0),
        token(digits=11),
        token(period=0),
        token(period=-30),
        token(algorithm="sha3"),
        token(kind="hotp", counter=-1),
        token(kind="hotp", counter=2**64),
        token(kind="battlenet"),
        token("AAAA", kind="yandex", pin=Secret("1234")),
        replace(YANDEX, pin=None),
        replace(MOTP, pin=None),
        replace(MOTP, secret=Secret("xyz")),
    ],
)
def test_a_token_without_a_code_says_so_without_its_secret(broken: Totp) -> None:
    with pytest.raises(NoCode) as caught:
        otp.code(broken, 59)
    said = caught.value.message + caught.value.hint
    assert caught.value.message and not caught.value.message.endswith(".")
    assert not broken.secret or broken.secret.reveal() not in said


def test_there_is_no_code_before_1970() -> None:
    with pytest.raises(NoCode):
        otp.code(token(), -1)


def test_an_md5_token_has_a_code_or_says_that_there_is_none_now() -> None:
    seen = set()
    for at in range(0, 6000, 30):
        try:
            seen.add(len(otp.code(token(algorithm="md5"), at)))
        except NoCode:
            seen.add(0)
    assert seen == {0, 6}


def test_seconds_left_counts_down_to_one_and_starts_again() -> None:
    assert [otp.seconds_left(token(), at) for at in (0, 1, 29, 30, 59)] == [30, 29, 1, 30, 1]
    assert otp.seconds_left(token(period=60), 59) == 1
    assert otp.seconds_left(replace(MOTP, period=30), 3) == 7
    assert otp.seconds_left(token(kind="steam", period=60), 31) == 29
    assert otp.seconds_left(token(kind="hotp", counter=3), 5) is None
    assert otp.seconds_left(token(period=0), 5) is None


texts = st.text(st.characters(), max_size=12)
any_totp = st.builds(
    Totp,
    secret=st.builds(Secret, st.one_of(texts, st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567 =-018", max_size=60))),
    kind=st.one_of(st.sampled_from(["totp", "hotp", "steam", "yandex", "motp"]), texts),
    algorithm=st.one_of(st.sampled_from(["sha1", "SHA256", "sha512", "md5"]), texts),
    digits=st.integers(-3, 14),
    period=st.integers(-5, 2**65),
    counter=st.one_of(st.none(), st.integers(-5, 2**66)),
    pin=st.one_of(st.none(), st.builds(Secret, texts)),
)


@given(any_totp, st.integers(-(2**70), 2**70))
def test_any_token_gives_a_code_or_no_code_and_nothing_else(totp: Totp, at: int) -> None:
    with suppress(NoCode):
        assert otp.code(totp, at)
    left = otp.seconds_left(totp, at)
    assert left is None or left >= 1


@given(any_totp)
def test_a_token_is_the_same_as_itself(totp: Totp) -> None:
    assert otp.same_codes(totp, replace(totp, label="other", source=None, extra={"a": 1}))


def test_tokens_are_the_same_by_codes_and_not_by_spelling() -> None:
    assert otp.same_codes(token(), token(KEY.lower() + "===", issuer="Acme", username="ann"))
    assert otp.same_codes(token(kind="steam"), token(kind="steam", digits=5))
    assert otp.same_codes(token(kind="hotp"), token(kind="hotp", counter=0, period=60))


@pytest.mark.parametrize(
    ("a", "b"),
    [
        (token(), token(digits=8)),
        (token(), token(period=60)),
        (token(), token(algorithm="sha256")),
        (token(), token(kind="steam")),
        (token(), token("GEZDGNBVGY3TQOJQ")),
        (token(), token("broken!")),
        (token(kind="hotp", counter=1), token(kind="hotp", counter=2)),
        (token(kind="hotp", counter=1), token()),
        (YANDEX, replace(YANDEX, pin=Secret("5238"))),
        (replace(YANDEX, pin=None), replace(YANDEX, pin=None, secret=Secret(KEY))),
    ],
)
def test_tokens_that_differ_in_any_number_are_not_the_same(a: Totp, b: Totp) -> None:
    assert not otp.same_codes(a, b)
    assert not otp.same_codes(b, a)


def test_one_equal_code_makes_no_equal_tokens() -> None:
    """One-digit codes agree by chance: all three must, and a counter is never a clock."""
    hotp = [token(kind="hotp", digits=1, counter=n) for n in range(3000)]
    first = otp.code(hotp[0], 0)
    alike = [one for one in hotp[1:30] if otp.code(one, 0) == first]
    assert alike
    assert not any(otp.same_codes(hotp[0], one) for one in alike)
    clock = token(digits=1)
    three = [otp.code(clock, at) for at in otp.INSTANTS]
    chance = next(n for n in range(2990) if [otp.code(one, 0) for one in hotp[n : n + 3]] == three)
    assert not otp.same_codes(clock, hotp[chance])


def test_reading_tokens_does_not_load_pyotp() -> None:
    """Listing a vault must stay fast; only a code of a long secret needs the package."""
    import subprocess
    import sys

    script = "import sys, vault.otp; vault.otp.parse('GEZDGNBV'); sys.exit('pyotp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
