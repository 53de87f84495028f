"""The demonstration's materials come in: one person shows and receives them, another one releases them."""

from __future__ import annotations

from typing import Any

from appliance.demo.hands import Hands
from appliance.demo.processes import DemoFailed
from appliance.demo.site import OPERATOR, RECIPES, VERIFIER, DemoPerson, Site
from appliance.domain.recipe import Recipe, parse
from appliance.link.client import EngineAway, ask
from appliance.link.messages import Accepted, Proof

STATION = "store-1"
QUANTITY = "20"
LOOKS_MAX = 5
ANSWER_TIMEOUT_S = 40.0
CERTIFICATE = "Made up for the demonstration"


def stock_materials(site: Site, *, seed: int, recipe: str) -> None:
    """Everything that the recipe takes lies released on the shelf; raises `DemoFailed`."""
    hands, asked = Hands(site, seed), parse(RECIPES[recipe].read_bytes())
    _sign_in(site, OPERATOR)
    receipts = [_received(site, hands, asked, name) for name in asked.materials]
    _sign_in(site, VERIFIER)
    for receipt in receipts:
        body = {"receipt": receipt, "certificate": CERTIFICATE, "reason": "Label, package and paper agree"}
        _done(site, "release_material", body)
    _done(site, "sign_out", {})


def _received(site: Site, hands: Hands, recipe: Recipe, name: str) -> str:
    looked = _looked(site, hands, name)
    body = {
        "scan": looked["scan"],
        "title": recipe.materials[name].title,
        "quantity": QUANTITY,
        "supplier": "Fictitious maker",
        "visual_check": "passed",
        "certificate_reference": CERTIFICATE,
    }
    return str(_done(site, "receive_material", body)["receipt"])


def _looked(site: Site, hands: Hands, name: str) -> dict[str, Any]:
    """Show the label again as people do, while the camera's program is still starting."""
    for _ in range(LOOKS_MAX):
        hands.act(f"show material {name}")
        looked = _done(site, "scan_material", {})
        if looked["label"] is not None:
            return looked
    raise DemoFailed(f"The label of {name} was not read: {looked['refused']}")


def _sign_in(site: Site, person: DemoPerson) -> None:
    proof = Proof(person=person.id, pin=person.pin)
    _done(site, "sign_in", {"person": person.id}, proof)


def _done(site: Site, name: str, body: dict[str, Any], proof: Proof | None = None) -> dict[str, Any]:
    try:
        answer = ask(site.home.socket, name, body, proof, station=STATION, timeout_s=ANSWER_TIMEOUT_S)
    except EngineAway as away:
        raise DemoFailed(f"The materials were not received: {away}") from away
    if not isinstance(answer, Accepted):
        raise DemoFailed(f"The materials were not received: {answer.words}")
    return answer.result
