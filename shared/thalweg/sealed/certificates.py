"""Certificates for TLS: an authority of one's own, and what it says of a server."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from thalweg.errors import RejectedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, CertificateBuilder

AUTHORITY_LIFE, SERVER_LIFE = timedelta(days=3650), timedelta(days=820)  # more than 825 days of a server are refused by some clients
_EARLIER = timedelta(hours=1)  # clocks differ


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)


def make_authority(name: str) -> Issued:
    """A new authority, which may sign servers and nothing else."""
    from cryptography import x509

    key = _new_key()
    own = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    built = _begun(own, own, key, AUTHORITY_LIFE)
    built = built.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    built = built.add_extension(_usage(key_cert_sign=True, crl_sign=True), critical=True)
    built = built.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    return _signed(built, key, key)


def make_server(authority: Issued, hosts: list[str]) -> Issued:
    """A new certificate of a server.

    Args:
        authority: signs it.
        hosts: names and addresses by which clients reach it; at least one.

    Raises:
        RejectedError: `keys.host`, one is neither a name nor an address.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509.oid import ExtendedKeyUsageOID

    names = [_host(one) for one in hosts]
    key, by = _new_key(), x509.load_pem_x509_certificate(authority.certificate)
    signer: Any = load_pem_private_key(authority.key, None)
    built = _begun(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hosts[0][:64])]), by.subject, key, SERVER_LIFE)
    built = built.add_extension(x509.SubjectAlternativeName(names), critical=False)
    built = built.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    built = built.add_extension(_usage(digital_signature=True), critical=True)
    # Of clients as well: the nodes of a cluster dial each other.
    uses = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    built = built.add_extension(x509.ExtendedKeyUsage(uses), critical=False)
    built = built.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    built = built.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)  # type: ignore[arg-type]
    return _signed(built, key, signer)


def expires(certificate: bytes) -> datetime:
    """Until when a certificate (PEM) is valid. Raises RejectedError (`certificate.invalid`)."""
    return _read(certificate).not_valid_after_utc


def hosts_of(certificate: bytes) -> list[str]:
    """Names and addresses of a server's certificate (PEM). Raises RejectedError (`certificate.invalid`)."""
    from cryptography import x509

    found = _read(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(one.value) for one in found]


def _read(certificate: bytes) -> Certificate:
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(certificate)
    except ValueError:
        raise RejectedError("not a certificate", code="certificate.invalid") from None


def _host(host: str) -> Any:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        pass
    labels = host.removeprefix("*.").split(".")
    if not host.isascii() or len(host) > 253 or not all(_is_label(one) for one in labels):
        raise RejectedError(f"{host!r} is neither a host name nor an address", code="keys.host", hint="as in nats.example.com or 10.0.0.5")
    return x509.DNSName(host)


def _is_label(label: str) -> bool:
    return 0 < len(label) < 64 and label.replace("-", "").isalnum() and label[0] != "-" and label[-1] != "-"


def _new_key() -> EllipticCurvePrivateKey:
    from cryptography.hazmat.primitives.asymmetric import ec

    return ec.generate_private_key(ec.SECP256R1())


def _begun(subject: Any, issuer: Any, key: EllipticCurvePrivateKey, life: timedelta) -> CertificateBuilder:
    from cryptography import x509

    now = datetime.now(UTC)
    built = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return built.serial_number(x509.random_serial_number()).not_valid_before(now - _EARLIER).not_valid_after(now + life)


def _usage(**given: bool) -> Any:
    from cryptography import x509

    names = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
    more = ("key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
    return x509.KeyUsage(**{**dict.fromkeys((*names, *more), False), **given})


def _signed(built: CertificateBuilder, key: EllipticCurvePrivateKey, signer: Any) -> Issued:
    from cryptography.hazmat.primitives import hashes, serialization

    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    private = key.private_bytes(pem, form, serialization.NoEncryption())
    return Issued(built.sign(signer, hashes.SHA256()).public_bytes(pem), private)
