"""Stories of the vision worker as a real child process: requests in, answers out, nothing else."""

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import pytest
from label_scenes import BAG, COMPOUND, DIN, PRINT_TEST, PRODUCT
from print_test_scenes import seen

from vision.labels.label_template import shipped_templates


class Worker:
    """The child at the other end of two pipes."""

    def __init__(self) -> None:
        self.child = subprocess.Popen(
            [sys.executable, "-m", "vision.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def send(self, line: bytes) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(line + b"\n")
        self.child.stdin.flush()

    def line(self) -> dict[str, Any]:
        assert self.child.stdout is not None
        answer: dict[str, Any] = json.loads(self.child.stdout.readline())
        return answer

    def ask(self, **request: object) -> dict[str, Any]:
        self.send(json.dumps(request).encode())
        return self.line()


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    started = Worker()
    ready = started.line()
    assert ready["ready"] is True
    assert "zxing-cpp" in ready["versions"]
    yield started
    started.child.kill()
    started.child.wait(10)


@pytest.mark.requirement("F-007", "T18")
def test_a_label_is_drawn_by_the_text_that_was_approved_and_by_no_other(
    worker: Worker, tmp_path: Path
) -> None:
    plan, out, zpl = shipped_templates()["bag"], tmp_path / "bag.png", tmp_path / "bag.zpl"
    asked = {"op": "render_label", "template": "bag", "fields": BAG, "out": str(out), "zpl_out": str(zpl)}

    altered = plan.text.replace("Cells, apheresis", "Cells, expanded")
    refused = worker.ask(id=1, **asked, template_text=altered, template_sha256=plan.sha256)
    other = worker.ask(
        id=2, **asked | {"template": "dose"}, template_text=plan.text, template_sha256=plan.sha256
    )
    assert (refused["reason"], other["reason"]) == ("template_altered", "template_refused")
    assert "Nothing was printed" in refused["words"]
    assert not out.exists() and not zpl.exists()

    drawn = worker.ask(id=3, **asked, template_text=plan.text, template_sha256=plan.sha256, dpi="203")
    assert drawn["result"]["template_sha256"] == plan.sha256
    assert drawn["result"]["zpl_sha256"] == hashlib.sha256(zpl.read_bytes()).hexdigest()
    assert zpl.read_bytes().startswith(b"^XA^PW812^LL609")


@pytest.mark.requirement("F-007")
def test_the_worker_judges_a_picture_of_the_print_test(worker: Worker, tmp_path: Path) -> None:
    path = tmp_path / "test.png"
    cv2.imwrite(str(path), seen(dead=(500,)))

    answer = worker.ask(
        id=1, op="judge_print_test", image=str(path), payload=PRINT_TEST["linear_text"], dpi="300"
    )

    assert answer["result"]["verdict"] == "fail"
    assert float(answer["result"]["dead"][0]["at_mm"]) == pytest.approx(42.4, abs=0.2)


def test_a_label_is_drawn_and_read_by_the_same_worker(worker: Worker, tmp_path: Path) -> None:
    out = tmp_path / "labels" / "bag.png"

    drawn = worker.ask(id=1, op="render_label", template="bag", fields=BAG, out=str(out))
    read = worker.ask(id=2, op="scan", image=str(out), formats=["code128", "datamatrix"])
    live = worker.ask(
        id=3,
        op="scan_source",
        source=str(out.parent),
        formats=["datamatrix"],
        timeout_ms=2000,
        shown_after="",
    )

    assert drawn["ok"] and drawn["result"]["symbols"] == [DIN, PRODUCT, COMPOUND]
    assert read["id"] == 2
    assert {each["text"] for each in read["result"]["symbols"] if each["confirmed"]} == {
        DIN,
        PRODUCT,
        COMPOUND,
    }
    assert live["result"]["image"] == str(out)
    assert [each["text"] for each in live["result"]["symbols"]] == [COMPOUND]


def test_vision_does_not_know_what_a_symbol_means(worker: Worker, tmp_path: Path) -> None:
    out = tmp_path / "bag.png"
    worker.ask(id=1, op="render_label", template="bag", fields=BAG, out=str(out))

    read = worker.ask(id=2, op="scan", image=str(out))

    assert [each["meaning"] for each in read["result"]["symbols"]] == [None, None, None]


@pytest.mark.parametrize(
    "line",
    [
        b"rubbish",
        b"[1, 2]",
        b"null",
        b'{"id": null, "op": "ping"}',
        b'{"op": "ping"}',
        b'{"id": 1}',
        b'{"id": 1, "op": "fly"}',
        b'{"id": 1, "op": "scan"}',
        b'{"id": 1, "op": "scan", "image": 7}',
        b'{"id": 1, "op": "scan", "image": "x", "formats": ["ean13"]}',
        b'{"id": 1, "op": "scan", "image": "x", "formats": {}}',
        b'{"id": 1, "op": "scan_source", "source": "x", "timeout_ms": "soon"}',
        b'{"id": 1, "op": "scan_source", "source": "x", "timeout_ms": 1, "shown_after": "never"}',
        b'{"id": 1, "op": "render_label", "template": "bag", "fields": [], "out": "x"}',
        b'{"id": 1, "op": "render_label", "template": "bag", "fields": {}, "out": "x"}',
        b'{"id": 1, "op": "count", "images": [], "method": "trypan-blue"}',
        b'{"id": 1, "op": "count", "images": ["x"], "method": "guess"}',
        b'{"id": 1, "op": "count", "images": ["x"], "method": "trypan-blue", "dilution": "-1"}',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b"x" * (2 * 1024 * 1024),
    ],
    ids=lambda line: line[:40].decode("latin-1"),
)
def test_a_bad_request_is_answered_and_survived(worker: Worker, line: bytes) -> None:
    worker.send(line)
    answer = worker.line()

    assert answer["ok"] is False
    assert answer["reason"] in {"bad_request", "label_not_drawn"}
    assert answer["words"]
    assert worker.ask(id="after", op="ping")["ok"] is True


def test_what_cannot_be_read_is_an_answer_and_not_a_failure(worker: Worker, tmp_path: Path) -> None:
    unreadable = worker.ask(id=1, op="scan", image=str(tmp_path / "missing.png"))
    gone = worker.ask(id=2, op="scan_source", source=str(tmp_path / "unplugged"), timeout_ms=100)

    assert unreadable["result"]["reasons"] == ["unreadable_file"]
    assert (gone["ok"], gone["reason"]) == (False, "source_gone")


def test_requests_are_answered_in_order(worker: Worker) -> None:
    for number in range(20):
        worker.send(json.dumps({"id": number, "op": "ping"}).encode())

    assert [worker.line()["id"] for _ in range(20)] == list(range(20))


def test_the_worker_ends_when_its_input_ends_and_says_nothing_more() -> None:
    ending = Worker()
    assert ending.line()["ready"] is True

    rest, _ = ending.child.communicate(timeout=20)

    assert rest == b""
    assert ending.child.returncode == 0


def test_native_chatter_on_standard_output_never_reaches_the_answers() -> None:
    code = (
        "import os, sys; from vision import worker\n"
        "fd = worker._private_stdout()\n"
        "os.write(1, b'native chatter\\n'); print('python chatter')\n"
        "worker._send(fd, {'clean': True})"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30, check=True)

    assert done.stdout == b'{"clean":true}\n'
    assert b"native chatter" in done.stderr
