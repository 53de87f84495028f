"""Role by act by state: every cell tried at the engine, held against a table written by hand (F-099, R-15).

The table is written from SAFETY and the role table of the requirements, not from the code: a
word on the left is an act, then who may and in which states. Every other cell is a refusal.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from matrix_room import ACTORS, STATES, matrix_in

OPEN = "running checking scanning signing held identity_hold complete sealed released stopped untrusted"
ALL = " ".join(STATES)
NAMED = (
    "operator verifier supervisor qa_reviewer qp recipe_developer integrator maintenance administrator "
    "untrained unconfirmed"
)
SUPERVISING = "supervisor untrained unconfirmed"  # the odd ones are supervisors but for what they lack
# The station of `locked` is locked, that of `nobody` empty; a typed PIN or password says who they are.
TYPED_SUPERVISORS = "supervisor locked"

# act → (who, when); several lines where who depends on the state.
MAY: dict[str, list[tuple[str, str]]] = {
    "sign_in": [(f"{NAMED} auditor emergency owing locked nobody", ALL)],
    "sign_out": [(f"{NAMED} auditor emergency inactive owing locked nobody", ALL)],
    "lock": [(f"{NAMED} auditor emergency inactive owing locked nobody", ALL)],
    "change_secret": [(f"{NAMED} auditor owing", ALL)],
    "unlock_account": [("administrator", ALL)],
    "disable_account": [(f"administrator {SUPERVISING}", ALL)],
    "enable_account": [("administrator", ALL)],
    "issue_badge": [(f"administrator {SUPERVISING}", ALL)],
    "withdraw_badge": [(f"administrator {SUPERVISING}", ALL)],
    "test_badge": [(f"administrator {SUPERVISING}", ALL)],
    # Not while somebody who may work is signed in; and only to finish what is under way.
    "open_emergency": [
        (
            "verifier qa_reviewer recipe_developer integrator maintenance administrator",
            "running checking scanning signing held identity_hold released stopped untrusted",
        )
    ],
    "end_emergency": [(f"administrator {SUPERVISING} emergency", ALL)],
    "confirm_time": [(f"operator administrator {SUPERVISING}", ALL)],
    "qualify_device": [("maintenance", ALL)],
    # Where nobody can tell the day, nobody can tell whether it holds.
    "qualify_count": [("maintenance", ALL.replace(" untrusted", ""))],
    "record_consent": [(f"operator verifier {SUPERVISING}", ALL)],
    # On the safe side: whoever works here may, at any time.
    "withdraw_consent": [(f"operator verifier qa_reviewer {SUPERVISING}", ALL)],
    # Where nobody can tell the day, nobody can tell whether a material is expired.
    "scan_material": [(f"operator verifier {SUPERVISING}", ALL)],
    "receive_material": [(f"operator verifier {SUPERVISING}", ALL.replace(" untrusted", ""))],
    "release_material": [(f"verifier qa_reviewer {SUPERVISING}", ALL.replace(" untrusted", ""))],
    "reject_material": [(f"verifier qa_reviewer {SUPERVISING}", ALL)],
    "book_out_material": [(SUPERVISING, ALL)],
    "recall_lot": [(f"qa_reviewer {SUPERVISING}", ALL)],
    "lift_recall": [(f"qa_reviewer {SUPERVISING}", ALL)],
    "list_materials": [(f"{NAMED} auditor emergency", ALL)],
    "test_printer": [("", "")],  # this unit has no label printer
    "open_batch": [("operator supervisor unconfirmed", "no_batch")],
    "scan": [("operator supervisor unconfirmed emergency", "scanning released")],
    "cancel_scan": [("", "")],  # no camera looks here
    # A badge is looked for before anybody is signed in, and proves nothing.
    "read_badge": [(" ".join(ACTORS), ALL)],
    "forget_badge": [(" ".join(ACTORS), ALL)],
    "import_file": [("", "")],  # this recipe asks for no file of a device
    "answer": [
        ("operator supervisor unconfirmed emergency", "running"),
        ("emergency", "untrusted"),  # a training that cannot be judged stops everybody else
        ("operator verifier supervisor unconfirmed locked nobody", "checking"),
        ("operator supervisor", "signing"),
    ],
    "correct": [("", "")],  # this recipe has nothing that could be corrected
    "hold": [
        (f"operator verifier {SUPERVISING} emergency", "running checking scanning signing released untrusted")
    ],
    "restart": [
        (f"operator {SUPERVISING} emergency", "held"),
        (SUPERVISING, "identity_hold"),
    ],
    "abort_batch": [
        (f"{TYPED_SUPERVISORS} untrained", OPEN.replace(" sealed", "").replace(" released", "")),
    ],
    # Only an order that was not begun, and with the password.
    "hand_back_order": [(f"{TYPED_SUPERVISORS} untrained", "no_batch")],
    "stop": [(" ".join(ACTORS), ALL)],
    "release_stop": [(f"operator {SUPERVISING}", "stopped")],
    "acknowledge_alarm": [(f"operator verifier maintenance {SUPERVISING} emergency", ALL)],
    "comment": [(f"{NAMED} emergency", ALL)],
    "unlock_identities": [(f"administrator {SUPERVISING}", ALL)],
    "erase_identity": [("administrator", ALL)],
    # Nothing at the unit releases: whoever brings a decision by the unit's own key.
    "deliver_document": [("", "")],
    "store_ack": [("", "")],  # an acknowledgement by the unit's own key is nobody's word
    "record_blocked": [(" ".join(ACTORS), ALL)],
}


def expected(act: str, actor: str, state: str) -> bool:
    return any(actor in who.split() and state in when.split() for who, when in MAY[act])


@pytest.mark.requirement("R-06", "R-15", "R-18", "R-26", "F-099")
@pytest.mark.parametrize("state", STATES)
def test_every_act_of_everybody_in_every_state_is_as_the_table_says(state: str, tmp_path: Path) -> None:
    async def story() -> list[str]:
        matrix = await matrix_in(tmp_path, state)
        acts = list(matrix.room.engine._commands._handlers)
        assert set(acts) == set(MAY), "each command has its line in the table"
        wrong = []
        for act in acts:
            for actor in ACTORS:
                may = await matrix.tries(act, actor)
                if may != expected(act, actor, state):
                    wrong.append(f"{act} by {actor} while {state}: {'done' if may else 'refused'}")
        return wrong

    assert asyncio.run(story()) == []


def test_the_table_knows_every_actor_and_state_by_name() -> None:
    words = {word for lines in MAY.values() for who, _ in lines for word in who.split()}
    states = {word for lines in MAY.values() for _, when in lines for word in when.split()}

    assert words == set(ACTORS)
    assert states == set(STATES)
