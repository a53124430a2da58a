"""Reads a vault's log with nothing of Keyferry: Python's standard library and cryptography (docs/sync-protocol.md).

python reader.py FOLDER DEVICE-FILE ROOT-KEY        a folder ``keyferry-...``; the root key in hexadecimal

It prints one JSON line for each entry, in an order in which they can be applied; of a log that begins with a snapshot
first what that says of each thing. It refuses a log that does not hold.
"""

import hashlib
import hmac
import json
import sys
from base64 import b64decode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_der_private_key


def must(holds, words):
    if not holds:
        raise ValueError(words)


def packed(*parts):
    return b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def unpacked(data):
    parts = []
    while data:
        end = 4 + int.from_bytes(data[:4], "big")
        must(4 <= end <= len(data), "a part is cut off")
        parts.append(data[4:end])
        data = data[end:]
    return parts


def sha(data):
    return hashlib.sha256(data).digest()


def number(data, size):
    must(len(data) == size, "a number of another size")
    return int.from_bytes(data, "big")


def hkdf(key, info, length):  # RFC 5869, without a salt
    return expanded(hmac.digest(bytes(32), key, "sha256"), info, length)


def expanded(secret, info, length):
    out = block = b""
    for count in range(1, -(-length // 32) + 1):
        block = hmac.digest(secret, block + info + bytes([count]), "sha256")
        out += block
    return out[:length]


def hpke(sealed, mlkem, x25519, info):  # RFC 9180, base mode; KEM 0x647a: ML-KEM-768 and X25519 as in X-Wing
    lattice, point, text = sealed[:1088], sealed[1088:1120], sealed[1120:]
    private = X25519PrivateKey.from_private_bytes(x25519)
    shared = MLKEM768PrivateKey.from_seed_bytes(mlkem).decapsulate(lattice)
    shared += private.exchange(X25519PublicKey.from_public_bytes(point)) + point
    shared += private.public_key().public_bytes_raw() + bytes.fromhex("5c2e2f2f5e5c")
    shared = hashlib.sha3_256(shared).digest()
    suite = b"HPKE-v1HPKE" + bytes.fromhex("647a00010002")

    def extracted(salt, label, key):
        return hmac.digest(salt, suite + label + key, "sha256")

    none = bytes(32)
    context = b"\0" + extracted(none, b"psk_id_hash", b"") + extracted(none, b"info_hash", info)
    secret = extracted(shared, b"secret", b"")
    key = expanded(secret, b"\0\x20" + suite + b"key" + context, 32)
    nonce = expanded(secret, b"\0\x0c" + suite + b"base_nonce" + context, 12)
    return AESGCM(key).decrypt(nonce, text, b"")


def check_both(key, strong, body, signature):
    must(len(signature) == (64 + 3309 if strong else 64), "a signature too few, or too many")
    Ed25519PublicKey.from_public_bytes(key).verify(signature[:64], body)
    if strong:
        MLDSA65PublicKey.from_public_bytes(strong).verify(signature[64:], body)


def read_members(chain, root):
    """Return vault id, devices {id: [signing key, until, last]} and epochs [(commitment, {device: wrap})]."""
    now, head, devices, epochs, roots, strong = b"", b"", {}, [], set(), {}
    for place, entry in enumerate(chain):
        body, signers, signatures = unpacked(entry)
        signers = unpacked(signers)
        namespace, kind, _, *rest = unpacked(body)
        form = namespace.removeprefix(b"keyferry/membership/")
        must(form in (b"1", b"2") and (place == 0) == (kind == b"genesis"), "not a membership entry")
        if kind in (b"genesis", b"enrol"):
            own, *more = unpacked(rest[-1])[1::5]
            strong.setdefault(own, b"".join(more))
        if form == b"2" and kind in (b"genesis", b"root"):
            at = 0 if kind == b"genesis" else 3
            strong.setdefault(rest[at], rest.pop(at + 1))
        must(form == b"2" or not any(strong.get(one) for one in signers), "an entry of the old form")
        for signer, signature in zip(signers, unpacked(signatures), strict=True):
            check_both(signer, strong.get(signer), body, signature)
        alive = {key for key, until, _ in devices.values() if until is None}
        if kind == b"genesis":
            now, _, bundle = rest
            must(signers == [now, unpacked(bundle)[1]], "a first entry signed by others")
            devices, rest = {sha(bundle)[:16]: [unpacked(bundle)[1], None, None]}, []
        else:
            must(rest[:2] == [sha(chain[0])[:16], head], "it does not follow")
            rest = rest[2:]
        known = {key for key, _, _ in devices.values()} | roots
        if kind == b"root":
            must(rest[0] == now and signers[0] == rest[1] not in known and signers[1] in alive, "no new root")
            must(signers[2:] in ([], [now]), "signed by a stranger")
            now = rest[1]
        elif kind == b"enrol":
            key = unpacked(rest[1])[1]
            must(len(signers) == 2 and signers[0] in alive | {now} and signers[1] == key not in known, "no new device")
            devices[sha(rest[1])[:16]] = [key, None, None]
        elif kind == b"revoke":
            must(len(signers) == 1 and signers[0] in alive | {now} and len(alive) > 1, "signed by a stranger")
            must(devices[rest[0]][1] is None, "no device")
            devices[rest[0]][1:] = [place, (number(rest[1], 8), rest[2]) if len(rest) == 3 else (0, bytes(32))]
        elif kind == b"lost":
            must(len(signers) == 1 and signers[0] in alive | {now} and form == b"2", "signed by a stranger")
        elif kind == b"epoch":
            must(len(signers) == 1 and signers[0] in alive | {now} and len(rest[1]) == 32, "signed by a stranger")
            wraps = {one: (suite[0], data) for one, suite, data in map(unpacked, unpacked(rest[2]))}
            at = number(rest[0], 4)
            if at == len(epochs):
                epochs.append((rest[1], {}))
            must(at < len(epochs) and epochs[at][0] == rest[1] and not epochs[at][1].keys() & wraps.keys(), "no epoch")
            epochs[at][1].update(wraps)
        else:
            must(kind == b"genesis", "an unknown kind")
        roots.add(now)
        head = sha(entry)
    must(now == root, "another kit's")
    return sha(chain[0])[:16], devices, epochs


def read_epoch_key(wrap, own, keys, vault, epoch):
    """Return the key of an epoch out of its wrap for a device."""
    suite, data = wrap
    context = packed(b"keyferry/wrap/1", vault, epoch.to_bytes(4, "big"), own)
    oaep = OAEP(MGF1(SHA256()), SHA256(), context)
    rsa = load_der_private_key(keys["rsa"], None)
    if suite == 1:
        return rsa.decrypt(data, oaep)
    must(suite == 2, "an unknown suite")
    first, carried, sealed = unpacked(data)
    second = hpke(carried, keys["mlkem768"], keys["x25519"], context)
    return AESGCM(hkdf(rsa.decrypt(first, oaep) + second, context, 32)).decrypt(bytes(12), sealed, context)


def read_entry(data, vault, devices, members, keys):
    """Return the header's parts by name, and the plaintext, of one entry."""
    must(len(data) <= 1_100_000, "too long")
    header, sealed, signature = unpacked(data)
    names = "namespace suite vault epoch device seq before membership seen hlc kind salt commitment ciphertext"
    parts = unpacked(header)
    found = dict(zip(names.split(), parts, strict=True))
    must(found["namespace"] == b"keyferry/entry/1", "not an entry")
    must(found["suite"] in (b"\1", b"\2") and found["kind"] in (b"op", b"beat", b"snap"), "an unknown entry")
    must(found["vault"] == vault and found["device"] in devices, "of another vault or device")
    key, _, last = devices[found["device"]]
    Ed25519PublicKey.from_public_bytes(key).verify(signature, packed(b"keyferry/entry-signature/1", header))
    must(sha(sealed) == found["ciphertext"] and found["membership"] in members, "it does not belong here")
    found["void"] = last is not None and number(found["seq"], 8) > last[0]
    cut = [found["seen"][at : at + 56] for at in range(0, len(found["seen"]), 56)]
    found["seen"] = {one[:16]: (number(one[16:24], 8), one[24:]) for one in cut}
    must(b"".join(sorted(cut)) == b"".join(cut) and len(found["seen"]) == len(cut), "seen is out of order")
    must(found["device"] not in found["seen"], "it sees itself")
    info = packed(*(found[name] for name in ("namespace", "vault", "device", "seq", "salt")))
    both = hkdf(keys[number(found["epoch"], 4)], info, 64)
    must(hmac.compare_digest(both[32:], found["commitment"]), "sealed under another key")
    padded = AESGCM(both[:32]).decrypt(bytes(12), sealed, packed(*parts[:12]))
    size, most = number(padded[:4], 4), 4096
    while most < size + 4:
        most += most // 20
    least = -(-(size + 4) // 256) * 256 if size > 380 else 384
    must(len(padded) == (least if least <= 4096 else most) and not padded[4 + size :].strip(b"\0"), "not padded")
    return found, padded[4 : 4 + size]


def read(folder, keys, root):
    """Return [(header, plaintext)] in an order in which they can be applied; raises ``ValueError`` or the library's."""
    chain = [one.read_bytes() for one in sorted((folder / "members").iterdir())]
    vault, devices, epochs = read_members(chain, root)
    own = sha(keys["bundle"])[:16]
    epoch_keys = {
        at: read_epoch_key(wraps[own], own, keys, vault, at) for at, (_, wraps) in enumerate(epochs) if own in wraps
    }
    for at, key in epoch_keys.items():
        must(sha(b"keyferry/epoch/1" + key) == epochs[at][0], "not the key that was promised")
    members, logs, begins = {sha(one) for one in chain}, {}, {}
    for device in sorted((folder / "log").iterdir()):
        before = None
        for path in sorted(device.iterdir()):
            data = path.read_bytes()
            found, content = read_entry(data, vault, devices, members, epoch_keys)
            place = number(found["seq"], 8)
            must(path.name == f"{place:012d}-{sha(data).hex()}" and found["device"].hex() == device.name, "misnamed")
            begin = begins.setdefault(found["device"], place - 1)
            before = before or (found["before"] if begin else bytes(32))
            must(place == begin + len(logs.get(found["device"], ())) + 1, "an entry is missing")
            must(found["before"] == before, "the chain of a device is broken")
            before = sha(data)
            if not found["void"]:
                logs.setdefault(found["device"], []).append((found, content, before))
    things, cut = newest_snapshot(logs) if any(begins.values()) else ([], {})
    at = {one: max(begins[one], cut.get(one, (0, b""))[0]) for one in logs}
    must(all(begins[one] <= cut.get(one, (0, b""))[0] for one in logs), "the beginning of a log is missing")
    done = [({}, one) for one in things]
    while any(logs[one][at[one] - begins[one] :] for one in logs):
        left = {one: logs[one][at[one] - begins[one] :] for one in logs}
        ready = [one for one in logs if left[one] and seen_all(left[one][0][0]["seen"], logs, begins, at)]
        must(ready, "somebody has seen what is not here")
        done.append(left[ready[0]][0][:2])
        at[ready[0]] += 1
    return done


def newest_snapshot(logs):
    """Return the states in the newest snapshot that is closed, as texts, and how far each log is in it."""
    best = []
    for log in logs.values():
        run = []
        for found, content, _ in log:
            if run and (found["kind"] != b"snap" or found["seen"] != run[0][0]["seen"]):
                best = run if not best or run[0][0]["hlc"] > best[0][0]["hlc"] else best
                run = []
            run = [*run, (found, content.decode())] if found["kind"] == b"snap" else []
    must(best, "the beginning of a log is missing")
    states = [one for _, text in best for one in things_in(text)]
    told = json.loads(best[-1][1])["snapshot"]
    must(told == {"digest": sha(packed(*map(str.encode, states))).hex(), "things": len(states)}, "a snapshot lies")
    first = best[0][0]
    return states, {**first["seen"], first["device"]: (number(first["seq"], 8) - 1, first["before"])}


def things_in(text):
    """Return the members of the list ``things``, which comes last, as they stand in the text."""
    at, found = text.index('"things":[') + len('"things":['), []
    while text[at] != "]":
        at += text[at] == ","
        end = json.JSONDecoder().raw_decode(text, at)[1]
        found.append(text[at:end])
        at = end
    return found


def seen_all(seen, logs, begins, at):
    for device, (count, head) in seen.items():
        log, begin = logs.get(device, []), begins.get(device, 0)
        known = begin < count <= begin + len(log)
        must(not known or log[count - begin - 1][2] == head, "somebody was shown another history")
        if at.get(device, 0) < min(count, begin + len(log)):
            return False
    return True


def lines(found):
    """Yield what the program prints."""
    for header, content in found:
        if not header:
            yield content
            continue
        told = {name: number(header[name], len(header[name])) for name in ("epoch", "seq", "hlc")}
        told |= {"device": header["device"].hex(), "kind": header["kind"].decode()}
        yield json.dumps({**told, **json.loads(content or b"{}")}, sort_keys=True, ensure_ascii=False)


def device_keys(text):
    """Return the keys of a device's file: JSON with base64."""
    return {name: b64decode(part) for name, part in json.loads(text).items()}


if __name__ == "__main__":
    place, device, root_key = sys.argv[1:]
    for line in lines(read(Path(place), device_keys(Path(device).read_text()), bytes.fromhex(root_key))):
        print(line)
