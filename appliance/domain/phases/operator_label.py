"""Which device stands there: its label is scanned, or its serial number typed by two people."""

from __future__ import annotations

from dataclasses import replace

from appliance.domain import events as ev
from appliance.domain.batch import DeviceSpec
from appliance.domain.fitness import expected
from appliance.domain.identity import NOT_READ
from appliance.domain.operator_devices import matches, serial_numbers
from appliance.domain.phase_logic import Context, alarm, answer_events, two_person_prompts
from appliance.domain.prompts import Field, Prompt, PromptFact
from appliance.domain.roles import Actor

SCANNED, TYPED = "serial", "serial_typed"
SERIAL_NUMBER = "serial_number"
FIELD = Field(name=SERIAL_NUMBER, label="Serial number", kind="text")
ACTION = "Put nothing on this device. Take the qualified one, or call maintenance."


def known(c: Context) -> str:
    """The serial number that was read in this phase, empty before."""
    found = c.run.last(ev.ValueRecorded, key=SERIAL_NUMBER)
    return found[1].value if found else ""


def qualified_serial(c: Context, device: DeviceSpec | None) -> str:
    """The serial number that must stand there: as it was qualified on record, else as the file says."""
    return expected(c.unit, device.id).get(SERIAL_NUMBER, "") if device else ""


def prompts(c: Context, device: DeviceSpec | None) -> list[Prompt]:
    """Scan the label; where it cannot be read, one person types it and a second one types it again."""
    title = device.title if device else c.phase.text["device"]
    qualified = qualified_serial(c, device)
    refused = c.run.last(ev.DeviceLabelRefused)
    facts = (PromptFact("Last try", refused[1].words),) if refused else ()
    scan = Prompt(
        phase=c.phase.id,
        key=SCANNED,
        kind="scan",
        title=f"Which device? {title}",
        instruction=f"Show the label with the serial number of: {title}.",
        button="Scan",
        expects=f"serial number {qualified}" if qualified else "its serial number",
        facts=facts,
        action=c.phase.action.get(SCANNED, ""),
    )
    typed = Prompt(
        phase=c.phase.id,
        key=TYPED,
        kind="enter",
        title=f"Type the serial number: {title}",
        instruction="Read the serial number on the device's own label. Type it as it stands there.",
        button="Type the serial number",
        fields=(FIELD,),
        facts=facts,
    )
    if c.run.confirmed(TYPED) is None:
        return [scan, typed]
    # The second person types it as well, and is not shown what the first one typed.
    again = two_person_prompts(c, typed, always=True)
    return [replace(one, kind="enter", fields=(FIELD,), button="Type it again") for one in again]


def scanned(c: Context, device: DeviceSpec | None, read: ev.ScanRead) -> list[ev.Event]:
    """The label that the camera read is that of the qualified device, or it is refused."""
    qualified = qualified_serial(c, device)
    rules = c.batch.opened.rules
    found = serial_numbers(read.texts, rules)
    if not found:
        words = " ".join(NOT_READ.get(one, one) for one in read.reasons) or NOT_READ["no_symbol"]
        return [_refused(c, device, "", "not_read", words, read.picture)]
    if qualified and not matches(read.texts, qualified, rules):
        return _another(c, device, " ".join(found), read.picture)
    if not qualified and len(found) > 1:
        words = "This label has several symbols, and none says which is the serial number. Type it instead."
        return [_refused(c, device, " ".join(found)[:200], "not_read", words, read.picture)]
    return [_recorded(c, qualified or found[0], "label of the device, scanned")]


def typed(
    c: Context, device: DeviceSpec | None, prompt: Prompt, values: dict[str, str], actor: Actor
) -> list[ev.Event]:
    """What a person typed; each of the two is compared by itself."""
    first = c.run.confirmed(TYPED)
    wanted = qualified_serial(c, device)
    if not wanted and prompt.key != TYPED and first is not None:
        wanted = first[1].values[SERIAL_NUMBER]
    if wanted and values[SERIAL_NUMBER] != wanted:
        return _another(c, device, values[SERIAL_NUMBER], "")
    return answer_events(c, prompt, values, actor)


def taken_over(c: Context) -> list[ev.Event]:
    """Two people have typed the same: it is known which device stands there."""
    first, second = c.run.confirmed(TYPED), c.run.confirmed(f"{TYPED}.verify")
    if first is None or second is None or second[0].seq < first[0].seq:
        return []
    return [_recorded(c, first[1].values[SERIAL_NUMBER], "label of the device, typed by two people")]


def _recorded(c: Context, serial_number: str, source: str) -> ev.ValueRecorded:
    return c.derived(SERIAL_NUMBER, serial_number, "", source)


def _another(c: Context, device: DeviceSpec | None, shown: str, picture: str) -> list[ev.Event]:
    title = device.title if device else c.phase.text["device"]
    wanted = qualified_serial(c, device)
    words = (
        f"This label says {shown[:80]}. The qualified {title} is {wanted}. This is another device."
        if wanted
        else "The two serial numbers differ. Both read the label again."
    )
    refused = _refused(c, device, shown[:200], "wrong_device", words, picture)
    return [
        refused,
        alarm(c, "wrong_device", priority="low", title="Device refused", cause=words, action=ACTION),
    ]


def _refused(
    c: Context, device: DeviceSpec | None, shown: str, reason: str, words: str, picture: str
) -> ev.DeviceLabelRefused:
    return ev.DeviceLabelRefused(
        phase=c.phase.id,
        device=device.id if device else "",
        scanned=shown,
        expected=qualified_serial(c, device),
        reason=reason,
        words=words,
        picture=picture,
    )
