"""Whoever takes the disk of a unit finds no patient on it: each byte is looked at, and each key is tried."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import itertools
import json
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import zstandard
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from engine_room import (
    ADA,
    BEN,
    CLEO,
    DIN,
    GUS,
    RECIPE,
    START,
    Room,
    make_room,
    order_envelope,
    told,
)

from appliance.access.documents import Envelope, add_signature, dump, sign, to_json
from appliance.access.identities import SEALED_MEDIA_TYPE, Identities, Identity, identity_content
from appliance.access.identity_key import make_identity_key, open_identity_key
from appliance.access.secret_hash import Argon2Cost
from appliance.doctor import disk_is_encrypted, examine
from appliance.domain import events as ev
from appliance.domain.batch import Order
from appliance.domain.label_fields import bag_fields, order_fields, wristband_fields
from appliance.record.verify import verify_record
from vision.labels.label_picture import render_label

PASSPHRASE = "nine bells over the harbour"
CHEAP = Argon2Cost(passes=1, memory_kib=64, lanes=1)
WHO = Identity(name="Hanneke Fictitia-Voorbeeld", birth_date="1971-02-03", hospital_number="HNFICT0042")
OTHER = "HNFICT9999"
SECRETS = ("Hanneke", "Fictitia", "Voorbeeld", "1971-02-03", "HNFICT0042", OTHER, PASSPHRASE)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A file of the passphrase where systemd would put it: in memory."""
    path = Path("/dev/shm") / f"cellwright-theft-{os.getpid()}"
    path.write_text(PASSPHRASE + "\n", encoding="utf-8")
    yield path
    path.unlink(missing_ok=True)


def delivered(envelope: Envelope) -> dict[str, Any]:
    return {"envelope": json.loads(to_json(envelope))}


def identity_envelope(room: Room, key: str = "central") -> Envelope:
    text = order_envelope(room.keys).content.decode()
    return sign("identity", identity_content(text, WHO), room.keys[key], "central")


async def shown(room: Room, key: str, fields: dict[str, str], template: str = "wristband") -> str:
    """Hold a label before the real eyes; the picture's name on record."""
    part = room.home.run / "shown.png"
    render_label(template, fields | {"simulated": "true"}, part)
    seen = len(room.events(ev.ScanRead))
    part.rename(room.home.labels / f"frame-{seen:04d}.png")
    await room.done("scan", {"prompt": f"hand_over/{key}"})
    async with asyncio.timeout(60):
        while len(room.events(ev.ScanRead)) == seen:
            await asyncio.sleep(0.05)
    read = room.events(ev.ScanRead)[-1]
    assert isinstance(read, ev.ScanRead)
    return read.picture


async def hands_over(room: Room) -> list[str]:
    """A whole batch with real scans at the bed, of wristbands with a name on them too."""
    from appliance.domain.isbt128 import patient_text

    def wristband(symbol: str) -> dict[str, str]:
        order = Order.from_text(order_envelope(room.keys).content.decode())
        readable = f"{WHO.name} {WHO.birth_date}"
        return wristband_fields(order) | {"patient_readable": readable, "coi_text": symbol}

    dump(with_settings(room), room.home.recipes / "short.json")
    await room.done("deliver_document", delivered(identity_envelope(room)))
    await room.goes_to_the_seal()
    await room.done("deliver_document", delivered(room.decision()))
    await room.engine.vision.start()
    try:
        pictures = [await shown(room, "wristband", wristband(patient_text(OTHER)))]
        await room.until(lambda: room.batch.state == "held")
        await room.done("restart", {"reason": "The right patient"}, CLEO.by_pin)
        pictures.append(await shown(room, "wristband", wristband(patient_text(WHO.hospital_number))))
        pictures.append(await shown(room, "dose", bag_label(), "bag"))
        ordered = Order.from_text(order_envelope(room.keys).content.decode())
        pictures.append(await shown(room, "order", order_fields(ordered), "order"))
    finally:
        await room.engine.vision.close()
    for prompt, proof in (("hand_over/giver", ADA.by_password), ("hand_over/receiver", BEN.by_password)):
        await room.answers(prompt, proof)
    return pictures


def bag_label() -> dict[str, str]:
    return bag_fields(
        din=DIN,
        description_code="S9991",
        collection_type="1",
        division="00",
        expires_at=START + timedelta(days=300),
        time_zone="Europe/London",
        patient="DEMO7F3A",
        product="Dose",
        volume_ml="50",
        storage="Cold",
    )


def with_settings(room: Room) -> Envelope:
    """The short recipe, and which product its dose is."""
    text = RECIPE.replace("[recipe]", '[recipe]\ndescription_code = "S9991"\ndivision = "00"')
    envelope = sign("recipe", text.encode(), room.keys["developer"], "recipe_developer")
    return add_signature(envelope, room.keys["reviewer"], "qa_reviewer")


def looked_into(data: bytes) -> Iterator[bytes]:
    """The bytes, and what is packed in them: zstandard, zlib, base64. SQLite's pages are bytes."""
    yield data
    for start in (found.start() for found in re.finditer(rb"\x28\xb5\x2f\xfd", data)):
        try:
            yield zstandard.ZstdDecompressor().decompressobj().decompress(data[start:])
        except zstandard.ZstdError:
            continue
    for start in (found.start() for found in re.finditer(rb"\x78[\x01\x9c\xda]", data)):
        try:
            yield zlib.decompressobj().decompress(data[start:], 1 << 20)
        except zlib.error:
            continue
    for found in re.finditer(rb"[A-Za-z0-9+/]{16,}={0,2}", data):
        text = found[0].rstrip(b"=")
        for shift in range(4):  # the run may begin in the middle of a group
            part = text[shift:]
            yield base64.b64decode(part[: len(part) // 4 * 4])


def image_of(home: Path) -> dict[str, bytes]:
    """The disk image alone: every file of the unit's folder, by its place."""
    return {
        str(path.relative_to(home)): path.read_bytes() for path in sorted(home.rglob("*")) if path.is_file()
    }


def names_in(data: bytes) -> list[str]:
    small = data.lower()
    return [one for one in SECRETS if one.lower().encode() in small or one.encode("utf-16-le") in data]


@pytest.mark.requirement("F-103", "T33")
def test_a_stolen_disk_tells_no_patient_and_no_key_on_it_opens_one(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = make_room(tmp_path)
    make_identity_key(room.home.identity_key, PASSPHRASE, CHEAP)
    monkeypatch.setenv("CELLWRIGHT_BOOT_PASSPHRASE_FILE", str(memory))
    pictures: list[str] = []

    async def story() -> None:
        pictures.extend(await hands_over(room))
        assert room.batch.state == "handed_over"

    told(room, story)

    image = image_of(tmp_path)
    assert "record/record.db" in image
    found = {
        place: {name for part in looked_into(data) for name in names_in(part)}
        for place, data in image.items()
    }
    found = {place: names for place, names in found.items() if names}
    assert found == {}
    assert [place for place in image if place.startswith("sources/labels")] == [], "the frames are gone"
    _no_key_of_the_image_opens(image, pictures)
    _the_unit_itself_opens(room, pictures)


def _no_key_of_the_image_opens(image: dict[str, bytes], pictures: list[str]) -> None:
    """Try everything on the disk as a key, as it is and hashed, on entries, wrapped key and pictures."""
    keyring = json.loads(image["keys/identity.key"])["wrapped"]
    sealed = [(base64.b64decode(keyring["iv"]), base64.b64decode(keyring["ciphertext"]))]
    for place, data in image.items():
        if place.startswith("identities/"):
            entry = json.loads(data)
            sealed.append((base64.b64decode(entry["iv"]), base64.b64decode(entry["sealed"])))
    for name in pictures:
        data = image[f"record/blobs/{name[:2]}/{name}"]
        assert data.startswith(b"CWSEALED1\n")
        sealed.append((data[10:22], data[22:]))
    bound = [
        b"",
        b"cellwright/identity-key/1",
        b"\x00".join((b"cellwright/sealed/1", b"entry", b"UNIT-1", b"DEMO7F3A")),
    ]
    bound.append(b"\x00".join((b"cellwright/sealed/1", b"picture", b"UNIT-1", b"DEMO7F3A")))
    keys = set[bytes]()
    for place in (
        "keys/identity.key",
        "keys/unit.key",
        "keys/pin.secret",
        "documents/people.json",
        "trust.json",
    ):
        data = image[place]
        keys |= {hashlib.sha256(data).digest(), *(data[at : at + 32] for at in range(max(1, len(data) - 31)))}
        keys |= {data[:32] for data in looked_into(data)}
    for key in (one for one in keys if len(one) == 32):
        for (iv, data), said in itertools.product(sealed, bound):
            with pytest.raises(InvalidTag):
                AESGCM(key).decrypt(iv, data, said)


def _the_unit_itself_opens(room: Room, pictures: list[str]) -> None:
    """The same image with the passphrase: nothing was lost, only sealed; and the record verifies."""
    key = open_identity_key(room.home.identity_key, PASSPHRASE)
    held = Identities(room.home.root, "UNIT-1", key)
    assert held.find("DEMO7F3A") == WHO
    for name in pictures:
        sealed = (room.home.record / "blobs" / name[:2] / name).read_bytes()
        assert held.open_picture("DEMO7F3A", sealed).startswith(b"\x89PNG")
    out = room.home.root.parent / "wristband.png"
    words = [
        "picture",
        pictures[0],
        "--patient",
        "DEMO7F3A",
        "--home",
        str(room.home.root),
        "--out",
        str(out),
    ]
    command = [sys.executable, "-m", "appliance.cli", "identity", *words, "--secrets-stdin"]
    for typed, status in (("not this passphrase\n", 1), (f"{PASSPHRASE}\n", 0)):
        done = subprocess.run(command, input=typed, capture_output=True, text=True, check=False)
        assert (done.returncode, out.exists()) == (status, not status), done.stderr
    assert out.read_bytes().startswith(b"\x89PNG")
    assert out.stat().st_mode & 0o077 == 0
    out.unlink()
    texts = [event.texts for event in room.events(ev.ScanRead) if isinstance(event, ev.ScanRead)]
    assert ["patient:DEMO7F3A"] in texts
    assert any(one.startswith("keyed:") for said in texts for one in said)
    assert verify_record(room.home.record).whole
    held.erase("DEMO7F3A")
    assert verify_record(room.home.record).whole, "an erased name leaves the record whole"
    assert held.find("DEMO7F3A") is None


def test_the_test_of_the_stolen_disk_can_fail() -> None:
    name = WHO.name.encode()
    packed = (
        name,
        zstandard.compress(b"x" + name),
        zlib.compress(name),
        b'{"a":"' + base64.b64encode(name) + b'"}',
    )
    for data in packed:
        assert any(names_in(part) for part in looked_into(b"before" + data)), data


@pytest.mark.requirement("F-103")
def test_names_are_shown_at_the_bedside_to_signed_in_people_alone(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        await room.done("deliver_document", delivered(identity_envelope(room)))
        await room.goes_to_the_seal()
        before = await room.connects()
        await room.done("deliver_document", delivered(room.decision()))
        signed_in = await room.connects()
        nobody = await room.connects("another-station")

        def told_by(snapshot: Any) -> list[str]:
            return [fact.value for prompt in snapshot.prompts for fact in prompt.facts]

        assert WHO.name not in str(before)
        assert {WHO.name, WHO.birth_date, WHO.hospital_number} <= set(told_by(signed_in))
        assert nobody.prompts
        assert WHO.name not in str(nobody)
        assert WHO.name not in str(room.events())

    told(room, story)


@pytest.mark.requirement("F-103")
def test_a_unit_without_a_passphrase_claims_no_protection_and_doctor_says_exactly_so(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        await room.done("deliver_document", delivered(identity_envelope(room)))

    told(room, story)

    words = {finding.about: finding.words for finding in examine(room.home)}
    assert "nobody who has the disk" in words["identity key"]
    if not disk_is_encrypted(tmp_path):
        assert "no protection against theft is claimed" in words["theft"]
    taken = open_identity_key(room.home.identity_key)
    assert Identities(tmp_path, "UNIT-1", taken).find("DEMO7F3A") == WHO, "and none is given"


@pytest.mark.requirement("F-103")
def test_under_a_passphrase_protection_is_claimed_for_identities_alone(tmp_path: Path) -> None:
    room = make_room(tmp_path)
    make_identity_key(room.home.identity_key, PASSPHRASE, CHEAP)

    words = {finding.about: finding.words for finding in examine(room.home)}

    assert words["identity key"] == "wrapped by a boot passphrase"
    if not disk_is_encrypted(tmp_path):
        assert "for patients' identities alone" in words["theft"]


def test_a_unit_that_was_not_given_its_passphrase_works_and_is_unlocked_on_record(tmp_path: Path) -> None:
    room = make_room(tmp_path)
    make_identity_key(room.home.identity_key, PASSPHRASE, CHEAP)

    async def identity(*words: str, secrets: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "appliance.cli", "identity", *words, "--home", str(tmp_path)]
        return await asyncio.to_thread(
            subprocess.run, command, input=secrets, capture_output=True, text=True, check=False
        )

    async def looked_at() -> set[str]:
        findings = await asyncio.to_thread(lambda: list(examine(room.home)))
        return {finding.about for finding in findings}

    async def story() -> None:
        refused = await room.refused("deliver_document", delivered(identity_envelope(room)))
        assert (refused.reason, "administrator" in refused.words) == ("identity_locked", True)
        await room.goes_to("seal/performed")  # work goes on
        assert "identities" in await looked_at()

        unlock = ("unlock", "--by", GUS.id, "--secrets-stdin")
        wrong = await identity(*unlock, secrets=f"{GUS.pin}\nnot this passphrase\n")
        right = await identity(*unlock, secrets=f"{GUS.pin}\n{PASSPHRASE}\n")
        file = tmp_path.parent / f"{tmp_path.name}-identity.json"
        file.write_bytes(to_json(identity_envelope(room)))
        added = await identity("add", str(file), "--json")

        assert (wrong.returncode, right.returncode) == (1, 0), wrong.stderr + right.stderr
        assert "identities" not in await looked_at()
        assert json.loads(added.stdout) == {"patient": "DEMO7F3A"}
        assert len(room.events(ev.IdentitiesUnlocked)) == 1
        assert PASSPHRASE not in str(room.events())
        assert WHO.name not in added.stdout + added.stderr + str(room.events())

    told(room, story)


@pytest.mark.requirement("T33")
def test_a_name_is_erased_by_an_administrator_on_record_and_never_under_an_open_batch(tmp_path: Path) -> None:
    room = make_room(tmp_path)
    asked = {"patient": "DEMO7F3A", "reason": "Request 12 of the data protection officer"}

    async def story() -> None:
        await room.done("deliver_document", delivered(identity_envelope(room)))
        await room.begins_batch()
        assert (await room.refused("erase_identity", asked)).reason == "not_permitted"
        await room.signs_in(GUS)
        assert (await room.refused("erase_identity", asked)).reason == "batch_open"
        await room.done("abort_batch", {"reason": "Not wanted"}, CLEO.by_password)
        assert (await room.refused("erase_identity", asked | {"reason": ""})).reason == "reason_missing"
        assert (await room.refused("erase_identity", asked | {"patient": "X"})).reason == "not_found"

        await room.done("erase_identity", asked)

        erased = room.events(ev.IdentityErased)
        assert erased == [ev.IdentityErased(patient="DEMO7F3A", person=GUS.id, reason=asked["reason"])]
        assert room.engine.identities.find("DEMO7F3A") is None

    told(room, story)


def test_an_identity_of_a_stranger_is_refused_on_record_without_its_bytes(tmp_path: Path) -> None:
    room = make_room(tmp_path)

    async def story() -> None:
        refused = await room.refused("deliver_document", delivered(identity_envelope(room, "stranger")))

        assert refused.reason == "wrong_key"
        (event,) = room.events(ev.DocumentRefused)
        assert isinstance(event, ev.DocumentRefused)
        assert (event.type, event.blob) == ("identity", "")
        kept = [reference.media_type for reference in room.engine.record.blob_refs()]
        assert SEALED_MEDIA_TYPE not in kept
        assert not [path for path in image_of(tmp_path).values() if names_in(path)]

    told(room, story)
