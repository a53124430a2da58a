"""The second opinion of oathtool on every kind of plain code."""

import random
import shutil
import subprocess

import pytest

from vault.base32 import encode_secret
from vault.model import Totp
from vault.otp import code, parse, uri
from vault.secret import Secret


@pytest.fixture(scope="module")
def oathtool() -> str:
    path = shutil.which("oathtool")
    if path is None:
        pytest.skip("needs oathtool")
    return path


def ask(oathtool: str, totp: Totp, at: int) -> str:
    kind = ["--hotp", f"--counter={totp.counter}"] if totp.kind == "hotp" else [
        f"--totp={totp.algorithm}", f"--time-step-size={totp.period}s", f"--now=@{at}"
    ]  # fmt: skip
    command = [oathtool, *kind, f"--digits={totp.digits}", "--base32", "-"]
    answer = subprocess.run(command, input=totp.secret.reveal(), capture_output=True, text=True, check=True)
    return answer.stdout.strip()


def tokens(count: int) -> list[tuple[Totp, int]]:
    chance = random.Random(6238)
    made = []
    for number in range(count):
        totp = Totp(
            kind="hotp" if number % 5 == 4 else "totp",
            secret=Secret(encode_secret(chance.randbytes(chance.choice([1, 5, 10, 13, 14, 16, 20, 32, 64, 70])))),
            digits=chance.choice([6, 7, 8]),
            period=chance.choice([30, 60]),
            algorithm="sha1" if number % 5 == 4 else chance.choice(["sha1", "sha256", "sha512"]),
            counter=chance.randrange(2**40) if number % 5 == 4 else None,
        )
        made.append((totp, chance.randrange(4_000_000_000)))
    return made


def test_oathtool_gives_the_same_codes(oathtool: str) -> None:
    for totp, at in tokens(250):
        assert code(totp, at) == ask(oathtool, totp, at), (totp, at)


def test_oathtool_gives_the_same_codes_after_a_way_through_the_uri(oathtool: str) -> None:
    for totp, at in tokens(50):
        assert code(parse(uri(totp)), at) == ask(oathtool, totp, at), (totp, at)
