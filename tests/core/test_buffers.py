"""The buffers of SSPI calls, against sspi.h; none of them prints its contents."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from authsrv.core.buffers import (
    ATTRIBUTE_MASK,
    BufferAttribute,
    BufferType,
    SecBuffer,
    SecBufferDesc,
)


def test_buffer_types_are_numbered_without_a_gap_up_to_traffic_secrets() -> None:
    assert [kind.value for kind in BufferType] == list(range(29))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (BufferType.EMPTY, 0),
        (BufferType.TOKEN, 2),
        (BufferType.EXTRA, 5),
        (BufferType.STREAM, 10),
        (BufferType.CHANNEL_BINDINGS, 14),
        (BufferType.ALERT, 17),
        (BufferType.DTLS_MTU, 24),
        (BufferType.TRAFFIC_SECRETS, 28),
    ],
)
def test_buffer_types_have_the_numbers_of_sspi_h(kind: BufferType, value: int) -> None:
    assert kind == value


def test_the_attributes_fill_the_mask_and_no_type_reaches_into_it() -> None:
    assert sum(BufferAttribute) == 0x9000_0000
    assert sum(BufferAttribute) | BufferAttribute.RESERVED == ATTRIBUTE_MASK
    assert not any(kind & ATTRIBUTE_MASK for kind in BufferType)


@given(st.binary(max_size=64))
def test_a_buffer_prints_the_length_and_type_alone(data: bytes) -> None:
    buffer = SecBuffer(BufferType.TOKEN, data)

    assert repr(buffer) == str(buffer) == f"SecBuffer(TOKEN, {len(data)} bytes)"


def test_a_description_prints_no_byte_of_its_buffers() -> None:
    desc = SecBufferDesc((SecBuffer(BufferType.TOKEN, b"secret"),))

    assert repr(desc) == "SecBufferDesc(buffers=(SecBuffer(TOKEN, 6 bytes),), version=0)"


def test_a_call_can_fill_an_output_buffer_in_place() -> None:
    output = SecBuffer(BufferType.TOKEN)
    desc = SecBufferDesc((output,))
    assert output.data == b""

    output.data = b"answer"

    found = desc.first(BufferType.TOKEN)
    assert found is not None
    assert found.data == b"answer"


def test_the_first_buffer_of_a_type_is_found_and_a_missing_type_is_none() -> None:
    first, second = SecBuffer(BufferType.TOKEN, b"1"), SecBuffer(BufferType.TOKEN, b"2")
    desc = SecBufferDesc((SecBuffer(BufferType.EMPTY), first, second))

    assert desc.first(BufferType.TOKEN) is first
    assert desc.first(BufferType.CHANNEL_BINDINGS) is None


def test_a_description_is_gone_through_in_order_and_counted() -> None:
    buffers = (SecBuffer(BufferType.TOKEN, b"1"), SecBuffer(BufferType.EMPTY))
    desc = SecBufferDesc(buffers)

    assert tuple(desc) == buffers
    assert len(desc) == 2
    assert desc.version == 0
    assert len(SecBufferDesc()) == 0
