"""Names lie apart from the record, sealed; the record has pseudonyms, and erasing a name leaves it whole."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.access.documents import sign
from appliance.access.errors import DocumentRefused, IdentityRefused, KeyRefused
from appliance.access.identities import Identities, Identity, identity_content, read_delivered
from appliance.access.identity_key import (
    IdentityKey,
    boot_passphrase,
    is_wrapped,
    make_identity_key,
    open_identity_key,
    rewrap_identity_key,
)
from appliance.access.keys import fingerprint
from appliance.access.secret_hash import Argon2Cost
from appliance.domain import isbt128
from appliance.domain.batch import Order
from appliance.domain.bedside_identity import read_at_bedside
from appliance.domain.identity import LabelNotUsable

CHEAP = Argon2Cost(passes=1, memory_kib=8, lanes=1)
PASSPHRASE = "four words for one boot"
KEY = IdentityKey(bytes(range(32)))
WHO = Identity(name="Hana Fictitia", birth_date="1971-02-03", hospital_number="HN-FICT-0042")
ORDER_TEXT = json.dumps(
    {
        "id": "ORD-1",
        "recipe": "short",
        "patient": "DEMO7F3A",
        "coi": "CHA999926000001",
        "din": "A999926123456",
        "description_code": "S9991",
        "division": "00",
        "weight_kg": "70",
        "dose_target_cells_kg": "1.5e6",
    }
)
ORDER = Order.from_text(ORDER_TEXT)


def table(home: Path, key: IdentityKey | None = KEY, unit: str = "UNIT-1") -> Identities:
    return Identities(home, unit, key)


def only_file(home: Path) -> Path:
    (path,) = (home / "identities").glob("*.sealed")
    return path


# ── The table ──────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-103", "T33")
def test_an_identity_is_found_again_and_stands_nowhere_in_its_file(tmp_path: Path) -> None:
    table(tmp_path).put("DEMO7F3A", WHO)

    assert table(tmp_path).find("DEMO7F3A") == WHO
    raw = only_file(tmp_path).read_bytes()
    assert not [one for one in ("Hana", "Fictitia", "1971", "HN-FICT") if one.encode() in raw]
    assert only_file(tmp_path).stat().st_mode & 0o077 == 0


def test_an_identity_says_nothing_of_itself_where_it_is_printed() -> None:
    assert "Hana" not in f"{WHO} {WHO!r} {KEY!r}"


@pytest.mark.requirement("F-103")
@pytest.mark.parametrize("other", ["another key", "another unit", "another pseudonym", "a changed byte"])
def test_a_sealed_identity_opens_for_its_own_unit_key_and_pseudonym_alone(tmp_path: Path, other: str) -> None:
    table(tmp_path).put("DEMO7F3A", WHO)
    key, unit, asked = KEY, "UNIT-1", "DEMO7F3A"
    path = only_file(tmp_path)
    match other:
        case "another key":
            key = IdentityKey(os.urandom(32))
        case "another unit":
            unit = "UNIT-2"
        case "another pseudonym":
            asked = "DEMO0000"
            moved = table(tmp_path)._path(asked)
            path.rename(moved)
        case _:
            tree = json.loads(path.read_bytes())
            tree["sealed"] = ("A" if tree["sealed"][0] != "A" else "B") + tree["sealed"][1:]
            path.write_text(json.dumps(tree))

    with pytest.raises(IdentityRefused) as refused:
        table(tmp_path, key, unit).find(asked)

    assert "Hana" not in str(refused.value)


def test_the_same_identity_is_never_sealed_to_the_same_bytes_twice(tmp_path: Path) -> None:
    sealed = set()
    for _ in range(20):
        table(tmp_path).put("DEMO7F3A", WHO)
        sealed.add(only_file(tmp_path).read_bytes())

    assert len(sealed) == 20


@pytest.mark.requirement("T33")
def test_to_erase_a_patient_makes_name_and_pictures_unreadable_and_needs_no_key(tmp_path: Path) -> None:
    held = table(tmp_path)
    held.put("DEMO7F3A", WHO)
    held.put("DEMO0000", WHO)
    picture = held.seal_picture("DEMO7F3A", b"a wristband")
    kept = table(tmp_path).open_picture("DEMO7F3A", picture)

    gone = table(tmp_path, None).erase("DEMO7F3A")

    assert (kept, gone, held.find("DEMO7F3A"), held.pseudonyms()) == (
        b"a wristband",
        True,
        None,
        ["DEMO0000"],
    )
    with pytest.raises(IdentityRefused):
        held.open_picture("DEMO7F3A", picture)
    held.put("DEMO7F3A", WHO)  # the same person comes again: with another key for pictures
    with pytest.raises(IdentityRefused):
        held.open_picture("DEMO7F3A", picture)
    assert table(tmp_path, None).erase("DEMO9999") is False


def test_an_erased_file_is_overwritten_before_it_is_let_go(tmp_path: Path) -> None:
    held = table(tmp_path)
    held.put("DEMO7F3A", WHO)
    path = only_file(tmp_path)
    with path.open("rb") as file:
        before = file.read()
        held.erase("DEMO7F3A")
        file.seek(0)
        after = file.read()

    assert len(after) == len(before)
    assert after[:16] != before[:16]


def test_locked_nothing_is_read_or_sealed_and_the_words_say_who_can_help(tmp_path: Path) -> None:
    table(tmp_path).put("DEMO7F3A", WHO)
    locked = table(tmp_path, None)

    for attempt in (
        lambda: locked.find("DEMO7F3A"),
        lambda: locked.put("DEMO7F3A", WHO),
        lambda: locked.seal_picture("DEMO7F3A", b""),
        lambda: locked.pseudonymised(["x"], ORDER),
    ):
        with pytest.raises(IdentityRefused, match="administrator"):
            attempt()
    with pytest.raises(IdentityRefused):
        locked.unlock(IdentityKey(os.urandom(32)))
    assert locked.locked
    locked.unlock(KEY)
    assert locked.find("DEMO7F3A") == WHO


# ── The key ────────────────────────────────────────────────────────────────────────────


@pytest.mark.requirement("F-103")
def test_a_wrapped_key_opens_by_its_passphrase_alone(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    key = make_identity_key(path, PASSPHRASE, CHEAP)

    assert is_wrapped(path)
    assert open_identity_key(path, PASSPHRASE) == key
    for wrong, reason in (("", "passphrase_missing"), (PASSPHRASE + " ", "wrong_passphrase")):
        with pytest.raises(KeyRefused) as refused:
            open_identity_key(path, wrong)
        assert refused.value.reason == reason
    with pytest.raises(KeyRefused, match="never overwritten"):
        make_identity_key(path)
    with pytest.raises(KeyRefused, match="12 characters"):
        make_identity_key(tmp_path / "other.key", "too short")


def test_a_rewrapped_key_is_the_same_key_under_another_passphrase(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    key = make_identity_key(path)
    with path.open("rb") as old:
        rewrap_identity_key(path, "", PASSPHRASE, CHEAP)
        left = old.read()

    assert open_identity_key(path, PASSPHRASE) == key
    assert b"open" not in left, "the old, open key was overwritten where it lay"
    with pytest.raises(KeyRefused):
        rewrap_identity_key(path, "not this one at all", "another passphrase", CHEAP)
    rewrap_identity_key(path, PASSPHRASE, "")
    assert open_identity_key(path) == key


def test_a_key_that_others_could_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    make_identity_key(path)
    path.chmod(0o644)
    with pytest.raises(KeyRefused, match="chmod"):
        open_identity_key(path)
    for garbled in (b"", b"{}", b'{"kind":"cellwright-identity-key","v":1}', b"\xff"):
        path.write_bytes(garbled)
        path.chmod(0o600)
        with pytest.raises(KeyRefused, match=r"not an identity key|parameters"):
            open_identity_key(path)


def test_a_boot_passphrase_is_taken_from_memory_and_refused_from_a_disk(tmp_path: Path) -> None:
    memory = Path("/dev/shm")
    named = memory / f"cellwright-{os.getpid()}"
    named.write_text(PASSPHRASE + "\n", encoding="utf-8")
    try:
        assert boot_passphrase({"CELLWRIGHT_BOOT_PASSPHRASE_FILE": str(named)}) == PASSPHRASE
    finally:
        named.unlink()
    assert boot_passphrase({}) == ""
    with pytest.raises(KeyRefused):
        boot_passphrase({"CELLWRIGHT_BOOT_PASSPHRASE_FILE": str(tmp_path / "missing")})
    on_disk = Path(__file__)
    with pytest.raises(KeyRefused, match="lies on a disk"):
        boot_passphrase({"CELLWRIGHT_BOOT_PASSPHRASE_FILE": str(on_disk)})


def test_the_identity_key_is_made_and_rewrapped_at_the_command_line(tmp_path: Path) -> None:
    def keys(verb: str, words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "appliance.cli", "keys", verb, "--home", str(tmp_path)]
        return subprocess.run(
            [*command, "--passphrase-stdin", "--json"],
            input=words,
            capture_output=True,
            text=True,
            check=False,
        )

    made = keys("identity-make", "\n")
    wrapped = keys("identity-rewrap", f"{PASSPHRASE}\n")
    wrong = keys("identity-rewrap", "not this passphrase\n\n")

    assert json.loads(made.stdout)["wrapped"] is False
    assert json.loads(wrapped.stdout)["wrapped"] is True
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert open_identity_key(tmp_path / "keys" / "identity.key", PASSPHRASE)


# ── What the record may keep of a scan ─────────────────────────────────────────────────

OURS = {
    "chain of identity": (isbt128.coi_text(ORDER.coi), isbt128.coi_text(ORDER.coi)),
    "hospital number": (WHO.hospital_number, "patient:DEMO7F3A"),
    "pseudonym": ("DEMO7F3A", "patient:DEMO7F3A"),
    "pseudonym in ISBT 128": (isbt128.patient_text("DEMO7F3A"), isbt128.patient_text("DEMO7F3A")),
    "donation": (isbt128.din_text(ORDER.din), isbt128.din_text(ORDER.din)),
}
FOREIGN = {
    "another chain of identity": isbt128.coi_text("CHA999926000002"),
    "another number": "HN-FICT-9999",
    "another number in ISBT 128": isbt128.patient_text("OTHER1"),
    "a name": "Hana Fictitia",
    "another patient's compound": isbt128.compound(
        isbt128.coi_text("CHA999926000002"), isbt128.din_text(ORDER.din)
    ),
}


@pytest.mark.requirement("F-103")
@pytest.mark.parametrize("what", OURS)
def test_what_says_this_patient_is_recorded_by_the_orders_pseudonym(tmp_path: Path, what: str) -> None:
    held = table(tmp_path)
    held.put(ORDER.patient, WHO)
    shown, recorded = OURS[what]

    assert held.pseudonymised([shown], ORDER) == [recorded]
    if what != "donation":
        read_at_bedside("wristband", [recorded], [], ORDER, "Europe/London")  # does not stop anybody


@pytest.mark.requirement("F-103")
@pytest.mark.parametrize("what", FOREIGN)
def test_what_could_name_another_is_recorded_as_a_keyed_hash_and_stops_the_hand_over(
    tmp_path: Path, what: str
) -> None:
    held = table(tmp_path)
    held.put(ORDER.patient, WHO)

    (recorded,) = held.pseudonymised([FOREIGN[what]], ORDER)

    assert recorded.startswith("keyed:")
    assert len(recorded) == len("keyed:") + 32
    assert recorded == held.keyed(FOREIGN[what]), "the same wristband gives the same hash"
    assert recorded != table(tmp_path / "b", IdentityKey(os.urandom(32))).keyed(FOREIGN[what])
    with pytest.raises(LabelNotUsable, match="another patient's") as stopped:
        read_at_bedside("wristband", [recorded], [], ORDER, "Europe/London")
    assert stopped.value.reason == "wrong_bag"
    assert FOREIGN[what] not in str(stopped.value)


def test_a_hospital_number_among_other_structures_is_left_out_and_the_rest_stays(tmp_path: Path) -> None:
    held = table(tmp_path)
    held.put(ORDER.patient, Identity(name="H F", birth_date="1971-02-03", hospital_number="HN42"))
    symbol = isbt128.compound(isbt128.patient_text("HN42"), isbt128.coi_text(ORDER.coi))

    assert held.pseudonymised([symbol], ORDER) == [isbt128.coi_text(ORDER.coi)]
    assert held.pseudonymised([isbt128.patient_text("HN42")], ORDER) == ["patient:DEMO7F3A"]


def test_a_wristband_shown_where_the_dose_is_asked_for_matches_nothing() -> None:
    with pytest.raises(LabelNotUsable) as refused:
        read_at_bedside("dose", ["patient:DEMO7F3A"], [], ORDER, "Europe/London")
    assert refused.value.reason == "not_read"
    with pytest.raises(LabelNotUsable, match="another patient's"):
        read_at_bedside("wristband", ["patient:DEMO0000"], [], ORDER, "Europe/London")


# ── Delivery beside a signed order ─────────────────────────────────────────────────────


@pytest.mark.requirement("R-36")
def test_an_identity_is_taken_for_the_order_it_was_signed_for_and_for_no_other(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    central, stranger = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    trusted = frozenset({fingerprint(central)})
    content = identity_content(ORDER_TEXT, WHO)
    good = sign("identity", content, central, "central")

    assert read_delivered(good, central=trusted, order_texts={"ORD-1": ORDER_TEXT}) == ("DEMO7F3A", WHO)

    changed = content.replace(b"1971-02-03", b"born 1971!")
    spoilt = {
        "signed by a stranger": (sign("identity", content, stranger, "central"), {"ORD-1": ORDER_TEXT}),
        "of another order": (good, {"ORD-1": ORDER_TEXT.replace("70", "71")}),
        "of no order here": (good, {}),
        "with a date that is none": (sign("identity", changed, central, "central"), {"ORD-1": ORDER_TEXT}),
        "an order": (sign("order", ORDER_TEXT.encode(), central, "central"), {"ORD-1": ORDER_TEXT}),
    }
    for envelope, texts in spoilt.values():
        with pytest.raises(DocumentRefused) as refused:
            read_delivered(envelope, central=trusted, order_texts=texts)
        assert not [one for one in ("Hana", "1971", "HN-FICT") if one in str(refused.value)]


def test_central_signs_an_identity_that_comes_by_stdin_and_names_nobody_in_its_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from appliance.access.documents import dump, load
    from appliance.access.keys import make_key
    from appliance.identity_command import identity

    key = make_key(tmp_path / "central.key")
    dump(sign("order", ORDER_TEXT.encode(), key, "central"), tmp_path / "order.json")
    who = json.dumps({"name": WHO.name, "birth_date": WHO.birth_date, "hospital_number": WHO.hospital_number})
    out = tmp_path / "identity.json"
    words = ["sign", "--order", str(tmp_path / "order.json"), "--key", str(tmp_path / "central.key")]
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(who.encode())))

    status = identity([*words, "--out", str(out)])

    assert (status, "Hana" in "".join(capsys.readouterr())) == (0, False)
    held = read_delivered(load(out), central=frozenset({fingerprint(key)}), order_texts={"ORD-1": ORDER_TEXT})
    assert held == ("DEMO7F3A", WHO)
