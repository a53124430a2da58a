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


def members_of(chain, root):
    """Return the signing keys of the devices at the end of the chain, with their ids; ``root`` must be its newest."""
    now, head, members = b"", b"", {}
    for entry in chain:
        body, signers, signatures = unpacked(entry)
        signers = unpacked(signers)
        for signer, signature in zip(signers, unpacked(signatures), strict=True):
            check_signature(signer, body, signature)
        namespace, kind, _, *rest = unpacked(body)
        must(namespace == b"keyferry/membership/1" and (kind == b"genesis") == (entry is chain[0]), "not an entry")
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
