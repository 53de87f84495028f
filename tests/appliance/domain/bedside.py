"""Given-when-then beside a bed without screens, disk or devices: the domain alone, with a hand-moved clock.

Facts are committed as the engine commits them: decide, fold, carry out what was ordered, let the
phases say what follows. Time moves only when a test lets it pass.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, TypeVar

from world import DEVICES, World

import appliance
from appliance.domain import consent, decisions, device_news, materials, previous, recovery, transport_log
from appliance.domain import events as ev
from appliance.domain.batch import Batch, DeviceSpec, Fact, Order, Unit, evolve
from appliance.domain.decisions import Opening
from appliance.domain.errors import CommandRefused
from appliance.domain.exchange_file import ExchangeFileUnusable
from appliance.domain.label_fields import bag_fields, material_fields, order_fields, wristband_fields
from appliance.domain.phases.receipt import range_c
from appliance.domain.prompts import Prompt
from appliance.domain.recipe import parse
from appliance.domain.roles import Actor

RECIPE_B = (Path(appliance.__file__).parent / "recipes" / "thaw_wash_dose_50.toml").read_text("utf-8")
START = datetime(2026, 3, 2, 8, 0, tzinfo=UTC)
TIME_ZONE = "Europe/London"
IN_200_DAYS = START.date() + timedelta(days=200)
DIN, OTHER_DIN = "A999926123456", "A999926654321"
SETTLE_ROUNDS_MAX = 200

ADA = Actor("p-0001", "Ada", ("operator",))
BEN = Actor("p-0002", "Ben", ("verifier",))
CLEO = Actor("p-0003", "Cleo", ("supervisor",))
GUS = Actor("p-0007", "Gus", ("administrator",))
MIA = Actor("p-0009", "Mia", ("maintenance",))

ORDER = {
    "id": "ORD-1",
    "recipe": "thaw-wash-dose-50",
    "patient": "DEMO7F3A",
    "coi": "CHA999926000001",
    "din": DIN,
    "description_code": "S9991",
    "division": "00",
    "weight_kg": "70",
    "dose_target_cells_kg": "1.5e6",
    "unit": "UNIT-1",
    "consent": "CONSENT-1",
    "expires_at": (START + timedelta(days=30)).isoformat(),
    "assignment": "1",
}
ENTERED = {
    "decision": "accept",
    "recovery": "82",
    "volume_out": "33.0",
    "pressure_max": "320",
    "courier": "Night courier 7",
    "seal_number": "SEAL-0042",
    "seal": "intact",
    "arrival_temperature": "-182.5",
    "log": "yes",
    "place": "Ward 7, bed 3",
    "box_seal": "intact",
    "dose_temperature": "21.5",
    "endotoxin": "0.05",
    "gram": "none_seen",
    "applied": "1",
    "void": "0",
    "destroyed": "0",
}
METHOD = {"id": "trypan-blue", "version": "1", "hash": "00"}
TEMPLATES = {"dose": {"version": "2", "hash": "01", "template_blob": ""}}
E = TypeVar("E", bound=ev.Event)


def with_proof(actor: Actor, proof: str) -> Actor:
    return dataclasses.replace(actor, proof=proof)


def bag_texts(
    din: str = DIN,
    *,
    expires_at: datetime = START + timedelta(days=300),
    code: str = "S9991",
    division: str = "00",
) -> list[str]:
    """What the camera reads on a bag's label."""
    fields = bag_fields(
        din=din,
        description_code=code,
        collection_type="1",
        division=division,
        expires_at=expires_at,
        time_zone=TIME_ZONE,
        patient="",
        product="",
        volume_ml="50",
        storage="",
    )
    return [fields["din_text"], fields["product_text"], fields["compound_text"]]


def material_texts(catalogue: str, *, expires_on: date = IN_200_DAYS, lot: str = "LOT1") -> list[str]:
    fields = material_fields(
        name="", maker=catalogue[:2], catalogue=catalogue[2:], lot=lot, expires_on=expires_on
    )
    return [fields["compound_text"]]


def coi_texts(coi: str = ORDER["coi"]) -> list[str]:
    order = dict(ORDER) | {"coi": coi}
    return [wristband_fields(Order.from_text(json.dumps(order)))["coi_text"]]


def order_texts(coi: str = ORDER["coi"], din: str = DIN) -> list[str]:
    """What the camera reads on an order sheet."""
    order = dict(ORDER) | {"coi": coi, "din": din}
    return [order_fields(Order.from_text(json.dumps(order)))["coi_text"]]


def counted(request: ev.CountRequested, **changes: object) -> ev.CellCountReported:
    """One good count: 450 cells, 90 % viable, 4.5 million a millilitre."""
    report = ev.CellCountReported(
        phase=request.phase,
        count_id=request.count_id,
        replicate=request.replicate,
        verdict="counted",
        reasons=[],
        live=405,
        dead=45,
        unclassified=0,
        viability_percent="90.0",
        viability_interval_percent=["86.9", "92.4"],
        concentration_cells_ml="4500000",
        concentration_interval_cells_ml=["4100000", "4900000"],
        fields=12,
        images=[],
        overlay="",
        method=dict(METHOD),
        station={},
    )
    return dataclasses.replace(report, **changes)  # type: ignore[arg-type]


def count_qualified(**changes: object) -> ev.CountMethodQualified:
    """The counting method was qualified half a year ago, for a year."""
    qualified = ev.CountMethodQualified(
        method=METHOD["id"],
        version=METHOD["version"],
        hash=METHOD["hash"],
        station={},
        series="trypan-blue",
        design_blob="",
        report_blob="",
        figures={"r2": "0.998", "cv_percent": "5.2"},
        limits={"cv_percent_max": "10"},
        verdict="pass",
        words=[],
        performed_on="2025-09-01",
        qualified_until="2026-09-01",
        fictitious=True,
        reason="First qualification",
        first_person="p-0009",
        second_person="p-0003",
    )
    return dataclasses.replace(qualified, **changes)  # type: ignore[arg-type]


def consent_given(**changes: str) -> ev.ConsentRecorded:
    """The consent that the order names."""
    said = {"consent": ORDER["consent"], "coi": ORDER["coi"], "patient": ORDER["patient"]}
    return ev.ConsentRecorded(
        **said | {"received_from": "study nurse", "given_on": "2026-02-20", "first_person": ADA.id} | changes
    )


def transport_csv(
    until: datetime, temperatures: Sequence[str] = ("-183.0",) * 13, *, step_min: float = 10, **said: str
) -> bytes:
    """What the logger of a shipper exports: the last reading `until`, one each ten minutes before."""
    about = {"shipper": "DRY-0042", "logger": "LOG-17", "from": "Apheresis centre", "to": "Ward 7"}
    rows = ["cellwright-transport/1", *(f"{name},{value}" for name, value in (about | said).items())]
    count = len(temperatures)
    for place, degrees in enumerate(temperatures):
        at = until - timedelta(minutes=step_min * (count - 1 - place))
        rows.append(f"reading,{at:%Y-%m-%dT%H:%M:%SZ},{degrees}")
    return "\n".join([*rows, f"end,{len(rows)}", ""]).encode()


def transport_read(unit: Unit, asked: ev.ExchangeFileRequested, data: bytes) -> ev.ExchangeFileRead:
    """What the engine reports of a logger's file."""
    assert unit.batch is not None
    read = ev.ExchangeFileRead(
        phase=asked.phase,
        key=asked.key,
        import_id=asked.import_id,
        file=asked.file,
        sha256=hashlib.sha256(data).hexdigest(),
        size_bytes=len(data),
    )
    try:
        log = transport_log.read(data)
    except ExchangeFileUnusable as why:
        return dataclasses.replace(read, reason=why.reason, words=str(why))
    used_in = unit.used_files.get(read.sha256, "")
    return dataclasses.replace(
        read,
        blob=read.sha256,
        serial_number=log.shipper,
        programme=transport_log.KEY,
        started=log.readings[0][0].isoformat(),
        ended=log.readings[-1][0].isoformat(),
        results=transport_log.summary(log, *range_c(unit.batch.runs[asked.phase].phase)),
        used_in="" if used_in == unit.batch.id else used_in,
    )


WITHDRAWAL = {"coi": ORDER["coi"], "received_from": "ward physician", "reason": "The patient called"}


def material_received(texts: list[str], **changes: object) -> materials.Received:
    """Twenty pieces came in whole, with a paper certificate."""
    received = materials.Received(
        texts=texts,
        identifiers=[],
        picture="",
        time_zone=TIME_ZONE,
        title="Material",
        quantity=20,
        supplier="Maker",
        visual_check="passed",
        certificate_reference="CoA 1",
    )
    return dataclasses.replace(received, **changes)  # type: ignore[arg-type]


class Bedside:
    """One unit with one patient's batch, its people and its small world."""

    def __init__(self, recipe: str = RECIPE_B) -> None:
        devices = {id: DeviceSpec(id, role, role.title()) for role, id in DEVICES.items()}
        self.unit = Unit("UNIT-1", True, devices)
        self.world = World()
        self.now = START
        self.recipe_text = recipe
        self.facts: list[Fact] = []
        self.count: Callable[[ev.CountRequested], ev.Event] = counted
        self.prints: Callable[[ev.LabelRequested], ev.Event] = self._printed
        self.labels: dict[str, list[str]] = {}  # label id → what is printed on it
        self._commit(
            [
                ev.EngineStarted(
                    term=1, software_version="1", check="", check_passed=True, configuration_hash=""
                )
            ]
        )
        self.qualifies_the_count()
        self.stocks_the_materials()
        self.has_consent()
        for device in devices:
            self.identify(device)
        self.world.says(self.unit, self.now)

    def qualifies_the_count(self, **changes: object) -> None:
        """Two persons have put the counting method's qualification on record."""
        self.commit([count_qualified(**changes)], MIA.id)

    def has_consent(self, **changes: str) -> None:
        """Two persons have put the patient's consent on record."""
        self.commit(consent.recorded(self.unit, consent_given(**changes)), ADA.id)

    def withdraws_the_consent(self, by: Actor = ADA) -> None:
        """The ward calls: the patient does not want it any longer."""
        asked = consent.Asked.of(WITHDRAWAL)
        self.asked(
            "withdraw_consent",
            by,
            lambda: consent.withdraw(self.unit, by, asked, self.now),
            **WITHDRAWAL,
        )

    def stocks_the_materials(self) -> None:
        """What the recipe takes was received by one person and released by another."""
        for material in parse(self.recipe_text.encode()).materials.values():
            self.releases(self.receives(material_texts(material.catalogue)))

    def receives(self, texts: list[str], by: Actor = ADA, **changes: object) -> str:
        """A receipt goes into quarantine; its number."""
        asked = material_received(texts, **changes)
        self.asked(
            "receive_material", by, lambda: materials.receive(self.unit, by, asked, self.now), **asked.body()
        )
        return self.last(ev.MaterialReceived).receipt

    def releases(self, receipt: str, by: Actor = BEN, **changes: str) -> None:
        body = {"receipt": receipt, "certificate": "CoA 1", "reason": "All as it should be"} | changes
        asked = materials.Judged.of(body)
        self.asked("release_material", by, lambda: materials.release(self.unit, by, asked, self.now), **body)

    def asked(
        self,
        name: str,
        by: Actor,
        decide: Callable[[], list[ev.Event]],
        *,
        people: Sequence[Actor] = (),
        **body: Any,
    ) -> None:
        """One command of one person, or of all of `people`; a bedside with a log puts it on record."""
        self.commit(decide(), by.id)

    # ── What happens ───────────────────────────────────────────────────────────────────

    def _commit(self, events: list[ev.Event], actor: str = "unit", batch: str | None = None) -> None:
        open_batch = batch or (self.unit.batch.id if self.unit.batch else None)
        for event in events:
            of_batch = None if type(event).__name__ in ev.UNIT_KINDS else open_batch
            fact = Fact(event, self.now, actor, len(self.facts) + 1, of_batch)
            self.facts.append(fact)
            evolve(self.unit, fact)
        for event in events:
            self._carry_out(event)

    def commit(self, events: list[ev.Event], actor: str = "unit", batch: str | None = None) -> None:
        """One turn: commit, carry out, and let the phases say what follows."""
        self._commit(events, actor, batch)
        self._settle()

    def _settle(self) -> None:
        for _ in range(SETTLE_ROUNDS_MAX):
            events = decisions.advance(self.unit, self.now)
            if not events:
                return
            self._commit(events)
        raise AssertionError("the phases do not come to rest")

    def _carry_out(self, event: ev.Event) -> None:
        outcome: ev.Event | None = None
        match event:
            case ev.DeviceOrdered():
                outcome = self.world.obeys(event)
            case ev.CountRequested():
                outcome = self.count(event)
            case ev.LabelRequested():
                outcome = self.prints(event)
            case ev.PhaseHolding(phase=phase) if "pump" in self.batch.runs[phase].phase.safe_state:
                if self.world.pump_state == "infusing":
                    self.world.pump_state = "stopped"
            case ev.DeviceStopped():
                self.world.pump_state = "stopped"
        if outcome is not None:
            self._commit([outcome])

    def _printed(self, request: ev.LabelRequested) -> ev.Event:
        fields = request.fields
        symbols = ("din_text", "product_text", "compound_text")
        self.labels[request.label_id] = [fields[name] for name in symbols if name in fields]
        return ev.LabelDrawn(
            phase=request.phase,
            label_id=request.label_id,
            template=request.template,
            version="1",
            picture="",
            sha256="",
            texts=self.labels[request.label_id],
            zpl_blob="",
            zpl_file=f"{request.label_id}.zpl",
        )

    def identify(self, device: str, *, serial_number: str = "1", qualified: str = "") -> None:
        identity = {"maker": "m", "model": "m", "serial_number": serial_number, "firmware": "1"}
        self.unit.devices[device] = dataclasses.replace(self.unit.devices[device], serial_number=qualified)
        self.commit(device_news.identified(self.unit, device, identity))

    def waits(self, seconds: float, *, step_s: float = 5.0) -> None:
        """Let time pass; devices go on speaking."""
        while seconds > 0:
            step = min(step_s, seconds)
            seconds -= step
            self.now += timedelta(seconds=step)
            self.world.passes(step)
            self.world.says(self.unit, self.now)
            self._settle()

    # ── What people do ─────────────────────────────────────────────────────────────────

    def opening(self, **changes: str) -> Opening:
        order = json.dumps(dict(ORDER) | changes, sort_keys=True)
        return Opening(
            order=Order.from_text(order),
            order_text=order,
            order_blob="",
            recipe=parse(self.recipe_text.encode()),
            recipe_text=self.recipe_text,
            recipe_signers=["p-0004", "p-0005"],
            recipe_blob="",
            people_blob="",
            people_version=1,
            software_version="1",
            clock_speed="1",
            site="Ward",
            time_zone=TIME_ZONE,
            station={},
            count_methods=[dict(METHOD)],
            label_templates={name: dict(one) for name, one in TEMPLATES.items()},
        )

    def begin_batch(self, by: Actor = ADA, **order: str) -> None:
        batch, events = decisions.open_batch(self.unit, self.opening(**order), by, self.now)
        self.commit(events, by.id, batch)

    def prompt(self, prompt_id: str) -> Prompt:
        return decisions.find_prompt(self.unit, prompt_id, self.now)

    def asks(self) -> list[str]:
        """The ids of what is asked now."""
        return [prompt.id for prompt in decisions.open_prompts(self.unit, self.now)]

    def answer(self, prompt_id: str, by: Actor | None = None, **values: str) -> None:
        """Answer as the right person with the right proof, unless a test says who and how."""
        prompt = self.prompt(prompt_id)
        actor = by or self._person_for(prompt)
        known = {field.name: ENTERED[field.name] for field in prompt.fields if field.name in ENTERED}
        entered = known | values
        self.commit(decisions.answer(self.unit, prompt_id, entered, actor, self.now), actor.id)

    @staticmethod
    def _person_for(prompt: Prompt) -> Actor:
        proofs = {"second_person": "pin", "signature": "password", "second_signature": "password"}
        person = BEN if prompt.needs in ("second_person", "second_signature") else ADA
        return with_proof(person, proofs.get(prompt.needs, "session"))

    def scan(
        self,
        prompt_id: str,
        texts: list[str],
        *,
        reasons: tuple[str, ...] = (),
        by: Actor = ADA,
        shown: str = "",
    ) -> None:
        """Show a label; the camera reads `texts` in a picture whose hash is `shown`."""
        self.camera_reads(self.asks_the_camera(prompt_id, by), texts, reasons, shown)

    def asks_the_camera(self, prompt_id: str, by: Actor = ADA) -> ev.ScanRequested:
        self.commit(decisions.scan(self.unit, prompt_id, by, self.now), by.id)
        return self.last(ev.ScanRequested)

    def cancels(self, scan_id: str, by: Actor = ADA) -> None:
        """A person ends the scan that is under way."""
        self.commit(decisions.cancel_scan(self.unit, scan_id, by), by.id)

    def camera_reads(
        self,
        asked: ev.ScanRequested,
        texts: list[str],
        reasons: tuple[str, ...] = (),
        shown: str = "",
    ) -> None:
        read = ev.ScanRead(
            phase=asked.phase,
            key=asked.key,
            scan_id=asked.scan_id,
            texts=texts,
            symbologies=["code128"] * len(texts),
            reasons=list(reasons),
            picture="",
            belongs_to=previous.belongs_to(self.unit, texts),
            shown=shown,
        )
        self.commit(decisions.scan_read(self.unit, read, self.now))

    def restart(self, by: Actor = ADA) -> None:
        self.commit(decisions.restart(self.unit, by, "Looked at everything"), by.id)

    def abort_batch(self, by: Actor = CLEO) -> None:
        events = decisions.abort_batch(self.unit, with_proof(by, "password"), "Not to be used")
        self.commit(events, by.id)

    @staticmethod
    def refusal(act: Callable[[], None]) -> CommandRefused:
        """What a person is told who asks for what may not be."""
        try:
            act()
        except CommandRefused as refused:
            return refused
        raise AssertionError("this was not refused")

    def stop(self) -> None:
        self.commit(decisions.stopped(self.unit, "bedside-1", {}))

    def crash(self) -> None:
        """The engine dies and starts again: it knows only what is on record, and readings are fresh ones."""
        self.world.pump_state = "stopped"
        self.unit = self.refolded()
        self.unit.qualified.clear()
        self.unit.silent.clear()
        self.unit.readings.clear()
        term = self.unit.term + 1
        started = ev.EngineStarted(
            term=term, software_version="1", check="", check_passed=True, configuration_hash=""
        )
        recovered = recovery.recover(self.unit, term, len(self.facts))
        self.commit([started, *recovered])
        for device in self.unit.devices:
            self.identify(device)
        self.waits(1)

    # ── A whole crew that does everything right ────────────────────────────────────────

    def works_until(self, wanted: str) -> None:
        """Everything goes well until a phase `wanted` runs, or a question of that id is asked."""
        for _ in range(2_000):
            if wanted in self.asks() or (wanted in self.batch.runs and self.state_of(wanted) != "idle"):
                return
            self.do_next()
        raise AssertionError(f"{wanted} never came; asked: {self.asks()}, batch {self.batch.state}")

    def works_through(self, phase: str) -> None:
        """Everything goes well until `phase` is complete."""
        for _ in range(2_000):
            if self.state_of(phase) == "complete":
                return
            self.do_next()
        raise AssertionError(f"{phase} was never complete; asked: {self.asks()}, batch {self.batch.state}")

    def do_next(self) -> None:
        """Answer the first question as people should, or let time pass."""
        prompts = decisions.open_prompts(self.unit, self.now)
        if not prompts:
            self.waits(15, step_s=15)
            return
        prompt = prompts[0]
        self._hands(prompt)
        if prompt.kind == "scan":
            self.scan(prompt.id, self._shown(prompt))
        elif prompt.kind == "import":
            self.imports_the_log(prompt.id)
        else:
            self.answer(prompt.id)
        self.waits(1, step_s=1)

    def imports_the_log(self, prompt_id: str, log: bytes | None = None, *, by: Actor = ADA) -> None:
        """The logger's stick is in the station, and its file is chosen."""
        file = "log.csv"
        self.asked(
            "import_file",
            by,
            lambda: decisions.import_file(self.unit, prompt_id, file, by, self.now),
            prompt=prompt_id,
            file=file,
        )
        asked = self.last(ev.ExchangeFileRequested)
        read = transport_read(self.unit, asked, log if log is not None else transport_csv(self.now))
        self.commit(decisions.file_read(self.unit, read, self.now))

    def _hands(self, prompt: Prompt) -> None:
        if prompt.id == "thaw/bag_in":
            self.world.bag_in_bath_s = 0.0
        elif prompt.id == "fill/setup":
            self.world.weight_g = Decimal("12.00")  # the empty dose bag

    def _shown(self, prompt: Prompt) -> list[str]:
        match prompt.action.split():
            case ["show", "material", name]:
                return material_texts(self.batch.recipe.materials[name].catalogue)
            case ["show", "bag"]:
                return bag_texts()
            case ["show", "dose"]:
                return list(self.labels.values())[-1]
            case ["show", "label", serial]:
                return self.labels[serial]
            case ["show", "order"]:
                return order_texts()
            case _:
                return coi_texts()

    def seal(self) -> None:
        """The engine binds the heads as they are now."""
        sealed = ev.BatchSealed(
            log_epoch="00",
            sealed_seq=len(self.facts),
            sealed_hash="11",
            telemetry_seq=1,
            telemetry_hash="22",
            blobs_hash="33",
            blob_count=0,
            recipe_hash=self.batch.recipe.hash,
            dose_labels=self.last(ev.BatchCompleted).dose_labels,
        )
        self.commit([sealed])

    def is_released(self) -> None:
        """A batch of which all went well waits at the bed."""
        self.begin_batch()
        self.works_through("seal")
        self.seal()
        self.qp_decides("released")

    def qp_decides(self, disposition: str = "released", *, version: int = 1, expires_h: float = 12) -> None:
        """A decision that the engine has checked."""
        recorded = ev.DispositionRecorded(
            disposition=disposition,
            stage="conditional",
            version=version,
            by="p-0006",
            name="Faye",
            decided_at=self.now.isoformat(),
            expires_at=(self.now + timedelta(hours=expires_h)).isoformat(),
            decision_blob="",
            decision_hash="",
            sealed_seq=self.batch.sealed.sealed_seq if self.batch.sealed else 0,
        )
        self.commit([recorded], "p-0006")

    # ── What is so ─────────────────────────────────────────────────────────────────────

    @property
    def batch(self) -> Batch:
        assert self.unit.batch is not None, "no batch was begun"
        return self.unit.batch

    def state_of(self, phase: str) -> str:
        return self.batch.runs[phase].state

    def all(self, kind: type[E]) -> list[E]:
        return [fact.event for fact in self.facts if isinstance(fact.event, kind)]

    def last(self, kind: type[E]) -> E:
        return self.all(kind)[-1]

    def has(self, kind: type[ev.Event]) -> bool:
        return bool(self.all(kind))

    def pump_orders(self) -> list[ev.DeviceOrdered]:
        return [order for order in self.all(ev.DeviceOrdered) if order.device == DEVICES["pump"]]

    def alarm_words(self) -> str:
        return " ".join(f"{alarm.cause} {alarm.action}" for alarm, _, _ in self.unit.alarms.values())

    def deviations(self) -> list[str]:
        return [deviation.words for deviation in self.all(ev.DeviationOpened)]

    def result(self, test: str) -> ev.ResultReceived:
        return next(result for result in reversed(self.all(ev.ResultReceived)) if result.test == test)

    def refolded(self) -> Unit:
        """The state that the facts alone tell."""
        unit = Unit(self.unit.id, self.unit.simulated, self.unit.devices)
        for fact in self.facts:
            evolve(unit, fact)
        unit.readings = dict(self.unit.readings)
        return unit
