"""Unit and central recognise each other over real TLS, and nobody else."""

from __future__ import annotations

import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta

import pytest

from appliance.access.certificates import (
    issue_server_certificate,
    issue_unit_certificate,
    make_site_ca,
    unit_of_certificate,
)
from appliance.access.keys import KeyRefused

NOW = datetime.now(UTC)  # OpenSSL asks the system's clock


@pytest.fixture(scope="module")
def ca():
    return make_site_ca("Ward 7", now=NOW)


def context(folder, who, own, authority):
    own.save(folder / f"{who}.crt", folder / f"{who}.key")
    (folder / f"{who}_ca.crt").write_bytes(authority.certificate_pem)
    purpose = ssl.Purpose.CLIENT_AUTH if who == "central" else ssl.Purpose.SERVER_AUTH
    made = ssl.create_default_context(purpose, cafile=folder / f"{who}_ca.crt")
    made.minimum_version = ssl.TLSVersion.TLSv1_3
    made.verify_mode = ssl.CERT_REQUIRED
    made.verify_flags |= ssl.VERIFY_X509_STRICT
    made.load_cert_chain(folder / f"{who}.crt", folder / f"{who}.key")
    return made


def meet(server, client, host="127.0.0.1"):
    """One TLS handshake on loopback; returns what each side saw or the fault it met."""
    seen: dict[str, object] = {}
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        plain, _ = listener.accept()
        plain.settimeout(10)
        try:
            with server.wrap_socket(plain, server_side=True) as tls:
                seen["client"] = tls.getpeercert(binary_form=True)
                tls.sendall(b"ok")
        except OSError as error:
            seen["fault"] = error

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        plain = socket.create_connection(listener.getsockname(), timeout=10)
        with client.wrap_socket(plain, server_hostname=host) as tls:
            seen["answer"] = tls.recv(2)
    except OSError as error:
        seen["client_fault"] = error
    thread.join(timeout=10)
    listener.close()
    return seen


def test_a_unit_and_central_of_one_site_meet_and_central_reads_the_unit_s_id(ca, tmp_path):
    server = context(
        tmp_path, "central", issue_server_certificate(ca, ["localhost", "127.0.0.1"], now=NOW), ca
    )
    client = context(tmp_path, "unit", issue_unit_certificate(ca, "unit-07", now=NOW), ca)

    seen = meet(server, client)

    assert seen["answer"] == b"ok"
    assert unit_of_certificate(seen["client"]) == "unit-07"


def test_a_unit_of_another_site_is_turned_away(ca, tmp_path):
    other = make_site_ca("Ward 7", now=NOW)
    server = context(tmp_path, "central", issue_server_certificate(ca, ["127.0.0.1"], now=NOW), ca)
    client = context(tmp_path, "unit", issue_unit_certificate(other, "unit-07", now=NOW), ca)

    seen = meet(server, client)

    assert isinstance(seen["fault"], ssl.SSLError)
    assert seen.get("answer") != b"ok"


def test_a_unit_does_not_talk_to_a_server_of_another_name_or_to_a_unit_posing_as_one(ca, tmp_path):
    client = context(tmp_path, "unit", issue_unit_certificate(ca, "unit-07", now=NOW), ca)
    elsewhere = context(tmp_path, "central", issue_server_certificate(ca, ["10.9.9.9"], now=NOW), ca)

    assert isinstance(meet(elsewhere, client)["client_fault"], ssl.SSLCertVerificationError)

    (tmp_path / "posing").mkdir()
    posing = context(tmp_path / "posing", "central", issue_unit_certificate(ca, "unit-08", now=NOW), ca)
    client.check_hostname = False
    assert isinstance(meet(posing, client)["client_fault"], ssl.SSLCertVerificationError)


def test_an_expired_unit_certificate_is_turned_away(ca, tmp_path):
    server = context(tmp_path, "central", issue_server_certificate(ca, ["127.0.0.1"], now=NOW), ca)
    old = issue_unit_certificate(ca, "unit-07", now=NOW - timedelta(days=91))
    client = context(tmp_path, "unit", old, ca)

    assert isinstance(meet(server, client)["fault"], ssl.SSLError)


def test_a_unit_certificate_lives_90_days_and_its_key_file_is_private(ca, tmp_path):
    issued = issue_unit_certificate(ca, "unit-07", now=NOW)
    issued.save(tmp_path / "client.crt", tmp_path / "client.key")

    assert abs(issued.certificate.not_valid_after_utc - NOW - timedelta(days=90)) < timedelta(seconds=1)
    assert issued.common_name == "unit-07"
    assert (tmp_path / "client.key").stat().st_mode & 0o777 == 0o600
    with pytest.raises(KeyRefused, match="there already"):
        issued.save(tmp_path / "client.crt", tmp_path / "client.key")
