"""What the tests of sync stand on: a real central in a process of its own, a unit with a real record."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from appliance.access import documents
from appliance.access.keys import QpKeyFile, Trust, make_qp_key, save_qp_key
from appliance.access.people import People, Person, PersonKey
from appliance.config import Home
from appliance.domain import events
from appliance.domain.blob_names import blobs_hash, named_blobs
from appliance.record.canonical import QUALITY_SIMULATED, Stamp, StoredRecord, encode_payload
from appliance.record.log import Record
from sync.agent import Agent
from sync.central.command import central as central_command
from sync.central.home import CentralHome
from sync.engine_link import SocketEngine
from sync.transport import Central, unit_client

CELLWRIGHT = Path(sys.executable).parent / "cellwright"
START_TIMEOUT_S = 30.0
PASSPHRASE = "a long passphrase of the QP"
PASSWORD = "correct horse battery"
SALINE_RECIPE = (Path(__file__).parents[2] / "appliance" / "recipes" / "thaw_wash_dose_50.toml").read_text(
    encoding="utf-8"
)


@dataclass
class CentralProcess:
    """`cellwright central serve` as a process that can be killed."""

    home: CentralHome
    root: Ed25519PrivateKey
    qp_key: Ed25519PrivateKey
    qp_file: Path
    port: int = 0
    qa_port: int = 0
    process: subprocess.Popen[bytes] | None = None
    log: Path = field(default_factory=Path)

    def start(self) -> None:
        ready = self.home.root / "ready.json"
        ready.unlink(missing_ok=True)
        self.log = self.home.root / "serve.log"
        words = [
            str(CELLWRIGHT),
            "central",
            "serve",
            "--home",
            str(self.home.root),
            "--ready-file",
            str(ready),
        ]
        words += ["--port", str(self.port), "--qa-port", str(self.qa_port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(words, stderr=log, stdout=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not ready.exists():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, "central did not start"
            time.sleep(0.02)
        facts = json.loads(ready.read_text())
        self.port, self.qa_port = facts["port"], facts["qa_port"]

    def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def stop(self) -> int:
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(15)

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def qa_url(self) -> str:
        return f"https://127.0.0.1:{self.qa_port}"


def make_central(folder: Path, *, simulated: bool = True) -> CentralProcess:
    """A central with a list of people and two accounts, not started."""
    words = ["init", "--home", str(folder), "--site", "Test site"] + (["--simulated"] if simulated else [])
    assert central_command(words) == 0
    root = Ed25519PrivateKey.generate()
    key_file, qp_key = make_qp_key("p-qp", PASSPHRASE)
    save_qp_key(key_file, folder / "qp.key")
    people = people_document(root, key_file)
    documents.dump(people, folder / "people.json")
    trusted = ["--root", documents.fingerprint(root)]
    assert (
        central_command(["import-document", "--home", str(folder), str(folder / "people.json"), *trusted])
        == 0
    )
    home = CentralHome(folder)
    for person, name, role in (("p-qp", "Quinn Petersen", "qp"), ("p-qa", "Ada Quist", "qa_reviewer")):
        add_account(home, person, name, role)
    return CentralProcess(home, root, qp_key, folder / "qp.key")


def add_account(home: CentralHome, person: str, name: str, role: str) -> None:
    from appliance.access.keys import load_pin_secret
    from sync.central.accounts import Accounts

    store = home.store()
    accounts = Accounts(store, load_pin_secret(home.password_secret))
    accounts.add(person=person, name=name, role=role, password=PASSWORD, now=datetime.now(UTC))
    store.close()


def people_document(root: Ed25519PrivateKey, qp: QpKeyFile, version: int = 1) -> documents.Envelope:
    own = documents.fingerprint(qp.public_key)
    people = People(
        version=version,
        issued_at=datetime.now(UTC),
        people=(
            Person(id="p-qp", name="Quinn Petersen", roles=("qp",)),
            Person(id="p-qa", name="Ada Quist", roles=("qa_reviewer",)),
        ),
        keys=(PersonKey(person=qp.person, role="qp", public_key=qp.public_key, key=own),),
    )
    return documents.sign("people", people.to_content(), root, "root")


@dataclass
class Unit:
    """A unit with its home folder, its keys and an open record."""

    home: Home
    key: Ed25519PrivateKey
    record: Record
    unit_id: str
    clock: datetime = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
    ticks: int = 0
    boot_id: bytes = b"boot-id-of-tests"

    def stamp(self) -> Stamp:
        self.ticks += 1
        self.clock += timedelta(seconds=7)
        return Stamp(self.clock, self.ticks * 7_000_000_000, self.boot_id, QUALITY_SIMULATED)

    def say(self, event: events.Event, *, batch: str | None = None, actor: str = "p-0001") -> StoredRecord:
        payload = encode_payload(batch, None, events.to_body(event))
        kind = type(event).__name__
        if kind in events.UNIT_KINDS:
            payload = encode_payload(None, None, events.to_body(event))
        return self.record.append(kind, payload, actor=actor, stamp=self.stamp())

    def chatter(self, count: int) -> None:
        """Uneventful events, signed as one run."""
        for number in range(count):
            self.say(events.SessionOpened(person=f"p-{number}", name="Nobody", station="bedside"))
        self.record.seal(self.stamp())

    def trend(self, count: int = 1) -> None:
        for number in range(count):
            payload = encode_payload(None, None, {"channel": "bath_c", "minute": number})
            self.record.append("Chunk", payload, actor="unit", stamp=self.stamp(), log="telemetry")
        self.record.seal(self.stamp(), log="telemetry")


def enrol(central: CentralProcess, folder: Path, *, simulated: bool = True) -> Unit:
    """A new unit with a (simulated) record, known to central as simulated or, wrongly, as real."""
    home = Home(folder)
    unit_id = f"sim-{secrets.token_hex(4)}"
    key = Ed25519PrivateKey.generate()
    public = documents.raw_public_key(key)
    pem = folder / "unit.pub"
    folder.mkdir(parents=True, exist_ok=True)
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    words = ["add-unit", "--home", str(central.home.root), "--unit", unit_id, "--public-key", str(pem)]
    words += ["--out", str(home.keys)] + (["--simulated"] if simulated else [])
    assert central_command(words) == 0
    Trust(central=(central.home.fingerprint(),), unit=(documents.fingerprint(public),)).save(home.trust)
    unit = Unit(home, key, None, unit_id)  # type: ignore[arg-type]
    unit.record = Record.create(
        home.record,
        unit_id=unit_id,
        key=key,
        software_version="0.1.0",
        simulated=True,
        stamp=unit.stamp(),
    )
    return unit


def agent_of(unit: Unit, url: str) -> Agent:
    client = unit_client(
        url, certificate=unit.home.client_crt, key=unit.home.client_key, authority=unit.home.central_ca
    )
    return Agent(
        Record.open_readonly(unit.home.record),
        Central(client, unit.unit_id),
        SocketEngine(unit.home.socket),
        trusted=Trust.load(unit.home.trust).central,
        state_file=unit.home.root / "sync" / "state.json",
    )


def review_audit(central: CentralProcess, unit: Unit, batch: str = "B-0001") -> None:
    """The QA reviewer signs at central, in this process, that they reviewed the audit trail as it is now."""
    from appliance.access.keys import load_pin_secret
    from sync.central.accounts import Accounts, SignedIn
    from sync.central.audit_pages import AuditPages, head_of
    from sync.central.pages import Pages
    from sync.central.review import review_batch

    store = central.home.store()
    accounts = Accounts(store, load_pin_secret(central.home.password_secret))
    review = review_batch(store, unit.unit_id, batch)
    assert review is not None
    seq, hash_ = head_of(review)
    said = {"seq": seq, "hash": hash_, "only": "critical", "password": PASSWORD}
    who = SignedIn("p-qa", "Ada Quist", "qa_reviewer", "")
    AuditPages(store, accounts, Pages(central.home.settings())).sign(review, who, said, now=datetime.now(UTC))
    store.close()


def png() -> bytes:
    """A small picture."""
    import cv2
    import numpy as np

    done, data = cv2.imencode(".png", np.full((90, 160, 3), 180, np.uint8))
    assert done
    return bytes(data) + b""


def make_batch(
    unit: Unit,
    batch: str = "B-0001",
    *,
    deviation: bool = True,
    failed: bool = False,
    order: str = "",
    more: Sequence[events.Event] = (),
) -> str:
    """A short sealed batch with a count, results, a picture and perhaps a deviation; returns its id."""
    picture = unit.record.put_blob(png() + os.urandom(8), "image/png").sha256
    made = order or f"o-{unit.unit_id}-{batch}"  # one order, one batch
    order_said = {"id": made, "patient": "SIM-PAT-7", "din": "A999926123456", "recipe": "thaw-wash-dose-50"}
    hash_ = "ab" * 32
    opened = events.BatchOpened(
        order_id=made,
        order_text=json.dumps(order_said),
        recipe_id="thaw-wash-dose-50",
        recipe_version="1.0.0",
        recipe_hash=hash_,
        recipe_text=SALINE_RECIPE,
        recipe_signers=["p-0009"],
        recipe_blob="",
        order_blob="",
        people_blob="",
        people_version=1,
        software_version="0.1.0",
        devices=["balance", "pump"],
        simulated=True,
        clock_speed="1",
        site="Test site",
        time_zone="Europe/Berlin",
        station={},
    )
    unit.say(opened, batch=batch)
    story = [
        events.PhaseStarted(phase="clear_line"),
        events.LineCleared(phase="clear_line", performed_by="p-0001", verified_by="p-0002"),
        events.PhaseCompleted(phase="clear_line"),
        events.PhaseStarted(phase="thaw"),
        events.ValueRecorded(
            phase="thaw", key="core", value="-1.0", unit="degC", quality="good", source="thawer", source_at=""
        ),
    ]
    story += more
    if deviation:
        story.append(
            events.DeviationOpened(
                deviation="d-1", phase="thaw", words="The thaw took 9 min.", classification="minor"
            )
        )
    story += [events.PhaseCompleted(phase="thaw"), _count(picture), _result("viability", failed=failed)]
    for event in story:
        unit.say(event, batch=batch)
    labels = ["=A99992612345600S9991100"]
    unit.say(events.BatchCompleted(recipe_hash=hash_, dose_labels=labels, expires_at=""), batch=batch)
    unit.trend(3)
    seal(unit, batch, hash_, labels)
    return batch


def seal(unit: Unit, batch: str, recipe_hash: str, labels: list[str]) -> None:
    head, telemetry = unit.record.head(), unit.record.head("telemetry")
    names = []
    for record in unit.record.read():
        payload = json.loads(record.payload)
        if payload["batch"] == batch:
            names += named_blobs(payload["body"])
    sealed = events.BatchSealed(
        log_epoch=head.epoch.hex(),
        sealed_seq=head.seq,
        sealed_hash=head.hash.hex(),
        telemetry_seq=telemetry.seq,
        telemetry_hash=telemetry.hash.hex(),
        blobs_hash=blobs_hash(names),
        blob_count=len(set(names)),
        recipe_hash=recipe_hash,
        dose_labels=labels,
    )
    unit.say(sealed, batch=batch)
    unit.record.seal(unit.stamp())


def _count(picture: str) -> events.CellCountReported:
    return events.CellCountReported(
        phase="count",
        count_id="c-1",
        replicate=1,
        verdict="counted",
        reasons=[],
        live=380,
        dead=40,
        unclassified=0,
        viability_percent="90.5",
        viability_interval_percent=["87.3", "92.9"],
        concentration_cells_ml="1200000",
        concentration_interval_cells_ml=["1100000", "1300000"],
        fields=12,
        images=[],
        overlay=picture,
        method={"id": "trypan-blue"},
        station={},
    )


def _result(test: str, *, failed: bool) -> events.ResultReceived:
    return events.ResultReceived(
        phase="count",
        test=test,
        value="61.0" if failed else "90.5",
        interval=["87.3", "92.9"],
        unit="%",
        limit=">= 70 %",
        verdict="fail" if failed else "pass",
        rule="lower bound of the 95 % interval against the limit",
    )
