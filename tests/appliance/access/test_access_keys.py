"""Keys are made once, kept private, and found out when they are not."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import unicodedata
from base64 import b64decode

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_private_key,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.access.keys import (
    KeyRefused,
    Trust,
    fingerprint,
    load_key,
    load_pin_secret,
    make_key,
    make_pin_secret,
    make_qp_key,
    raw_public_key,
    read_public_key,
    read_qp_key_file,
    save_qp_key,
    unlock_qp_key,
)
from appliance.access.private_files import write_whole

PASSPHRASE = "correct horse battery"


@pytest.fixture(scope="module")
def qp():
    return make_qp_key("p-0007", PASSPHRASE)


def test_a_key_comes_back_from_its_file_and_only_its_owner_can_read_it(tmp_path):
    key = make_key(tmp_path / "keys" / "unit.key")

    assert raw_public_key(load_key(tmp_path / "keys" / "unit.key")) == raw_public_key(key)
    assert (tmp_path / "keys" / "unit.key").stat().st_mode & 0o777 == 0o600
    assert list((tmp_path / "keys").iterdir()) == [tmp_path / "keys" / "unit.key"]


def test_a_key_is_private_even_under_a_careless_umask(tmp_path):
    before = os.umask(0)
    try:
        make_pin_secret(tmp_path / "pin.secret")
    finally:
        os.umask(before)

    assert (tmp_path / "pin.secret").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o660])
def test_a_private_key_that_others_can_read_is_refused(tmp_path, mode):
    path = tmp_path / "unit.key"
    make_key(path)
    path.chmod(mode)

    with pytest.raises(KeyRefused, match="chmod 600") as caught:
        load_key(path)
    assert caught.value.reason == "key_exposed"


def test_a_key_is_never_overwritten(tmp_path):
    make_key(tmp_path / "unit.key")
    before = (tmp_path / "unit.key").read_bytes()

    with pytest.raises(KeyRefused, match="there already"):
        make_key(tmp_path / "unit.key")
    assert (tmp_path / "unit.key").read_bytes() == before


def test_a_missing_a_garbled_and_a_foreign_key_are_each_refused_with_their_path(tmp_path):
    foreign = ec.generate_private_key(ec.SECP256R1())
    pem = foreign.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_whole(tmp_path / "foreign.key", pem, mode=0o600)
    write_whole(tmp_path / "garbled.key", b"no key", mode=0o600)

    for name, words in (
        ("missing", "cannot be read"),
        ("garbled", "not a private key"),
        ("foreign", "not an Ed25519"),
    ):
        with pytest.raises(KeyRefused, match=words) as caught:
            load_key(tmp_path / f"{name}.key")
        assert f"{name}.key" in str(caught.value)


def test_the_pin_secret_has_32_bytes_or_is_refused(tmp_path):
    assert len(make_pin_secret(tmp_path / "pin.secret")) == 32
    assert load_pin_secret(tmp_path / "pin.secret") == (tmp_path / "pin.secret").read_bytes()

    write_whole(tmp_path / "short.secret", b"x" * 31, mode=0o600)
    with pytest.raises(KeyRefused, match="32 bytes"):
        load_pin_secret(tmp_path / "short.secret")


def test_a_write_cut_short_leaves_the_old_file(tmp_path):
    path = tmp_path / "trust.json"
    Trust(root=("ab" * 32,)).save(path)
    program = (
        "import os, sys, pathlib\n"
        "from appliance.access import private_files\n"
        "os.fsync = lambda handle: os._exit(9)\n"
        "private_files.write_whole(pathlib.Path(sys.argv[1]), b'half')\n"
    )

    ended = subprocess.run([sys.executable, "-c", program, str(path)], check=False, timeout=60)

    assert ended.returncode == 9
    assert Trust.load(path).root == ("ab" * 32,)


def test_trust_names_who_a_key_belongs_to_and_refuses_what_is_no_fingerprint(tmp_path):
    trust = Trust().with_key("root", "ab" * 32).with_key("central", "cd" * 32).with_key("root", "ab" * 32)
    trust.save(tmp_path / "trust.json")

    assert json.loads((tmp_path / "trust.json").read_text()) == {
        "root": ["ab" * 32],
        "unit": [],
        "central": ["cd" * 32],
        "qp": [],
    }
    assert Trust.load(tmp_path / "trust.json") == trust
    assert trust.owner_of("cd" * 32) == "central"
    assert trust.owner_of("ef" * 32) is None
    for wrong in ("", "AB" * 32, "ab" * 31, "xy" * 32):
        with pytest.raises(KeyRefused, match="not a fingerprint"):
            trust.with_key("unit", wrong)


@pytest.mark.parametrize("text", ['{"root":["short"]}', "[]", '{"admin":[]}', "\xff"])
def test_a_garbled_trust_file_is_refused(tmp_path, text):
    (tmp_path / "trust.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(KeyRefused):
        Trust.load(tmp_path / "trust.json")


def test_a_public_key_is_read_from_a_private_a_public_and_a_qp_file(tmp_path, qp):
    key = make_key(tmp_path / "signer.key")
    spki = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "signer.pub").write_bytes(spki)
    save_qp_key(qp[0], tmp_path / "qp.json")

    assert read_public_key(tmp_path / "signer.key") == raw_public_key(key)
    assert read_public_key(tmp_path / "signer.pub") == raw_public_key(key)
    assert read_public_key(tmp_path / "qp.json") == raw_public_key(qp[1])


def test_a_qp_key_opens_with_its_passphrase_and_with_no_other(tmp_path, qp):
    file, key = qp
    save_qp_key(file, tmp_path / "qp.json")

    assert fingerprint(unlock_qp_key(tmp_path / "qp.json", PASSPHRASE)) == fingerprint(key)
    with pytest.raises(KeyRefused, match="Type it again; nothing was signed") as caught:
        unlock_qp_key(tmp_path / "qp.json", PASSPHRASE + " ")
    assert caught.value.reason == "wrong_passphrase"


def test_the_qp_key_file_opens_by_the_book_without_this_code(tmp_path, qp):
    file, key = qp
    save_qp_key(file, tmp_path / "qp.json")
    written = json.loads((tmp_path / "qp.json").read_text())

    assert written["kind"] == "cellwright-qp-key"
    assert written["v"] == 1
    assert written["kdf"]["iterations"] == 600_000
    salt, iv = b64decode(written["kdf"]["salt"]), b64decode(written["cipher"]["iv"])
    stretched = hashlib.pbkdf2_hmac("sha256", PASSPHRASE.encode(), salt, 600_000, 32)
    pkcs8 = AESGCM(stretched).decrypt(iv, b64decode(written["ciphertext"]), None)
    opened = load_der_private_key(pkcs8, password=None)
    assert raw_public_key(opened) == raw_public_key(key) == b64decode(written["public_key"])


def test_a_passphrase_typed_in_two_unicode_forms_is_one_passphrase():
    typed = "Höhenflug über Zürich"
    file, key = make_qp_key("p-0007", unicodedata.normalize("NFD", typed))

    assert raw_public_key(unlock_qp_key(file, unicodedata.normalize("NFC", typed))) == raw_public_key(key)


def test_a_passphrase_under_twelve_characters_makes_no_key():
    with pytest.raises(KeyRefused, match="at least 12 characters"):
        make_qp_key("p-0007", "eleven char")


def test_a_qp_file_with_another_public_key_or_soft_parameters_is_refused(qp, tmp_path):
    file, _ = qp
    other = raw_public_key(make_key(tmp_path / "other.key"))

    with pytest.raises(KeyRefused, match="is not that of the key inside"):
        unlock_qp_key(msgspec.structs.replace(file, public_key=other), PASSPHRASE)
    for iterations in (1, 599_999, 10**9):
        kdf = msgspec.structs.replace(file.kdf, iterations=iterations)
        with pytest.raises(KeyRefused, match="parameters that are not ours"):
            unlock_qp_key(msgspec.structs.replace(file, kdf=kdf), PASSPHRASE)


@settings(derandomize=True, deadline=None, max_examples=15)
@given(st.data())
def test_a_flipped_bit_in_the_locked_key_never_opens(qp, data):
    file, _ = qp
    spoilt = bytearray(file.ciphertext)
    spoilt[data.draw(st.integers(0, len(spoilt) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    with pytest.raises(KeyRefused):
        unlock_qp_key(msgspec.structs.replace(file, ciphertext=bytes(spoilt)), PASSPHRASE)


@pytest.mark.parametrize("text", ["", "{}", '{"kind":"other"}', "[" * 50])
def test_what_is_no_qp_key_file_is_refused(tmp_path, text):
    (tmp_path / "qp.json").write_text(text)

    with pytest.raises(KeyRefused, match="is not a QP key file"):
        read_qp_key_file(tmp_path / "qp.json")
