"""What grammars and decoders' results make of any bytes, judged by the tests' own second opinion."""

from __future__ import annotations

import json
import random
import re
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

sys.path.insert(0, str(Path(__file__).parent.parent / "appliance" / "domain"))

import numpy as np
import zxingcpp
from label_payloads import MAKERS, damaged, mod_37, objection_to

from appliance.domain import gs1, hibc, isbt128
from appliance.domain.isbt128 import LabelRefused
from appliance.domain.label_grammars import meaning
from vision.labels.agreement import Read, agree
from vision.labels.engines import read_zxing
from vision.labels.one_label import two_labels
from vision.labels.scan_command import _readable
from vision.labels.scan_result import symbol_line

IDENTIFIERS = ("]C0", "]d1", "]C1", "]d2", "]Q3", "]e0", "]A0", "]Q1", "")
ZONE = ZoneInfo("Europe/Berlin")
SEPARATOR = b"\x1e"  # between the texts of several symbols of one label
DIN = re.compile(r"[A-NP-Z1-9][A-NP-Z0-9]{2}[0-9]{10}")

# What labels are made of; a search that had to find them byte by byte would take days.
TOKENS = (
    b"=A9999", b"=A99992600000168", b"=<S1295100", b"=<S1295V99", b"&>", b"=>", b"=+03000", b"=+02000",
    b"=,00", b"&/CHA9999", b"=(2001", b"&#01", b"=%5100", b"&,1", b"=)", b"&)", b"=}", b"=*", b"=\\", b"&{",
    b"&a", b"026123",
    b"0109501101530003", b"17261231", b"17260200", b"10", b"21", b"30", b"7003", b"\x1d", b"https://id.gs1.org/01/",
    b"+A999", b"+A99912345", b"/$$5", b"/$$", b"$$+", b"$$8", b"$$9", b"/16D20261231", b"/14D", b"/S", b"/Q",
    b"99", b"00", b"2359", b"*", SEPARATOR, b"\xe2\x82\xac",
)  # fmt: skip


def text_of(data: bytes) -> str:
    """Spell bytes as decoders do: as UTF-8 where they are, else byte by byte."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def front_door(data: bytes) -> None:
    """Whatever a symbol says is given a meaning that holds, or refused in words."""
    identifier = IDENTIFIERS[data[0] % len(IDENTIFIERS)] if data else ""
    text = text_of(data[1:])
    said = meaning(text, identifier)
    if said is None:
        return
    assert json.loads(json.dumps(said)) == said
    if "refused" in said:
        assert isinstance(said["refused"], str) and said["refused"].strip()
        return
    objection = objection_to(text, said)
    assert not objection, f"{text!r} ({identifier}) was accepted: {objection}"


def isbt_label(data: bytes) -> None:
    """Texts of one label are joined to what each of them says, or refused."""
    texts = [text_of(each) for each in data.split(SEPARATOR)]
    for text in texts:
        try:
            structures = isbt128.parse(text)
        except LabelRefused:
            continue
        assert "".join(each.text for each in structures) == text, text
    try:
        label = isbt128.label_of(texts)
        expires = isbt128.expires_at(label, ZONE)
    except LabelRefused as refusal:
        assert str(refusal).strip()
        return
    assert expires is None or (expires.tzinfo is UTC and expires > datetime(1900, 1, 1, tzinfo=UTC))
    try:
        din = label.identity.din
    except LabelRefused:
        return
    assert DIN.fullmatch(din), din
    assert any(din in text for text in texts), "a donation number that no text holds"


def typed_din(data: bytes) -> None:
    """A typed number is taken with its own check character only."""
    din, check = text_of(data[:-1]), text_of(data[-1:])
    try:
        taken = isbt128.check_typed_din(din, check)
    except LabelRefused:
        return
    assert DIN.fullmatch(taken), taken
    assert "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*"[mod_37(taken)] == check.strip().upper(), (din, check)


def gs1_label(data: bytes) -> None:
    """GS1 element strings, one symbol and several of one label."""
    labels = []
    for each in data.split(SEPARATOR):
        try:
            labels.append(gs1.parse(text_of(each), "]d2"))
        except LabelRefused:
            continue
        said = meaning(text_of(each), "]d2")
        assert said is not None and "refused" not in said
        assert not objection_to(text_of(each), said), text_of(each)
    try:
        both = gs1.joined(labels)
    except LabelRefused:
        return
    assert all(
        both[key] == label[key] for label in labels for key in label if key in ("gtin", "lot", "serial")
    )


def hibc_label(data: bytes) -> None:
    """HIBC symbols, whole and in two parts."""
    labels = []
    for each in data.split(SEPARATOR):
        text = text_of(each)
        try:
            labels.append(hibc.parse(text))
        except LabelRefused:
            continue
        said = meaning(text, "]C0")
        assert said is not None and not objection_to(text, {"standard": "HIBC"}), text
    for primary, secondary in pairwise(labels):
        try:
            hibc.joined(primary, secondary)
        except LabelRefused:
            continue


def read_and_told(data: bytes) -> None:
    """Bytes in a drawn symbol come back as they were, and are told as JSON and in words."""
    try:
        drawn = zxingcpp.create_barcode(data[:120], zxingcpp.BarcodeFormat.DataMatrix)
    except ValueError:
        return  # nothing, or too much for one symbol
    gray = np.asarray(drawn.to_image(scale=3), dtype=np.uint8)
    reads = read_zxing(gray, ("datamatrix",), "whole")
    assert [read.data for read in reads] == [data[:120]]
    place = reads[0].corners
    second = Read("zbar", "whole", "code128", data, data.decode("utf-8", "replace"), "", place + 400)
    symbols, _ = agree([*reads, second])
    two_labels(symbols)
    lines = [symbol_line(each, meaning) for each in symbols]
    assert bytes.fromhex(str(lines[0]["hex"])) == data[:120]
    told = {"image": "a.png", "symbols": lines, "reasons": [], "elapsed_ms": 1.0}
    assert json.loads(json.dumps(told))["symbols"][0]["text"] == reads[0].text
    words = _readable(json.loads(json.dumps(told)))
    assert not any(ord(each) < 0x20 and each != "\n" for each in words), words


def targets() -> dict[str, Callable[[bytes], None]]:
    """Every target by name."""
    return {
        "labels front door": front_door,
        "labels gs1": gs1_label,
        "labels hibc": hibc_label,
        "labels isbt128": isbt_label,
        "labels typed din": typed_din,
        "labels read and told": read_and_told,
    }


def in_labels(filename: str) -> bool:
    """Whether a file is a grammar's or the reader's, which leads the search."""
    name = Path(filename).name
    grammar = "/appliance/domain/" in filename and name.startswith(("isbt128", "gs1", "hibc", "label_gram"))
    return grammar or ("/vision/labels/" in filename and name.startswith(("scan_", "agreement", "one_label")))


def first_inputs(seed: int) -> list[bytes]:
    """True and damaged payloads to begin with, alone and two of one label."""
    chance, told = random.Random(seed), []
    for make in MAKERS:
        for _ in range(6):
            text, identifier = make(chance)
            for spoken in (text, damaged(text, chance)):
                data = spoken.encode()
                told += [data, bytes((IDENTIFIERS.index(identifier),)) + data, data + SEPARATOR + data]
    din = "A999926000001"
    return [*told, (din + "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ*"[mod_37(din)]).encode()]
