"""A device is used only while it is the qualified one and its calibration and qualification hold.

What it told of itself is held against what people qualified (F-029); the two days gate its use (F-030,
R-16). STOP, the safe state and a reading are never gated: only the start of a phase and orders are.
Where time is not trusted nobody can tell whether a day is over (SAFETY 17).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime

from appliance.domain import count_fitness
from appliance.domain import events as ev
from appliance.domain.batch import DeviceSpec, Unit
from appliance.domain.errors import CommandRefused, NotOpen, NotPermitted
from appliance.domain.people_rules import permit
from appliance.domain.phase_logic import Context, alarm, hold
from appliance.domain.prompts import check_reason
from appliance.domain.qualified import COMPARED, difference
from appliance.domain.roles import Actor

WARNED_BEFORE_DAYS = 14
WEAR_WARNED_PERCENT = 80
MAINTENANCE = "Call maintenance."


# ── Who a device must be ───────────────────────────────────────────────────────────────


def expected(unit: Unit, device: str) -> dict[str, str]:
    """What the device must tell of itself: as it was qualified on record, else as the file says."""
    standing = unit.qualifications.get(device)
    if standing is not None:
        return {key: getattr(standing, key) for key in COMPARED}
    return filed(unit.devices[device])


def filed(spec: DeviceSpec) -> dict[str, str]:
    """What the appliance file says that a device tells of itself; what it leaves out may be anything."""
    pinned = {"serial_number": spec.serial_number, "firmware": spec.firmware}
    return {key: value for key, value in pinned.items() if value}


def days_of(unit: Unit, device: str) -> Iterator[tuple[str, str]]:
    """What holds up to a day, and that day, as far as one is told."""
    days = {"calibration": unit.calibrated_until, "qualification": unit.qualified_until}
    for what, until in days.items():
        if until.get(device):
            yield what, until[device]


def why_unfit(unit: Unit, device: DeviceSpec, now: datetime) -> tuple[str, str]:
    """The reason and the words why the device may not be used; both empty when it may.

    The last day counts whole, in UTC.
    """
    if unit.qualified.get(device.id) is False:
        return "device_not_qualified", f"{device.title} is not the qualified device. {MAINTENANCE}"
    for what, until in days_of(unit, device.id):
        if not unit.time_trusted:
            return "device_not_calibrated", (
                f"This unit's clock is not trusted, so it cannot tell whether the {what} of {device.title} "
                "still holds. Two persons enter the time of a reference clock first."
            )
        if now.date() > date.fromisoformat(until):
            words = f"The {what} of {device.title} ended on {until}. {MAINTENANCE}"
            return "device_not_calibrated" if what == "calibration" else "device_not_qualified", words
    return "", ""


def shown(unit: Unit, device: str, now: datetime) -> str:
    """What a screen says beside the device, empty when there is nothing to say."""
    if device not in unit.devices:
        return ""
    if unit.qualified.get(device) is False:
        return "NOT QUALIFIED: it is given no order. Call maintenance."
    said = [_ends(what, until, unit, now) for what, until in days_of(unit, device)]
    return "; ".join(filter(None, said))


def _ends(what: str, until: str, unit: Unit, now: datetime) -> str:
    if not unit.time_trusted:
        return f"{what} not judged: time is not trusted"
    left = (date.fromisoformat(until) - now.date()).days
    if left < 0:
        return f"{what} ENDED on {until}"
    if left == 0:
        return f"{what} ends today"
    return f"{what} ends in {left} day{'s' if left > 1 else ''}" if left <= WARNED_BEFORE_DAYS else ""


# ── What is refused ────────────────────────────────────────────────────────────────────


def refuse_unfit(unit: Unit, device: DeviceSpec, now: datetime) -> None:
    """Raises `CommandRefused` with what to do."""
    reason, words = why_unfit(unit, device, now)
    if words:
        raise CommandRefused(words, reason=reason)


def started(c: Context) -> list[ev.Event]:
    """The phase starts; or an alarm, raised once, says which device keeps it from starting."""
    kind = f"{c.batch.id}:{c.phase.id}:calibration:"
    standing = [key for key in c.unit.alarms if key.startswith(kind)]
    unfit = [*(_words_of_role(c, role) for role in c.phase.uses), _words_of_count(c)]
    words = next(filter(None, unfit), "")
    if not words:
        cleared = [ev.AlarmCleared(alarm=key) for key in standing]
        return [*cleared, ev.PhaseStarted(phase=c.phase.id)]
    if standing:
        return []
    return [
        alarm(
            c,
            "calibration",
            priority="medium",
            title=f"{c.phase.title} cannot start",
            cause=words,
            action="Call maintenance. The phase starts once the device may be used."
            if words != unfit[-1]
            else f"{count_fitness.WHAT_TO_DO.partition(' Then')[0]} The phase then starts by itself.",
        )
    ]


def _words_of_count(c: Context) -> str:
    return count_fitness.words_of_phase(c.unit, c.batch, c.run, c.now)


def _words_of_role(c: Context, role: str) -> str:
    device = c.unit.device_of(role)
    return why_unfit(c.unit, device, c.now)[1] if device is not None else ""


def gated(c: Context, events: list[ev.Event]) -> list[ev.Event]:
    """What a phase says next; in place of an order to a device that may not be used it is held."""
    for event in events:
        if isinstance(event, ev.DeviceOrdered):
            words = why_unfit(c.unit, c.unit.devices[event.device], c.now)[1]
            if words:
                action = f"{MAINTENANCE} Restart the phase once the device may be used."
                return hold(c, "device_unfit", words, action=action)
        if isinstance(event, ev.CountRequested) and (words := _words_of_count(c)):
            return hold(c, count_fitness.REASON, words, action=count_fitness.WHAT_TO_DO)
    return events


def refuse_restart(unit: Unit, roles: Mapping[str, str]) -> None:
    """No phase goes on with a device that is not the qualified one: what it says means nothing (R-16).

    A day that passed in the middle of a phase stops orders alone: who watches a bag that thaws must
    be able to go on watching it.
    """
    for device in filter(None, map(unit.device_of, roles)):
        if unit.qualified.get(device.id) is False:
            raise CommandRefused(
                f"{device.title} is not the qualified device, so the phase cannot go on with it. "
                "Connect the qualified one, or let maintenance re-qualify this one.",
                reason="device_not_qualified",
            )


# ── Re-qualification ───────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Which device two persons qualify, as they saw it tell of itself, and up to which days."""

    device: str
    serial_number: str
    firmware: str
    calibrated_until: str
    qualified_until: str
    reason: str

    @classmethod
    def of(cls, body: Mapping[str, object]) -> Asked:
        """What a command's body asks; what is missing is empty."""
        return cls(**{name: str(body.get(name, "")).strip() for name in cls.__dataclass_fields__})


def qualify(unit: Unit, first: Actor, second: Actor, asked: Asked, now: datetime) -> list[ev.Event]:
    """Maintenance and a second person vouch for the device that is there, on record (F-029).

    A day that is left out stays as it was for the same device; another device needs its own.
    """
    permit(unit, first, "qualify_device")
    permit(unit, second, "confirm_qualification")
    if first.id == second.id:
        raise NotPermitted("A different person must confirm the qualification.", reason="same_person")
    reason = check_reason(asked.reason)
    seen = _seen(unit, asked)
    days = {"calibrated_until": unit.calibrated_until, "qualified_until": unit.qualified_until}
    same = not difference(expected(unit, asked.device), seen)
    held = {
        name: _day(unit, getattr(asked, name), until.get(asked.device, ""), name, now, same=same)
        for name, until in days.items()
    }
    qualified = ev.DeviceQualified(
        device=asked.device,
        **seen,
        **held,
        reason=reason,
        first_person=first.id,
        second_person=second.id,
    )
    over = (unqualified_alarm(asked.device), f"due:{asked.device}:")
    return [qualified, *(ev.AlarmCleared(alarm=key) for key in unit.alarms if key.startswith(over))]


def _seen(unit: Unit, asked: Asked) -> dict[str, str]:
    """What the device told of itself, which must be what the two persons looked at."""
    spec = unit.devices.get(asked.device)
    if spec is None:
        raise CommandRefused(f"This unit has no device {asked.device[:32]!r}.", reason="not_plausible")
    seen = unit.identities.get(asked.device)
    if seen is None or asked.device in unit.silent:
        raise NotOpen(f"{spec.title} does not answer. Connect it first, then qualify it.")
    if (asked.serial_number, asked.firmware) != (seen["serial_number"], seen["firmware"]):
        raise CommandRefused(
            f"{spec.title} tells {told(seen)}. Look at the device again: this is not what was to be "
            "qualified.",
            reason="not_plausible",
        )
    return dict(seen)


def told(identity: Mapping[str, str]) -> str:
    """Serial number and firmware as a device tells them, in words."""
    serial, firmware = identity["serial_number"], identity["firmware"]
    number = f"serial number {serial}" if serial else "no serial number"
    return f"{number} and {f'firmware {firmware}' if firmware else 'no firmware'}"


def _day(unit: Unit, asked: str, before: str, name: str, now: datetime, *, same: bool) -> str:
    what = {"calibrated_until": "calibration", "qualified_until": "qualification"}[name]
    if not asked:
        if before and not same:
            raise CommandRefused(
                f"This is another device than before: say up to which day its own {what} holds.",
                reason="not_plausible",
            )
        return before
    if not unit.time_trusted:
        raise CommandRefused(
            f"This unit's clock is not trusted, so it cannot tell whether the {what} holds. "
            "Two persons enter the time of a reference clock first.",
            reason="time_untrusted",
        )
    try:
        day = date.fromisoformat(asked)
    except ValueError:
        day = date.min
    if day.isoformat() != asked or day < now.date():
        raise CommandRefused(
            f"The {what} holds up to {asked[:20]!r}: write a day that is not over, such as 2027-06-30.",
            reason="not_plausible",
        )
    return asked


def unqualified_alarm(device: str) -> str:
    return f"unqualified:{device}"


# ── What ends soon ─────────────────────────────────────────────────────────────────────


def warnings(unit: Unit, now: datetime) -> list[ev.Event]:
    """Once a day for each day that is near or over, from two weeks before; none while time is not trusted."""
    if not unit.time_trusted:
        return []
    today = now.date().isoformat()
    ends = [
        (device.id, device.title, what, until)
        for device in unit.devices.values()
        for what, until in days_of(unit, device.id)
    ]
    ends += [(name, title, "qualification", until) for name, title, until in count_fitness.days_of(unit)]
    events: list[ev.Event] = []
    for device, title, what, until in ends:
        said, kind = _ends(what, until, unit, now), f"due:{device}:{what}:"
        if not said or unit.warned_on.get(f"{device}:{what}") == today:
            continue
        over = until < today
        idle = "It is given no order." if device in unit.devices else "It counts for no release."
        events.append(
            ev.DeviceNoticeRaised(
                device=device,
                alarm=kind + today,
                priority="medium" if over else "low",
                title=f"{title}: {said}",
                cause=f"The {what} of {title} holds up to {until}.",
                action=f"{idle} Call maintenance."
                if over
                else "Have maintenance see to it. Work may go on until then.",
            )
        )
        events += [ev.AlarmCleared(alarm=key) for key in unit.alarms if key.startswith(kind)]
    return events


# ── Memories that wear out ─────────────────────────────────────────────────────────────


def wear_counted(unit: Unit, device: str, memory: str, writes: int, limit: int) -> list[ev.Event]:
    """The new total of one memory's writes, with a notice at 80 % and at 100 % of what it may take."""
    before = unit.wear.get((device, memory), 0)
    total = before + writes
    counted = ev.WearCounted(device=device, memory=memory, writes=writes, total=total, limit=limit)
    level, over = wear_level(total, limit), total >= limit
    key = f"wear:{device}:{memory}:"
    told_before = level == wear_level(before, limit) and not over  # past the limit it is told again
    if not level or told_before or key + level in unit.alarms:
        return [counted]
    title = unit.devices[device].title if device in unit.devices else device
    notice = ev.DeviceNoticeRaised(
        device=device,
        alarm=key + level,
        priority="medium" if over else "low",
        title=f"{title}: memory {memory} is {'worn out' if over else f'{total * 100 // limit} % worn'}",
        cause=f"{total} writes were counted; its maker allows {limit}.",
        action="Call maintenance: it may forget what it is told."
        if over
        else "Have maintenance plan its exchange.",
    )
    return [counted, notice, *(ev.AlarmCleared(alarm=one) for one in unit.alarms if one.startswith(key))]


def wear_level(total: int, limit: int) -> str:
    """`near` from 80 % of what the memory may take, `over` from all of it, else empty."""
    if limit <= 0 or total * 100 < limit * WEAR_WARNED_PERCENT:
        return ""
    return "over" if total >= limit else "near"
