"""The made-up consent of the fictitious patient: two of the ward have looked at the form."""

from __future__ import annotations

from appliance.demo.processes import DemoFailed
from appliance.demo.site import CONSENT_ON, OPERATOR, VERIFIER, Site, order_content
from appliance.link.client import ask
from appliance.link.messages import Proof, Refused

STATION = "service"
RECEIVED_FROM = "Study nurse of the demonstration"


def consent_body() -> dict[str, str]:
    """What is recorded of the form that the order names."""
    order = order_content()
    told = {"received_from": RECEIVED_FROM, "on": CONSENT_ON}
    return {name: order[name] for name in ("consent", "coi", "patient")} | told


def record_consent(site: Site) -> None:
    """Put the form on the unit's record; raises `DemoFailed`."""
    first = Proof(person=OPERATOR.id, pin=OPERATOR.pin)
    second = Proof(person=VERIFIER.id, pin=VERIFIER.pin)
    for name, body, proof in (
        ("sign_in", {"person": OPERATOR.id}, first),
        ("record_consent", consent_body(), second),
        ("sign_out", {}, None),
    ):
        answer = ask(site.home.socket, name, body, proof, station=STATION)
        if isinstance(answer, Refused):
            raise DemoFailed(f"The consent was not recorded: {answer.words}")
