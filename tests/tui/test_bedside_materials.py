"""Materials at the bedside: a delivery is taken in by one person and judged by another one."""

from __future__ import annotations

from typing import Any

import pytest
from scripted_engine import AMARA, BRAM, CHIARA, refusing, snapshot

from appliance.link.messages import Accepted

LABEL = {
    "standard": "GS1", "catalogue": "09501101530003", "lot": "ABC", "serial": "",
    "expires_at": "2027-06-30T22:59:00+00:00", "doubt": "",
}  # fmt: skip
ROW = {
    "id": "U-M00001", "catalogue": "09501101530003", "lot": "ABC", "title": "Trypan blue", "left": 20,
    "state": "quarantined", "expires_at": "2027-06-30T22:59:00+00:00", "supplier": "Maker",
    "certificate": "folder 7", "visual_check": "passed", "received_by": "p-0001", "recalled": False,
    "expired": False, "own": False,
}  # fmt: skip


def answering(**said: Any) -> Any:
    """An answer that accepts and tells something."""

    def answer(_engine: Any, command: Any) -> Accepted:
        return Accepted(command_id=command.command_id, seq=2000, result=said)

    return answer


def listing(*rows: dict[str, Any], certificates: tuple[str, ...] = ()) -> Any:
    return answering(receipts=list(rows), recalls=[], more=0, certificates=list(certificates))


@pytest.mark.requirement("F-091")
def test_a_delivery_is_shown_counted_looked_at_and_taken_in_with_its_certificate(walk):
    async def story(bedside):
        await bedside.tap("Materials")
        assert not bedside.find("Release or reject"), "an operator releases nothing"
        await bedside.tap("Receive a material")
        await bedside.tap("Show the label")
        await bedside.see("Trypan blue", "Lot", "ABC")
        await bedside.key_in("20")
        await bedside.tap("Enter")
        await bedside.see("Who delivered it?")
        await bedside.pilot.press(*"Maker")
        await bedside.tap("Enter")
        await bedside.tap("All is as it should be")
        await bedside.tap("coa-7.pdf")

        await bedside.until(lambda: bedside.engine.asked("receive_material"))
        assert bedside.engine.asked("receive_material")[0].body == {
            "scan": "receipt-1-1",
            "title": "Trypan blue",
            "quantity": "20",
            "supplier": "Maker",
            "visual_check": "passed",
            "certificate": "coa-7.pdf",
        }
        await bedside.see("It waits in quarantine")

    walk(
        story,
        shows=snapshot(person=AMARA),
        scan_material=answering(scan="receipt-1-1", label=LABEL, title="Trypan blue"),
        list_materials=listing(certificates=("coa-7.pdf",)),
        receive_material=answering(receipt="U-M00001"),
    )


@pytest.mark.requirement("F-091")
def test_another_person_releases_it_after_a_look_at_its_certificate(walk):
    async def story(bedside):
        await bedside.tap("Materials")
        await bedside.tap("Release or reject")
        await bedside.see("You received it. Another person must decide.")
        await bedside.tap("Trypan blue, lot ABC")
        await bedside.see("Look at them and at certificate folder 7")
        await bedside.tap("Release it")
        await bedside.tap("Label, package and certificate agree")

        await bedside.until(lambda: bedside.engine.asked("release_material"))
        assert bedside.engine.asked("release_material")[0].body == {
            "receipt": "U-M00001",
            "certificate": "folder 7",
            "reason": "Label, package and certificate agree",
        }

    own = ROW | {"id": "U-M00002", "lot": "OWN", "own": True}
    walk(
        story,
        shows=snapshot(person=BRAM),
        list_materials=listing(own, ROW),
        release_material=answering(),
    )


@pytest.mark.requirement("F-091", "F-094")
def test_the_stock_says_what_may_not_be_used_and_a_refusal_stands_in_the_units_words(walk):
    async def story(bedside):
        await bedside.tap("Materials")
        await bedside.tap("What there is")
        await bedside.see("RECALLED", "EXPIRED", "IN QUARANTINE")
        await bedside.tap("lot BACK")
        await bedside.tap("It was sent back")
        await bedside.key_in("30")
        await bedside.tap("Enter")
        await bedside.pilot.press(*"Recalled")
        await bedside.tap("Enter")
        await bedside.see("Of this receipt 20 are left")

    rows = [
        ROW | {"id": "1", "lot": "BACK", "state": "released", "recalled": True},
        ROW | {"id": "2", "lot": "OVER", "state": "released", "expired": True},
        ROW | {"id": "3"},
    ]
    words = "Of this receipt 20 are left. Enter how many of them are gone."
    walk(
        story,
        shows=snapshot(person=CHIARA),
        list_materials=listing(*rows),
        book_out_material=refusing(words),
    )
