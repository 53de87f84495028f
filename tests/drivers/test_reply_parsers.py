"""Any bytes at all end in a value or in a typed fault, within a bound: every frame cutter, every driver."""

from __future__ import annotations

import pytest
from fuzzed_replies import BUFFER_BYTES, driven, rest_of, taken, takes
from hypothesis import given, settings
from hypothesis import strategies as st
from type_variants import LABELS

TAKES = takes()
quick = settings(derandomize=True, deadline=None, max_examples=120)
few = settings(derandomize=True, deadline=None, max_examples=40)


@pytest.mark.requirement("F-028")
@pytest.mark.parametrize("name", sorted(TAKES))
def test_any_bytes_end_in_frames_or_in_a_typed_error(name: str) -> None:
    @quick
    @given(st.binary(max_size=700))
    def any_bytes(data: bytes) -> None:
        taken(TAKES[name], data)

    any_bytes()


@pytest.mark.parametrize("name", sorted(TAKES))
def test_bytes_that_come_one_by_one_never_hang_the_cutter(name: str) -> None:
    @quick
    @given(st.binary(max_size=120))
    def piecewise(data: bytes) -> None:
        buffer = bytearray()
        for byte in data:
            buffer.append(byte)
            rest_of(TAKES[name], buffer)
            assert len(buffer) <= BUFFER_BYTES

    piecewise()


@pytest.mark.requirement("F-028")
@pytest.mark.parametrize("type_name", LABELS)
def test_a_driver_ends_in_readings_or_in_a_fault_whatever_its_device_answers(type_name: str) -> None:
    @few
    @given(st.binary(max_size=160))
    def whatever(data: bytes) -> None:
        driven(type_name, data)

    whatever()


@pytest.mark.parametrize("type_name", LABELS)
def test_a_driver_in_memory_reads_good_when_nothing_is_changed(type_name: str) -> None:
    """The harness above is honest: without damage the same run is a healthy one."""
    from memory_line import joined, on_virtual_time

    with on_virtual_time() as clock:
        driver, _ = joined(type_name, clock, lambda reply: [reply])
        driver.open()
        readings = driver.read()
        driver.close()

    assert readings
    assert {reading.quality for reading in readings} == {"good"}
