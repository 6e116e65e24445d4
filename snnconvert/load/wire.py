"""Counts what a protobuf message is made of before it is parsed: a part of two bytes takes a hundred in memory."""

from functools import cache
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; the others are not written by anyone
PACKED = 16  # bytes of packed integers that count as one part
Table = dict[int, Any]  # field number -> the message within, or "integers"


@cache
def _table(descriptor: Any) -> Table:
    """Return those fields of a message that take more memory than they take in the file."""
    as_they_are = (FieldDescriptor.CPPTYPE_STRING, FieldDescriptor.CPPTYPE_FLOAT, FieldDescriptor.CPPTYPE_DOUBLE)
    return {
        field.number: field.message_type or "integers"
        for field in descriptor.fields
        if field.cpp_type not in as_they_are
    }


def count_parts(content: bytes, descriptor: Any, limit: int) -> int:
    """Return how many fields a message has, those of the messages within it too; the count ends above ``limit``.

    Raises:
        ValueError: the bytes are no message.
    """
    parts = 0
    waiting = [(descriptor, 0, len(content))]
    try:
        while waiting and parts <= limit:
            message, at, end = waiting.pop()
            table = _table(message)
            while at < end and parts <= limit:
                parts += 1
                tag, at = _varint(content, at)
                kind = tag & 7
                if kind == BYTES:
                    size, at = _varint(content, at)
                    inner = table.get(tag >> 3)
                    if inner == "integers":
                        parts += size // PACKED
                    elif inner is not None:
                        waiting.append((inner, at, at + size))
                    at += size
                elif kind == VARINT:
                    _, at = _varint(content, at)
                elif kind in (FIXED64, FIXED32):
                    at += 8 if kind == FIXED64 else 4
                else:
                    raise ValueError(f"wire type {kind}")
            if at > end:
                raise ValueError("a field is longer than the message")
    except IndexError:
        raise ValueError("a number has no end") from None
    return parts


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number and the place behind it."""
    value = content[at]
    if value < 128:  # nearly always
        return value, at + 1
    value &= 127
    for place in range(at + 1, at + 10):
        byte = content[place]
        value |= (byte & 127) << 7 * (place - at)
        if byte < 128:
            return value, place + 1
    raise ValueError("a number has no end")
