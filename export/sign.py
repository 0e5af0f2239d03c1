"""Keys and signatures for bundles: the private half, which never leaves whoever releases.

In: a packed bundle and a private key.  Out: the signature that the appliance checks
(edge_pose/signature.py), and an archive to send.
"""

import json
import os
import tarfile
import time
from base64 import b64encode
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edge_pose.bundle import MANIFEST, open_bundle
from edge_pose.errors import ConfigError
from edge_pose.signature import KEY_SUFFIX, MOST_SERIAL, SIGNATURE, key_id, statement


def keygen(path: Path) -> tuple[Path, str]:
    """Write a new private key that only we may read, and the public one beside it, and name it."""
    key = Ed25519PrivateKey.generate()
    public = path.with_name(path.stem + ".public" + KEY_SUFFIX)
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    for where, text, mode in (
        (path, private, 0o600),
        (public, key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
         0o644),
    ):  # fmt: skip
        try:
            handle = os.open(where, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        except FileExistsError:
            raise ConfigError(
                f"{where} exists; a key is never written over, name another"
            ) from None
        with os.fdopen(handle, "wb") as file:
            file.write(text)
    return public, key_id(key.public_key().public_bytes_raw())


def sign(folder: Path, key_path: Path, *, serial: int | None = None) -> int:
    """Sign a bundle that holds what its manifest says; give the serial number.

    Without one it is the time in seconds: whoever signs later, signs something newer.
    """
    open_bundle(folder)
    serial = int(time.time()) if serial is None else serial
    if not 0 <= serial <= MOST_SERIAL:
        raise ConfigError(f"the serial number is {serial}; wanted 0 or more")
    try:
        key = load_pem_private_key(key_path.read_bytes(), password=None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ConfigError(
            f"{key_path} is no Ed25519 private key in PEM; `python -m export keygen` makes one"
        )
    table = {
        "key": key_id(key.public_key().public_bytes_raw()),
        "serial": serial,
        "signature": b64encode(
            key.sign(statement((folder / MANIFEST).read_bytes(), serial))
        ).decode(),
    }
    (folder / SIGNATURE).write_text(json.dumps(table) + "\n", encoding="utf-8")
    return serial


def archive(folder: Path, path: Path) -> None:
    """Put a signed bundle into one tar file: names and contents, nothing else of this machine."""
    bundle = open_bundle(folder)
    with tarfile.open(path, "w:gz" if path.suffix == ".gz" else "w") as file:
        for name in sorted({MANIFEST, SIGNATURE, *bundle.manifest.sha256}):
            member = tarfile.TarInfo(name)
            member.size = (folder / name).stat().st_size
            with (folder / name).open("rb") as stream:
                file.addfile(member, stream)
