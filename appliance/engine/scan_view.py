"""What a screen may show of the camera's work: the scan under way, and the badge that was held up."""

from __future__ import annotations

from appliance.domain import decisions, phase_logic, phase_states
from appliance.domain import events as ev
from appliance.domain.batch import Unit
from appliance.domain.identity import NOT_READ
from appliance.domain.operator_devices import serial_numbers
from appliance.engine.desk import Desk
from appliance.engine.scanning import BadgeLook, Scanning, staff_in
from appliance.link.messages import BadgeView, ScanView

NO_BADGE = "This is no badge of this unit's people. Show your badge, or choose your name."
NO_DEVICE = "This is the label of no device that this unit knows. Choose the device from the list."
SEVERAL = "Several badges are in the picture. Show one."


def scan_view(unit: Unit, scanning: Scanning) -> ScanView | None:
    """The scan of a label that is under way; None when there is none."""
    batch = unit.batch
    if batch is None or batch.closed:
        return None
    for run in batch.runs.values():
        asked = run.last(ev.ScanRequested)
        if asked is None or run.state != phase_states.RUNNING:
            continue
        if phase_logic.scan_pending(decisions.context(unit, run, asked[0].at)):
            scan = asked[1]
            return ScanView(
                id=scan.scan_id,
                prompt=f"{scan.phase}/{scan.key}",
                phase=scan.phase,
                limit_s=f"{scanning.limit_ms / 1000:g}",
                left_s=f"{scanning.left_s(scan.scan_id):.1f}",
                at_patient=scan.at_patient,
            )
    return None


def badge_view(desk: Desk, unit: Unit, scanning: Scanning, station: str) -> BadgeView | None:
    """What became of this station's look for a badge, or for a device's label."""
    look = scanning.badge_at(station)
    if look is None:
        return None
    if look.state == "looking":
        return BadgeView(scan=look.scan_id, state="looking", left_s=f"{scanning.left_s(look.scan_id):.1f}")
    return _device(unit, look) if look.of == "equipment" else _seen(desk, look)


def _device(unit: Unit, look: BadgeLook) -> BadgeView:
    """The device whose own serial number this is; which one stands there its line or its people say."""
    serials = set(serial_numbers(look.texts))
    known = [id for id, told in unit.identities.items() if told.get("serial_number") in serials]
    if len(known) == 1 and known[0] in unit.devices:
        title = unit.devices[known[0]].title
        return BadgeView(scan=look.scan_id, state="read", badge=known[0], name=title)
    words = " ".join(NOT_READ.get(reason, reason) for reason in look.reasons) if not look.texts else ""
    return BadgeView(scan=look.scan_id, state="not_read", words=words or NO_DEVICE)


def _seen(desk: Desk, look: BadgeLook) -> BadgeView:
    known = {text: person for text in staff_in(look.texts) if (person := desk.whose(text))}
    if len(set(known.values())) == 1:
        badge, person = next(iter(known.items()))
        found = desk.people.person(person)
        return BadgeView(
            scan=look.scan_id, state="read", badge=badge, name=found.name if found is not None else ""
        )
    if known:
        words = SEVERAL
    elif look.texts:
        words = NO_BADGE
    else:
        words = " ".join(NOT_READ.get(reason, reason) for reason in look.reasons) or NO_BADGE
    return BadgeView(scan=look.scan_id, state="not_read", words=words)
