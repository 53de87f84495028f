"""What devices tell the unit: who they are, silence, a restart, a STOP that was not confirmed."""

from __future__ import annotations

from appliance.domain import events as ev
from appliance.domain import fitness
from appliance.domain.batch import DeviceSpec, Unit
from appliance.domain.decisions import hold_running, hold_with_alarm
from appliance.domain.operator_devices import DECLARED, run_by_people
from appliance.domain.qualified import difference


def identified(
    unit: Unit,
    device: str,
    identity: dict[str, str],
    *,
    calibrated_until: str = "",
    qualified_until: str = "",
) -> list[ev.Event]:
    """A device said who it is; another than the qualified one is given no order (F-029).

    The two days are those of the appliance file; a qualification on record stands in place of them.
    """
    standing, spec = unit.qualifications.get(device), unit.devices[device]
    if standing is not None:
        calibrated_until, qualified_until = standing.calibrated_until, standing.qualified_until
    other = difference(fitness.expected(unit, device), identity)
    words = _words(standing, spec, identity, other)
    if not words and run_by_people(spec.role):
        words = DECLARED
    events: list[ev.Event] = [
        ev.DeviceIdentified(
            device=device,
            qualified=not other,
            words=words,
            calibrated_until=calibrated_until,
            qualified_until=qualified_until,
            **identity,
        ),
        *(ev.AlarmCleared(alarm=key) for key in unit.alarms if key.startswith(f"device:{device}:")),
    ]
    unqualified = fitness.unqualified_alarm(device)
    if not other:
        return [*events, *(ev.AlarmCleared(alarm=key) for key in unit.alarms if key == unqualified)]
    if unqualified not in unit.alarms:
        events.append(_unqualified(device, spec.title, words))
    return [
        *events,
        *hold_with_alarm(
            unit,
            "device_changed",
            f"{spec.title}: {words}",
            title=f"{spec.title} is another device",
            action="Connect the qualified device, or let maintenance re-qualify this one.",
            using=spec.role,
        ),
    ]


def _words(
    standing: ev.DeviceQualified | None, spec: DeviceSpec, identity: dict[str, str], other: str
) -> str:
    """What is to be said of an identity, empty when it is simply the qualified one."""
    if other:
        return f"{other} Two persons re-qualify it before it is used."
    if standing is None:
        return ""
    said = []
    if not identity["serial_number"]:
        said.append("It tells no serial number: that it is the qualified one, only people can see.")
    if difference(fitness.filed(spec), identity):
        said.append("unit.toml names another one; what two persons qualified on record holds.")
    return " ".join(said)


def _unqualified(device: str, title: str, words: str) -> ev.DeviceNoticeRaised:
    return ev.DeviceNoticeRaised(
        device=device,
        alarm=fitness.unqualified_alarm(device),
        priority="medium",
        title=f"{title} is not the qualified device",
        cause=words,
        action="It is given no order. Connect the qualified device, or let maintenance re-qualify this one.",
    )


def silent(unit: Unit, device: str, words: str) -> list[ev.Event]:
    """A device fell silent: phases that use it are held, with an alarm while somebody needs it."""
    if device in unit.silent:
        return []
    role, title = unit.devices[device].role, unit.devices[device].title
    text = words if words.startswith(f"{title}:") else f"{title}: {words}"
    events: list[ev.Event] = [ev.DeviceWentSilent(device=device, words=words)]
    held = hold_running(unit, "device_silent", text, using=role)
    if held:
        raised = ev.AlarmRaised(
            alarm=f"device:{device}:{unit.term}:{_alarms_of(unit, device)}",
            priority="high",
            title=f"{title} is silent",
            cause=text,
            action="Look at its cable and power. When it answers again, restart the phase.",
        )
        events.append(raised)
    return [*events, *held]


def _alarms_of(unit: Unit, device: str) -> int:
    if unit.batch is None:
        return 1
    return 1 + sum(1 for _, a in unit.batch.all(ev.AlarmRaised) if a.alarm.startswith(f"device:{device}:"))


def recovered(unit: Unit, device: str) -> list[ev.Event]:
    if device not in unit.silent:
        return []
    cleared = [ev.AlarmCleared(alarm=key) for key in unit.alarms if key.startswith(f"device:{device}:")]
    return [ev.DeviceRecovered(device=device), *cleared]


def restarted(unit: Unit, device: str, words: str) -> list[ev.Event]:
    """A device restarted by itself: tare and totals are void, phases that use it are held."""
    title = unit.devices[device].title
    text = f"{title} restarted by itself: {words}"
    return [
        ev.DeviceRestartSeen(device=device, words=words),
        *hold_with_alarm(
            unit,
            "device_restarted",
            text,
            title=f"{title} restarted",
            action="Look at the device and its lines. Then restart the phase.",
            using=unit.devices[device].role,
        ),
    ]


def stop_unconfirmed(unit: Unit, device: str, words: str) -> list[ev.Event]:
    """A device did not confirm that it stands still: the most urgent alarm there is."""
    key = f"device:{device}:stop:{unit.term}"
    if key in unit.alarms:
        return []
    title = unit.devices[device].title
    return [
        ev.AlarmRaised(
            alarm=key,
            priority="high",
            title=f"{title} does not confirm STOP",
            cause=words,
            action="Switch the device off at its own switch, or press the emergency stop.",
        )
    ]
