"""A peer for the screens: the real socket server, with scripted snapshots and a list of what was asked."""

from __future__ import annotations

import asyncio
import itertools
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from appliance.link.messages import (
    Accepted,
    AlarmView,
    BatchView,
    ChoiceView,
    Command,
    CountView,
    DeviceView,
    EnteredView,
    EventMessage,
    FactView,
    FieldView,
    Hello,
    OrderView,
    PersonView,
    PhaseView,
    PromptView,
    ReadingView,
    RecordView,
    Refused,
    ScanView,
    SignatureView,
    Snapshot,
    SyncView,
    Telemetry,
    TimerView,
    UnitView,
)
from appliance.link.server import Caller, LinkServer

NOW = datetime(2026, 3, 4, 12, 3, 11, tzinfo=UTC)
AMARA = PersonView(id="p-0001", name="Amara Okafor", roles=["operator"])
BRAM = PersonView(id="p-0002", name="Bram Visser", roles=["operator", "verifier"])
CHIARA = PersonView(id="p-0003", name="Chiara Rossi", roles=["supervisor", "verifier"])
PIN, PASSWORD = "246810", "correct horse 9"

TITLES = [
    "Clear the line",
    "Warm the bath",
    "Scan the materials",
    "Receive the bag",
    "Thaw",
    "Dilute 1:1",
    "Wash, two cycles",
    "Take the sample",
    "Count cells and viability",
    "Endotoxin and Gram stain",
    "Fill the dose",
    "Print, apply and check the label",
]

CONFIRM = PromptView(
    id="clear-line/done",
    phase="clear-line",
    kind="confirm",
    title="Clear the line",
    instruction="Remove everything of any earlier batch from the bench. Wipe the bench and the bath lid.",
    button="The line is clear",
    facts=[FactView(label="Last batch here", value="B-000041, handed over")],
)
SECOND = PromptView(
    id="clear-line/done.verify",
    phase="clear-line",
    kind="confirm",
    title="Clear the line: second person",
    instruction="Look at the bench yourself. Nothing of another batch may be there.",
    button="I have checked this myself",
    needs="second_person",
    roles=["verifier"],
    not_by=["p-0001"],
    facts=[FactView(label="Cleared by", value="Amara Okafor"), FactView(label="At", value="12:01:40 UTC")],
)
SCAN = PromptView(
    id="receive-bag/din",
    phase="receive-bag",
    kind="scan",
    title="Receive the bag",
    instruction="Hold the bag's label to the camera.",
    button="Scan the bag",
    expects="DIN A9991 26 123456 on the bag of patient K. M.",
    action="show_bag_label",
)
UNDER_WAY = ScanView(id="S-7", prompt=SCAN.id, phase=SCAN.phase, limit_s="20", left_s="19.5")
TYPED = PromptView(
    id="receive-bag/typed:din",
    phase="receive-bag",
    kind="enter",
    title="Type the number: Receive the bag",
    instruction="The label could not be read. Type what stands on the label itself.",
    button="Type the number",
    typed="bag",
    fields=[FieldView(name=part, label=part, kind="text") for part in ("din", "product", "expires")],
)
ENTER = PromptView(
    id="endotoxin/results",
    phase="endotoxin",
    kind="enter",
    title="Endotoxin and Gram stain",
    instruction="Enter what the cartridge reader shows, then the Gram stain.",
    button="Enter results",
    fields=[
        FieldView(
            name="endotoxin_eu_ml",
            label="Endotoxin",
            kind="number",
            unit="EU/mL",
            minimum="0.01",
            maximum="10.00",
            decimals=2,
        ),
        FieldView(
            name="gram",
            label="Gram stain",
            kind="choice",
            choices=[
                ChoiceView(value="none_seen", words="No organisms seen"),
                ChoiceView(value="seen", words="Organisms seen"),
            ],
        ),
        FieldView(name="cartridge_lot", label="Lot of the cartridge", kind="text"),
    ],
)
REVIEW = PromptView(
    id="count/review",
    phase="count",
    kind="review",
    title="Count cells and viability",
    instruction="Look at the marked picture. Are the cells marked as you see them?",
    button="",
    facts=[
        FactView(label="Dose window", value="35 to 140 million cells"),
        FactView(label="CV", value="12.1 %", out_of_limit=True),
    ],
    fields=[
        FieldView(
            name="decision",
            label="Decision",
            kind="choice",
            choices=[
                ChoiceView(value="accept", words="Accept the count"),
                ChoiceView(value="repeat", words="Repeat the count"),
            ],
        )
    ],
)
SIGN = PromptView(
    id="seal/sign",
    phase="seal",
    kind="sign",
    title="Batch record of B-000042",
    instruction="You sign that you performed this batch as recorded.",
    button="",
    needs="signature",
    meaning="performed",
    signs="7F3A-91C2",
    facts=[FactView(label="Deviations", value="1"), FactView(label="Entries", value="1234")],
)
WAIT = PromptView(
    id="thaw/wait",
    phase="thaw",
    kind="wait",
    title="Thawing",
    instruction="The bag warms in the bath. Stay near; the unit calls at 4 °C in the core.",
    button="",
)
ALARMS = [
    AlarmView(
        id="a-2",
        priority="medium",
        title="Bath above its band",
        cause="The bath is at 38.4 °C; the band ends at 38.0 °C.",
        action="Look at the bath. Do not add ice.",
        state="acknowledged",
        raised_at=NOW - timedelta(minutes=4),
        phase="thaw",
    ),
    AlarmView(
        id="a-1",
        priority="high",
        title="Pump is silent",
        cause="The pump has not answered for 2.1 s. Its own watchdog has stopped it.",
        action="Check the pump's cable and display, then restart the phase.",
        state="active",
        raised_at=NOW - timedelta(seconds=42),
        phase="dilute",
    ),
    AlarmView(
        id="a-3",
        priority="low",
        title="Central is out of reach",
        cause="No acknowledgement for 3 d 4 h.",
        action="Nothing to do here; the record is safe on this unit.",
        state="active",
        raised_at=NOW - timedelta(days=3),
    ),
    AlarmView(
        id="a-4",
        priority="low",
        title="Disk is 80 % full",
        cause="Telemetry of earlier batches.",
        action="Call service this week.",
        state="cleared",
        raised_at=NOW - timedelta(days=1),
    ),
]
COUNTS = [
    CountView(
        replicate=number,
        verdict="counted",
        live=412 + number,
        dead=31 + number,
        viability_percent="92.9",
        viability_interval_percent=["90.1", "95.0"],
    )
    for number in (1, 2, 3)
]


SIGNATURES = [
    SignatureView(
        phase="count",
        what="Look at the count",
        person="p-0001",
        name="Amara Okafor",
        meaning="performed",
        at=NOW - timedelta(minutes=9),
        signs="7f3a91c2",
        seq=812,
    ),
    SignatureView(
        phase="seal",
        what="Sign the batch record",
        person="p-0001",
        name="Amara Okafor",
        meaning="performed",
        at=NOW - timedelta(minutes=3),
        signs="00c2ffee",
        seq=1200,
        void="Entry 1211 changed what was signed.",
    ),
]
ENTERED = [
    EnteredView(
        prompt="wash/result",
        phase="wash",
        title="Wash, two cycles",
        field=FieldView(
            name="recovery", label="Recovery", kind="number", unit="%", minimum="0", maximum="110"
        ),
        value="82",
        words="82 %",
        first="28 %",
        reasons=["Typed wrongly"],
    ),
    EnteredView(
        prompt="tests/result",
        phase="tests",
        title="Endotoxin and Gram stain",
        field=ENTER.fields[0],
        value="0.05",
        words="0.05 EU/mL",
        first="0.05 EU/mL",
        waits="0.06 EU/mL",
    ),
]


def devices(*, weight: str = "312.45") -> list[DeviceView]:
    """Three devices with all four qualities."""
    return [
        DeviceView(
            id="balance",
            title="Balance",
            role="balance",
            state="ready",
            words="",
            readings=[ReadingView(name="weight_g", value=weight, unit="g", quality="good", age_s="0.2")],
        ),
        DeviceView(
            id="pump",
            title="Syringe pump",
            role="pump",
            state="silent",
            words="No answer for 2.1 s.",
            readings=[
                ReadingView(name="state", value="infusing", unit="", quality="stale", age_s="2.1"),
                ReadingView(name="delivered_ml", value="7.95", unit="mL", quality="uncertain", age_s="2.1"),
            ],
        ),
        DeviceView(
            id="thawer",
            title="Bath",
            role="thermostat",
            state="ready",
            words="",
            readings=[
                ReadingView(name="bath_c", value="37.02", unit="°C", quality="good", age_s="0.4"),
                ReadingView(name="probe_c", value=None, unit="°C", quality="bad", age_s="0.4"),
                ReadingView(name="setpoint_c", value="37.00", unit="°C", quality="good", age_s="0.4"),
            ],
        ),
    ]


def batch(current: int = 5, *, state: str = "running") -> BatchView:
    """A batch whose `current`-th phase (from 1) is active."""
    phases = [
        PhaseView(
            id=f"phase-{number}",
            title=title,
            operation="Thaw and dilute" if number > 4 else "Prepare",
            unit_procedure="Process",
            type="instruct",
            state="complete" if number < current else "running" if number == current else "idle",
            words="7.9 of 20.0 mL delivered, 10 mL/min" if number == current else "",
        )
        for number, title in enumerate(TITLES, start=1)
    ]
    return BatchView(
        id="B-000042",
        order="O-2026-0117",
        patient="K. M., 1961",
        din="A9991 26 123456",
        recipe="thaw-wash-dose-50",
        recipe_title="Thaw, wash and dose preparation, 50 minutes",
        state=state,
        phase_number=current,
        phase_count=len(TITLES),
        opened_at=NOW - timedelta(minutes=12),
        phases=phases,
        counts=COUNTS,
        deviations=["D-1 Wash took 16 min 10 s; at most 15 min"],
        signatures=SIGNATURES,
        entered=ENTERED,
    )


def snapshot(**changes: Any) -> Snapshot:
    """A snapshot at rest: nobody signed in, no batch, two orders."""
    plain = Snapshot(
        seq=1234,
        utc=NOW,
        time_trust="trusted",
        unit=UnitView(
            id="CW-0001",
            site="Ward 7",
            time_zone="Europe/Zurich",
            simulated=True,
            clock_speed="1",
            software_version="0.1.0",
            term=3,
        ),
        people=[AMARA, BRAM, CHIARA],
        person=None,
        locked=False,
        stop_latched=False,
        orders=[
            OrderView(
                id="O-2026-0117",
                recipe="thaw-wash-dose-50",
                title="Thaw, wash, dose",
                patient="K. M., 1961",
                din="A9991 26 123456",
            ),
            OrderView(
                id="O-2026-0118",
                recipe="thaw-wash-dose-50",
                title="Thaw, wash, dose",
                patient="P. R., 1974",
                din="A9991 26 654321",
                refused_because="its recipe is not signed",
            ),
        ],
        batch=None,
        prompts=[],
        alarms=[],
        devices=devices(),
        timers=[],
        sync=SyncView(acknowledged_seq=1231, behind=3, last_acknowledged_at=NOW - timedelta(seconds=12)),
        record=RecordView(seq=1234, hash="7f3a91c2" * 8, committed_at=NOW),
    )
    return msgspec.structs.replace(plain, **changes)


def running(*prompts: PromptView, current: int = 5, **changes: Any) -> Snapshot:
    """Amara is signed in and a batch runs, asking these prompts."""
    plain: dict[str, Any] = {
        "person": AMARA,
        "batch": batch(current),
        "prompts": list(prompts),
        "timers": [
            TimerView(
                phase="dilute", words="Dilution goes in slowly", elapsed_s=125, target_s=300, maximum_s=480
            )
        ],
        "orders": [],
    }
    return snapshot(**(plain | changes))


Answerer = Callable[["ScriptedEngine", Command], Accepted | Refused]


@dataclass
class ScriptedEngine:
    """Shows what the script says; records what the screens ask.

    `answers` maps a command name to a function that answers it and may change `shows`.
    """

    path: Path
    shows: Snapshot = field(default_factory=snapshot)
    answers: dict[str, Answerer] = field(default_factory=dict)
    commands: list[Command] = field(default_factory=list)
    stops: list[str] = field(default_factory=list)
    delay_s: float = 0.0

    def __post_init__(self) -> None:
        self._seq = itertools.count(2000)
        self._server = self._make()

    def _make(self) -> LinkServer:
        return LinkServer(
            self.path,
            on_hello=self._hello,
            on_command=self._command,
            on_stop=lambda command, _caller: self.stops.append(command.command_id),
        )

    async def start(self) -> None:
        """Serve; also again after `stop`, as a restarted engine with a fresh memory of answers."""
        self._server = self._make()
        await self._server.start()

    async def stop(self) -> None:
        """Go away."""
        await self._server.close()

    def show(self, shows: Snapshot) -> None:
        """Show another snapshot."""
        self.shows = shows
        self._server.broadcast_snapshot(lambda _caller: self.shows)

    def tell(self, name: str, **body: Any) -> None:
        """Commit a fact."""
        self._server.broadcast_event(
            EventMessage(seq=next(self._seq), name=name, actor="unit", occurred_at=NOW, batch=None, body=body)
        )

    def measure(self, telemetry: Telemetry) -> None:
        """Tell live values."""
        self._server.broadcast_telemetry(telemetry)

    def asked(self, name: str) -> list[Command]:
        """The commands of a name that came so far."""
        return [command for command in self.commands if command.name == name]

    def _hello(self, _hello: Hello, _caller: Caller) -> Snapshot:
        return self.shows

    async def _command(self, command: Command, _caller: Caller) -> Accepted | Refused:
        self.commands.append(command)
        if self.delay_s:
            await asyncio.sleep(self.delay_s)
        answerer = self.answers.get(command.name)
        if answerer is not None:
            return answerer(self, command)
        return Accepted(command_id=command.command_id, seq=next(self._seq))


def accepting(shows: Snapshot) -> Answerer:
    """An answer that accepts and then shows something else."""

    def answer(engine: ScriptedEngine, command: Command) -> Accepted:
        engine.show(shows)
        return Accepted(command_id=command.command_id, seq=2000)

    return answer


def refusing(words: str, reason: str = "refused") -> Answerer:
    """An answer that refuses with these words."""

    def answer(_engine: ScriptedEngine, command: Command) -> Refused:
        return Refused(command_id=command.command_id, reason=reason, words=words)

    return answer


def checking_pin(then: Snapshot) -> Answerer:
    """Sign in with the one PIN, and show something else."""

    def answer(engine: ScriptedEngine, command: Command) -> Accepted | Refused:
        if command.proof is None or command.proof.pin != PIN:
            words = "The PIN is not right. Two more tries."
            return Refused(command_id=command.command_id, reason="pin", words=words)
        engine.show(then)
        return Accepted(command_id=command.command_id, seq=2000)

    return answer


async def _serve(path: Path, log: Path) -> None:
    """Sign in, then confirm, then idle: the story that the terminal test walks with taps."""
    engine = ScriptedEngine(path)
    engine.answers["sign_in"] = checking_pin(running(CONFIRM, current=1))
    engine.answers["answer"] = accepting(running(current=2))
    await engine.start()
    while True:
        # A file rather than stdout: the test reads it while this process lives on.
        log.write_text("".join(f"{command.name}\n" for command in engine.commands), encoding="utf-8")
        engine.measure(Telemetry(devices=devices(), timers=engine.shows.timers))
        await asyncio.sleep(0.1)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), Path(sys.argv[2])))
