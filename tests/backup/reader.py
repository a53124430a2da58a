"""Restores a backup with nothing of Keyferry: the age program and Python's standard library (docs/backup-format.md).

python reader.py BACKUP IDENTITY-FILE ROOT-KEY FOLDER        the root key in hexadecimal
"""

import hashlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

P, L = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P


def must(holds, words):
    if not holds:
        raise ValueError(words)


def unpacked(data):
    parts = []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        must(4 <= end <= len(data), "a part is cut off")
        parts.append(data[4:end])
        data = data[end:]
    return parts


def point(data):  # Ed25519, RFC 8032, section 5.1
    y, odd = int.from_bytes(data, "little") & (1 << 255) - 1, data[31] >> 7
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    x = x if (x * x - square) % P == 0 else x * pow(2, (P - 1) // 4, P) % P
    must(len(data) == 32 and y < P and (x * x - square) % P == 0 and (x or not odd), "not a point")
    x = x if x & 1 == odd else P - x
    return x, y, 1, x * y % P


def add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]), (p[1] + p[0]) * (q[1] + q[0])
    c, d = 2 * p[3] * q[3] * D, 2 * p[2] * q[2]
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, p):
    q = (0, 1, 1, 0)
    while number:
        q = add(q, p) if number & 1 else q
        p, number = add(p, p), number >> 1
    return q


def check_signature(key, body, signature):
    s = int.from_bytes(signature[32:], "little")
    h = int.from_bytes(hashlib.sha512(signature[:32] + key + body).digest(), "little") % L
    p, q = times(s, point(bytes([88] + [102] * 31))), add(point(signature[:32]), times(h, point(key)))
    same = (p[0] * q[2] - q[0] * p[2]) % P == 0 == (p[1] * q[2] - q[1] * p[2]) % P
    must(len(signature) == 64 and s < L and same, "a signature does not hold")


Q = 2**23 - 2**13 + 1  # ML-DSA-65, FIPS 204
ROOTS = [pow(1753, int(f"{one:08b}"[::-1], 2), Q) for one in range(256)]


def ntt(poly):  # algorithm 41
    poly, step, at = [*poly], 128, 0
    while step:
        for start in range(0, 256, 2 * step):
            at += 1
            for j in range(start, start + step):
                far = ROOTS[at] * poly[j + step] % Q
                poly[j], poly[j + step] = (poly[j] + far) % Q, (poly[j] - far) % Q
        step //= 2
    return poly


def from_ntt(poly):  # algorithm 42
    poly, step, at = [*poly], 1, 256
    while step < 256:
        for start in range(0, 256, 2 * step):
            at -= 1
            for j in range(start, start + step):
                near, far = poly[j], poly[j + step]
                poly[j], poly[j + step] = (near + far) % Q, ROOTS[at] * (far - near) % Q
        step *= 2
    return [one * pow(256, -1, Q) % Q for one in poly]


def numbers(data, bits):
    whole = int.from_bytes(data, "little")
    return [whole >> at & (1 << bits) - 1 for at in range(0, 8 * len(data), bits)]


def uniform(seed):  # algorithm 30
    found = (one & 0x7FFFFF for one in numbers(hashlib.shake_128(seed).digest(1344), 24))
    return [one for one in found if one < Q][:256]


def challenge(seed):  # algorithm 29
    data, poly = hashlib.shake_256(seed).digest(512), [0] * 256
    signs, at = int.from_bytes(data[:8], "little"), 8
    for i in range(207, 256):
        while data[at] > i:
            at += 1
        poly[i], poly[data[at]] = poly[data[at]], 1 - 2 * (signs & 1)
        signs, at = signs >> 1, at + 1
    return poly


def high(value, hint):  # algorithm 40, the parts of a multiple of 523,776
    low = (value + 261888) % 523776 - 261888
    top, low = (0, low - 1) if value - low == Q - 1 else ((value - low) // 523776, low)
    return (top + (1 if low > 0 else -1)) % 16 if hint else top


def check_strong(key, body, signature):  # algorithm 3
    must(len(key) == 1952 and len(signature) == 3309, "not ML-DSA-65")
    mask = [[2**19 - one for one in numbers(signature[at : at + 640], 20)] for at in range(48, 3248, 640)]
    must(all(abs(one) < 2**19 - 196 for poly in mask for one in poly), "a signature is out of bounds")
    hints, ends, at = [], signature[3303:], 0
    for end in ends:
        places = list(signature[3248 + at : 3248 + end])
        must(at <= end <= 55 and places == sorted(set(places)), "a hint that is none")
        at, hints = end, [*hints, places]
    must(not signature[3248 + at : 3303].strip(b"\0"), "a hint that is none")
    seed = hashlib.shake_256(hashlib.shake_256(key).digest(64) + bytes(2) + body).digest(64)
    small, mask, packed = ntt(challenge(signature[:48])), [ntt(poly) for poly in mask], 0
    for row in range(6):
        high_key = ntt([one << 13 for one in numbers(key[32 + 320 * row : 352 + 320 * row], 10)])
        wide = [uniform(key[:32] + bytes([column, row])) for column in range(5)]
        sums = [sum(a[i] * z[i] for a, z in zip(wide, mask, strict=True)) - small[i] * high_key[i] for i in range(256)]
        for i, value in enumerate(from_ntt([one % Q for one in sums])):
            packed |= high(value, i in hints[row]) << 4 * (256 * row + i)
    must(hashlib.shake_256(seed + packed.to_bytes(768, "little")).digest(48) == signature[:48], "it does not hold")


def check_both(key, strong, body, signature):
    must(len(signature) == (3373 if strong else 64), "a signature too few, or too many")
    check_signature(key, body, signature[:64])
    if strong:
        check_strong(strong, body, signature[64:])


def members_of(chain, root):
    """Return the signing keys of the devices at the end of the chain, with their ids; ``root`` must be its newest."""
    now, head, members, strong = b"", b"", {}, {}
    for entry in chain:
        body, signers, signatures = unpacked(entry)
        signers = unpacked(signers)
        namespace, kind, _, *rest = unpacked(body)
        form = namespace.removeprefix(b"keyferry/membership/")
        must(form in (b"1", b"2") and (kind == b"genesis") == (entry is chain[0]), "not an entry")
        if kind in (b"genesis", b"enrol"):
            _, own, _, _, _, _, *more = unpacked(rest[-1])
            strong.setdefault(own, b"".join(more))
        if form == b"2" and kind in (b"genesis", b"root"):
            at = 0 if kind == b"genesis" else 3
            strong.setdefault(rest[at], rest.pop(at + 1))
        must(form == b"2" or not any(strong.get(one) for one in signers), "an entry of the old form")
        for signer, signature in zip(signers, unpacked(signatures), strict=True):
            check_both(signer, strong.get(signer), body, signature)
        if kind == b"genesis":
            now, _, bundle = rest
        else:
            must(rest[:2] == [hashlib.sha256(chain[0]).digest()[:16], head], "it does not follow")
            old, now = (now, rest[3]) if kind == b"root" else (now, now)
            bundle = rest[3] if kind == b"enrol" else b""
            must(signers[0] in {now, *members}, "signed by a stranger")
            must(kind != b"root" or (rest[2] == old and signers[0] == now and signers[1] in members), "no new root")
            members = {key: own for key, own in members.items() if kind != b"revoke" or own != rest[2]}
        if bundle:
            must(signers[1] == unpacked(bundle)[1], "a device did not sign")
            members[signers[1]] = hashlib.sha256(bundle).digest()[:16]
        head = hashlib.sha256(entry).digest()
    must(now == root, "another kit's")
    return members


def read(backup, identity, root):
    """Return the manifest and the parts by name; raises ``ValueError`` or what the modules raise."""
    opened = subprocess.run(["age", "-d", "-i", identity, backup], capture_output=True, check=True).stdout
    step = 4096
    while step < len(opened):
        step += step // 20
    with zipfile.ZipFile(io.BytesIO(opened)) as file:
        parts = {one.filename: file.read(one) for one in file.infolist()}
        must(len(parts) == len(file.infolist()), "a file is there twice")
    namespace, signature, key, *chain = unpacked(parts["manifest.sig"])
    members, manifest = members_of(chain, root), json.loads(parts["manifest.json"])
    signed = [b"keyferry/backup/1", parts["manifest.json"]]
    check_signature(key, b"".join(len(one).to_bytes(4, "big") + one for one in signed), signature)
    must(namespace == b"keyferry/statement/1" and members[key].hex() == manifest["device"], "signed by a stranger")
    must(manifest["min_reader"] == 1 and manifest["critical"] == [], "a newer format")
    names = ["manifest.json", "manifest.sig", *(part["name"] for part in manifest["members"]), "padding"]
    must(list(parts) == names, "a file too many or too few")
    must(len(opened) == step and not parts["padding"].strip(b"\0"), "not padded")
    for part in manifest["members"]:
        must(hashlib.sha256(parts[part["name"]]).hexdigest() == part["sha256"], "a part is damaged")
    return manifest, {name: parts[name] for name in names[2:-1]}


if __name__ == "__main__":
    for name, content in read(sys.argv[1], sys.argv[2], bytes.fromhex(sys.argv[3]))[1].items():
        path = Path(sys.argv[4]) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(json.dumps(json.loads(content), indent=1).encode() if name.endswith(".json") else content)
