"""Certificates for loopback: a good one, one of last year, one that nobody vouches for."""

import datetime as dt
import ipaddress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

_DAY: Final = dt.timedelta(days=1)
_YEAR: Final = dt.timedelta(days=365)


def make_certificates(folder: Path) -> None:
    """Write `ca.pem`, and `good`, `expired` and `stranger`, each a `.pem` and its `.key`."""
    now = dt.datetime.now(dt.timezone.utc)
    ours, ours_key = _authority("ours", now)
    others, others_key = _authority("others", now)
    (folder / "ca.pem").write_bytes(ours.public_bytes(serialization.Encoding.PEM))
    for name, authority, key, until in (
        ("good", ours, ours_key, now + _YEAR),
        ("expired", ours, ours_key, now - _DAY),
        ("stranger", others, others_key, now + _YEAR),
    ):
        own_key = ec.generate_private_key(ec.SECP256R1())
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        certificate = (
            _builder("127.0.0.1", authority.subject, own_key.public_key(), now, until)
            .add_extension(x509.SubjectAlternativeName([address]), critical=False)
            .sign(key, hashes.SHA256())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        (folder / f"{name}.key").write_bytes(
            own_key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )


def _authority(name: str, now: dt.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = (
        _builder(name, own_name, key.public_key(), now, now + _YEAR)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def _builder(
    name: str,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now: dt.datetime,
    until: dt.datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _YEAR)
        .not_valid_after(until)
    )
