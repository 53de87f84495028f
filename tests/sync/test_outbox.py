"""What is sent next is decided without a network, so it can be tried in every order."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from sync.outbox import Backoff, Outbox, SendBlob, SendSegment


def test_events_go_before_trends_and_trends_before_files() -> None:
    outbox = Outbox()
    outbox.name_blobs(["f" * 64], up_to_seq=1)

    assert outbox.next({"gxp": 3, "telemetry": 2}) == SendSegment("gxp", 1)
    outbox.acknowledged("gxp", 3)
    assert outbox.next({"gxp": 3, "telemetry": 2}) == SendSegment("telemetry", 1)
    outbox.acknowledged("telemetry", 2)
    assert outbox.next({"gxp": 3, "telemetry": 2}) == SendBlob("f" * 64)
    assert outbox.next({"gxp": 4, "telemetry": 2}) == SendSegment("gxp", 4)


def test_a_blocked_log_does_not_hold_up_the_other() -> None:
    outbox = Outbox()
    outbox.block("gxp", "fork")

    assert outbox.next({"gxp": 9, "telemetry": 1}) == SendSegment("telemetry", 1)


def test_a_central_that_went_back_is_sent_everything_from_its_own_head() -> None:
    outbox = Outbox()
    outbox.start_from("gxp", acked=50, held=20)

    assert outbox.next({"gxp": 60}) == SendSegment("gxp", 21)


def test_a_gap_that_asks_for_what_was_just_sent_is_no_progress() -> None:
    outbox = Outbox()
    outbox.acknowledged("gxp", 10)

    assert outbox.gap("gxp", 4)
    assert outbox.next({"gxp": 10}) == SendSegment("gxp", 4)
    assert not outbox.gap("gxp", 4)
    assert not outbox.gap("gxp", 0)


def test_files_are_looked_for_again_only_after_the_last_one_that_arrived() -> None:
    outbox = Outbox()
    outbox.name_blobs(["a" * 64, "b" * 64, "a" * 64], up_to_seq=7)

    assert outbox.blobs_done_seq() == 0
    outbox.blob_done("a" * 64)
    assert outbox.blobs_done_seq() == 0
    outbox.blob_done("b" * 64)
    assert outbox.blobs_done_seq() == 7


@settings(derandomize=True, deadline=None)
@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=40))
def test_waiting_grows_to_its_bound_and_begins_anew_after_a_success(chances: list[float]) -> None:
    drawn = iter([*chances, 0.5])
    backoff = Backoff(lambda: next(drawn), first_s=1.0, max_s=60.0)

    waits = [backoff.failed() for _ in chances]
    backoff.succeeded()

    assert all(0 <= wait <= min(60.0, 2.0**number) for number, wait in enumerate(waits))
    assert backoff.failed() == 0.5


@settings(derandomize=True, deadline=None)
@given(st.data())
def test_whatever_answers_come_every_record_is_sent_and_none_is_skipped(data: st.DataObject) -> None:
    """A model of central that takes, repeats, forgets or goes back, against the outbox."""
    outbox, held, signed = Outbox(), 0, data.draw(st.integers(1, 12))
    for _ in range(60):
        action = outbox.next({"gxp": signed})
        if action is None:
            break
        assert isinstance(action, SendSegment)
        last = data.draw(st.integers(action.first_seq, signed))
        if data.draw(st.integers(0, 9)) == 0:
            held = data.draw(st.integers(0, held))  # central was restored from a backup
        if action.first_seq > held + 1:
            outbox.gap("gxp", held + 1)
        elif data.draw(st.integers(0, 4)):
            held = max(held, last)
            outbox.acknowledged("gxp", held)
        # else: the answer was lost; the same run is sent again
        assert outbox.sent["gxp"] <= max(held, outbox.sent["gxp"])
    else:
        return
    assert outbox.sent["gxp"] == signed
