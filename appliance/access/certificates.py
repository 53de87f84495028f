"""A site's own certificates for mutual TLS: one authority, servers, units.

P-256 because every TLS stack takes it. Identity in the record does not rest on these: segments
are signed by the unit's own key. The certificate says who may talk.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.access.private_files import write_private, write_whole

SITE_CA_DAYS = 3650
SERVER_DAYS = 365
UNIT_DAYS = 90
# A unit whose clock is a little behind must not refuse a certificate made this minute.
BACKDATED = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class CertifiedKey:
    """A certificate and the private key it speaks for."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def certificate_pem(self) -> bytes:
        return self.certificate.public_bytes(Encoding.PEM)

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())

    @property
    def common_name(self) -> str:
        return str(self.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)

    def save(self, certificate_path: Path, key_path: Path, *, replace: bool = False) -> None:
        """Write both; the key file is its owner's alone."""
        write_private(key_path, self.key_pem, replace=replace)
        write_whole(certificate_path, self.certificate_pem)


def make_site_ca(site: str, *, now: datetime) -> CertifiedKey:
    """The site's own authority; it signs servers and units and no further authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(f"Cellwright site {site}"[:64])
    builder = _builder(name, name, key.public_key(), now, SITE_CA_DAYS)
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    builder = builder.add_extension(_usage(signs_certificates=True), critical=True)
    return CertifiedKey(builder.sign(key, SHA256()), key)


def issue_server_certificate(ca: CertifiedKey, hosts: Sequence[str], *, now: datetime) -> CertifiedKey:
    """A server's certificate for these host names and addresses."""
    assert hosts, "a server certificate needs a host"
    names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
    return _issue(ca, hosts[0], names, ExtendedKeyUsageOID.SERVER_AUTH, now, SERVER_DAYS)


def issue_unit_certificate(ca: CertifiedKey, unit_id: str, *, now: datetime) -> CertifiedKey:
    """A unit's client certificate for 90 days; the common name is the unit's id."""
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(f"urn:cellwright:unit:{unit_id}")])
    return _issue(ca, unit_id, names, ExtendedKeyUsageOID.CLIENT_AUTH, now, UNIT_DAYS)


def unit_of_certificate(der: bytes) -> str:
    """The unit id that a client certificate (DER, as TLS hands it over) speaks for."""
    certificate = x509.load_der_x509_certificate(der)
    return str(certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value)


def _issue(
    ca: CertifiedKey,
    common_name: str,
    names: x509.SubjectAlternativeName,
    purpose: x509.ObjectIdentifier,
    now: datetime,
    days: int,
) -> CertifiedKey:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = _builder(_name(common_name), ca.certificate.subject, key.public_key(), now, days)
    identifier = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    builder = (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(names, critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False
        )
    )
    return CertifiedKey(builder.sign(ca.key, SHA256()), key)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public_key: ec.EllipticCurvePublicKey,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    assert now.utcoffset() == timedelta(0), now
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)
