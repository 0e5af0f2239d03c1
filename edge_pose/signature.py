"""Who vouches for a bundle: a manifest, its signature and trusted keys in, the signer out.

The manifest holds the hash of every other file, so one Ed25519 signature over it and over a serial
number, which only rises, covers them all.  With export/sign.py the only file that knows the library
`cryptography`; it is loaded where a signature is looked at and nowhere else.
"""

import binascii
import hashlib
import json
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edge_pose.errors import BundleError, ConfigError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SIGNATURE: Final = "signature.json"
KEY_SUFFIX: Final = ".pem"
MOST_SERIAL: Final = 2**63 - 1
_DOMAIN: Final = b"edge-pose bundle 1\n"
"""Stands before what is signed, so that the key's signature under anything else is none here."""
_ID_DIGITS: Final = 16
_MOST_BYTES: Final = 4096


@dataclass(frozen=True, slots=True, kw_only=True)
class Signed:
    """A signature that holds."""

    key: str
    """Id of the key that signed."""
    serial: int
    """Rises with every release; a lower one is a downgrade."""


def statement(manifest: bytes, serial: int) -> bytes:
    """Return the bytes that are signed."""
    return _DOMAIN + f"{serial}\n".encode() + manifest


def key_id(raw_public_key: bytes) -> str:
    """Name a key by the beginning of its hash."""
    return hashlib.sha256(raw_public_key).hexdigest()[:_ID_DIGITS]


def trusted_keys(folder: Path) -> dict[str, "Ed25519PublicKey"]:
    """Read every public key of a folder, by id; a file that is none is an error for the operator.

    A folder without keys trusts nobody.
    """
    try:
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
        from cryptography.hazmat.primitives.serialization import load_pem_public_key
    except ModuleNotFoundError:
        raise ConfigError(
            "signatures cannot be checked, because the Python package cryptography is not "
            "installed; `pip install 'edge-pose[signed]'` does it"
        ) from None
    found: dict[str, Ed25519PublicKey] = {}
    try:
        paths = sorted(path for path in folder.iterdir() if path.suffix == KEY_SUFFIX)
        texts = {path: path.read_bytes() for path in paths}
    except OSError as error:
        raise ConfigError(
            f"the trusted keys in {folder} cannot be read ({error.strerror}); name a folder of "
            f"public keys (*{KEY_SUFFIX}) in model.trusted_keys"
        ) from None
    for path, text in texts.items():
        try:
            key = load_pem_public_key(text)
        except (ValueError, UnsupportedAlgorithm):
            key = None
        if not isinstance(key, Ed25519PublicKey):
            raise ConfigError(
                f"{path} is no Ed25519 public key in PEM; `python -m export keygen` makes a pair, "
                "and only its public half belongs here"
            )
        found[key_id(key.public_bytes_raw())] = key
    return found


def verify(folder: Path, manifest: bytes, keys: dict[str, "Ed25519PublicKey"]) -> Signed:
    """Check the signature that lies in a bundle's folder against its manifest."""
    from cryptography.exceptions import InvalidSignature

    path = folder / SIGNATURE
    signer, serial, signature = _read(path)
    if signer not in keys:
        trusted = ", ".join(sorted(keys)) or "nobody"
        raise BundleError(
            f"{path} is signed by the key {signer}, trusted are {trusted}; put the signer's public "
            "key into model.trusted_keys if you trust it"
        )
    try:
        keys[signer].verify(signature, statement(manifest, serial))
    except InvalidSignature:
        raise BundleError(
            f"{path} does not fit the manifest beside it: one of them was changed after the key "
            f"{signer} signed; fetch the bundle again"
        ) from None
    return Signed(key=signer, serial=serial)


def _read(path: Path) -> tuple[str, int, bytes]:
    """Give the signer's id, the serial number and the signature."""
    try:
        with path.open("rb") as file:
            table = json.loads(file.read(_MOST_BYTES))
    except FileNotFoundError:
        raise BundleError(
            f"{path.parent} is not signed: it has no {SIGNATURE}; `python -m export sign` makes one"
        ) from None
    except OSError as error:
        raise BundleError(
            f"{path} cannot be read ({error.strerror}); fetch the bundle again"
        ) from None
    except (ValueError, RecursionError):
        table = None
    match table:
        case {"key": str(signer), "serial": int(serial), "signature": str(text), **rest} if (
            not rest and not isinstance(serial, bool) and 0 <= serial <= MOST_SERIAL
        ):
            try:
                return signer[:64], serial, b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                pass
    raise BundleError(
        f"{path} is no signature; wanted an object with key, serial and signature, "
        "as `python -m export sign` writes it"
    )
