"""The tables whole: phase states, roles by command, prompts and their fields."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.domain import phase_states
from appliance.domain.errors import NotPermitted, NotPlausible
from appliance.domain.phase_states import after
from appliance.domain.prompts import Choice, Field, Prompt
from appliance.domain.roles import MAY, ROLES, Actor

# Written out once more, by hand, from ISA-88: what is not here must be refused.
LEGAL = {
    ("idle", "PhaseStarted"): "running",
    ("running", "PhaseCompleted"): "complete",
    ("running", "PhaseHolding"): "holding",
    ("restarting", "PhaseHolding"): "holding",
    ("holding", "PhaseHeld"): "held",
    ("held", "PhaseRestarting"): "restarting",
    ("restarting", "PhaseRestarted"): "running",
    ("idle", "PhaseAborted"): "aborted",
    ("running", "PhaseAborted"): "aborted",
    ("holding", "PhaseAborted"): "aborted",
    ("held", "PhaseAborted"): "aborted",
    ("restarting", "PhaseAborted"): "aborted",
}
EVENTS = sorted({kind for _, kind in LEGAL})
MATRIX = [(state, kind) for state in phase_states.STATES for kind in EVENTS]


@pytest.mark.parametrize(("state", "kind"), MATRIX)
def test_a_phase_takes_an_event_exactly_where_isa_88_has_an_arrow(state: str, kind: str) -> None:
    if (state, kind) in LEGAL:
        assert after(state, kind) == LEGAL[state, kind]
        return

    with pytest.raises(ValueError, match=f"A phase that is {state} cannot take {kind}"):
        after(state, kind)


def test_a_final_state_has_no_way_out() -> None:
    assert not [(state, kind) for state, kind in phase_states.TRANSITIONS if state in phase_states.FINAL]


def test_every_active_state_can_be_aborted_or_is_on_its_way_out() -> None:
    for state in ("running", "holding", "held", "restarting"):
        assert after(state, "PhaseAborted") == "aborted"


# ── Roles ──────────────────────────────────────────────────────────────────────────────

WORKS = {
    "open_batch", "answer", "scan", "hold", "restart", "release_stop", "acknowledge_alarm", "comment",
    "test_printer",
}  # fmt: skip
OWN = {"change_secret"}
NAMED = {"comment", "open_emergency"}
WARD = NAMED | OWN
CONSENT = {"record_consent", "withdraw_consent"}
MATERIALS = {"receive_material", "release_material", "reject_material", "recall_lot", "lift_recall"}
ACCOUNTS = {"disable_account", "issue_badge", "withdraw_badge", "test_badge", "end_emergency"}
MAY_DO = {
    "operator": WORKS | WARD | CONSENT | {"confirm_time", "receive_material"},
    "verifier": WARD
    | {"answer", "hold", "acknowledge_alarm", "confirm_qualification"}
    | CONSENT
    | {"receive_material", "release_material", "reject_material"},
    "supervisor": WORKS
    | WARD
    | CONSENT
    | ACCOUNTS
    | MATERIALS
    | {"book_out_material"}
    | {"confirm_time", "abort_batch", "hand_back_order", "confirm_qualification"},
    "qa_reviewer": WARD | {"confirm_qualification", "withdraw_consent"} | (MATERIALS - {"receive_material"}),
    "qp": WARD - {"open_emergency"},
    "recipe_developer": WARD,
    "integrator": WARD | {"confirm_qualification"},
    "maintenance": WARD
    | {"acknowledge_alarm", "qualify_device", "qualify_count", "confirm_qualification", "test_printer"},
    "administrator": WARD | ACCOUNTS | {"confirm_time", "unlock_account", "enable_account"},
    "auditor": OWN,
}
COMMANDS = sorted(set().union(*MAY_DO.values()))


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("role", ROLES)
def test_a_role_may_do_exactly_what_the_table_says(role: str, command: str) -> None:
    assert Actor("p", "P", (role,)).may(command) is (command in MAY_DO[role])


def test_nobody_without_a_role_may_do_anything() -> None:
    assert not any(Actor("p", "P", ()).may(command) for command in MAY)


def test_no_command_of_a_unit_releases_a_batch() -> None:
    of_something_else = {"release_stop", "release_material"}
    assert not [command for command in MAY if "release" in command and command not in of_something_else]


# ── Prompts ────────────────────────────────────────────────────────────────────────────

PROOFS = ("session", "pin", "password")
NEEDED = {
    "session": {"session", "pin", "password"},
    "second_person": {"pin", "password"},
    "signature": {"password"},
    "second_signature": {"password"},
}


def asking(needs: str = "session", **more: Any) -> Prompt:
    return Prompt(
        phase="p", key="k", kind="confirm", title="t", instruction="i", button="b", needs=needs, **more
    )


@pytest.mark.parametrize("proof", PROOFS)
@pytest.mark.parametrize("needs", NEEDED)
def test_what_a_prompt_needs_is_what_it_takes(needs: str, proof: str) -> None:
    actor = Actor("p-1", "Ada", ("operator",), proof)
    if proof in NEEDED[needs]:
        asking(needs).check_actor(actor)
        return

    with pytest.raises(NotPermitted) as refused:
        asking(needs).check_actor(actor)
    assert refused.value.reason == "proof_missing"


def test_a_prompt_that_names_who_may_not_refuses_them_whatever_they_prove() -> None:
    with pytest.raises(NotPermitted) as refused:
        asking("signature", not_by=("p-1",)).check_actor(Actor("p-1", "Ada", ("operator",), "password"))

    assert refused.value.reason == "same_person"


NUMBER = Field(name="x", label="X", kind="number", unit="mL", minimum="0", maximum="50", decimals=1)
CHOICE = Field(name="x", label="X", kind="choice", choices=(Choice("a", "A"), Choice("b", "B")))
TEXT = Field(name="x", label="X", kind="text")


@pytest.mark.parametrize("text", ["0", "50", "12.5", "0.0", "007"])
def test_a_number_in_its_range_is_taken_as_it_was_typed(text: str) -> None:
    assert NUMBER.check(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "50.1",
        "-0.1",
        "12.55",
        "1e1",
        "nan",
        "Infinity",
        "1_0",
        " 1",
        "1 ",
        "+1",
        "0x1",
        "\u0661",
        "1,5",
        "9" * 30,
    ],
)
def test_what_is_no_number_of_the_range_is_refused(text: str) -> None:
    with pytest.raises(NotPlausible):
        NUMBER.check(text)


def test_a_choice_is_one_of_the_list() -> None:
    assert CHOICE.check("a") == "a"
    with pytest.raises(NotPlausible, match="choose one of A, B"):
        CHOICE.check("A")


def test_a_text_is_there_and_not_endless() -> None:
    assert TEXT.check("  clamp loose ") == "clamp loose"
    for text in ("", "   ", "x" * 201):
        with pytest.raises(NotPlausible):
            TEXT.check(text)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.text(max_size=30))
def test_any_text_is_taken_or_refused_with_words_and_never_breaks(text: str) -> None:
    for field in (NUMBER, CHOICE, TEXT):
        try:
            taken = field.check(text)
        except NotPlausible as refused:
            assert str(refused).startswith("X:")
        else:
            assert taken == text.strip() or field is NUMBER


@settings(derandomize=True, deadline=None, max_examples=200)
@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4))
def test_only_what_is_asked_for_is_taken(values: dict[str, str]) -> None:
    prompt = asking(fields=(NUMBER,))
    try:
        checked = prompt.check_values(values)
    except NotPlausible:
        return
    assert checked.keys() == {"x"}
