"""Makes c2sp.json with an implementation that shares no code with ours.

    python3 -m venv v && v/bin/pip install aics-tlog==0.2.1 aics-witness==0.1.0   # Python 3.12 or newer
    v/bin/python make.py > c2sp.json

The keys are the bytes 1 and 2, thirty-two times each; entry number i of the log is the text `entry i`.
"""

import hashlib
import json
import sys
from base64 import b64encode

import aics_tlog
from aics_tlog.tiles import TileWriter
from aics_witness.protocol import format_add_checkpoint_request, format_signature_line
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ORIGIN, WITNESS, TIME = "remit.example/journal", "witness.example/w1", 1767000000
SIZES = [0, 1, 2, 3, 5, 8, 13, 100, 255, 256, 257, 511, 512, 1000, 65535, 65536, 65537, 70000]

log_key = Ed25519PrivateKey.from_private_bytes(bytes([1]) * 32)
witness_key = Ed25519PrivateKey.from_private_bytes(bytes([2]) * 32)
entries = [b"entry %d" % i for i in range(max(SIZES))]
tree = aics_tlog.MerkleTree(entries)


def b64(data):
    return b64encode(data).decode()


def listing(files):
    """What `sha256sum` prints of these files, by path, hashed."""
    lines = [f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(files.items())]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def checkpoint(size):
    head = aics_tlog.Checkpoint(ORIGIN, size, tree.root(size))
    note = aics_tlog.sign_checkpoint(head, log_key, ORIGIN)
    _, line = aics_tlog.sign_cosignature(witness_key, WITNESS, TIME + size, ORIGIN, size, tree.root(size))
    return note, format_signature_line(line)


def at(size):
    note, answer = checkpoint(size)
    files = TileWriter(entries[:size]).materialise() if size else {}
    indices = sorted({i for i in (0, 1, 7, 255, 256, size // 2, size - 2, size - 1) if 0 <= i < size})
    olds = sorted({old for old in (1, 2, 4, 6, 255, 256, 300, 65536, size - 1, size) if 1 <= old <= size})
    old = olds[-2] if len(olds) > 1 else 0
    proof = tree.consistency_proof(old, size) if old else []
    return {
        "size": size,
        "root": b64(tree.root(size)),
        "note": note.serialise(),
        "answer": answer,
        "request": {
            "old": old,
            "body": format_add_checkpoint_request(old, proof, note.to_bytes()).decode(),
        },
        "inclusion": [{"index": i, "proof": [b64(h) for h in tree.inclusion_proof(i, size)]} for i in indices],
        "consistency": [{"old": o, "proof": [b64(h) for h in tree.consistency_proof(o, size)]} for o in olds],
        "files": len(files),
        "files_sha256": listing(files),
        "contents": {path: b64(data) for path, data in sorted(files.items())} if size <= 13 else None,
    }


json.dump(
    {
        "made_by": f"aics-tlog {aics_tlog.__version__}, by make.py",
        "log": aics_tlog.format_vkey(aics_tlog.vkey_from_ed25519(ORIGIN, log_key.public_key())),
        "witness": aics_tlog.format_vkey(aics_tlog.cosignature_vkey(WITNESS, witness_key.public_key())),
        "time": TIME,
        "at": [at(size) for size in SIZES],
    },
    sys.stdout,
    indent=1,
    ensure_ascii=False,
)
print()
