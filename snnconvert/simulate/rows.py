"""Sums of the weights of events, for numba's loops: the outputs of a convolution, 16, 32 or 64 channels at once."""

from collections.abc import Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from snnconvert.simulate.vectors import (
    BINARY,
    BYTE,
    FLOAT,
    GRADED,
    INT,
    LANES,
    LONG,
    SHORT,
    WHOLE,
    Writer,
    zeros,
)

LISTED, SWEPT, DEPTHWISE = 0, 1, 2  # how a convolution finds its inputs: see events.py
LONGEST = 256  # 8-bit weights whose sum surely fits into 16 bits
FORM = "kind lanes weights events values scale bias channel left out other bytes factor"


class Rows:
    """Writes the sum of the weights that events point to: of each row, ``blocks`` vectors of ``lanes`` outputs."""

    def __init__(self, write: Writer, kind: int, lanes: int, blocks: int) -> None:
        self.write, self.builder, self.kind, self.lanes, self.blocks = write, write.builder, kind, lanes, blocks
        self.element = SHORT if kind == WHOLE else FLOAT
        self.vector = ir.VectorType(self.element, lanes)
        self.none = [zeros(self.element, lanes)] * blocks
        self.sums = ir.VectorType(INT if kind == WHOLE else FLOAT, lanes)

    def row(self, event: Any) -> Any:
        """Return what an event says: where its row of weights begins."""
        return self.builder.sext(self.write.load(self.write.address("events", event, INT), INT), LONG)

    def added(self, totals: list[Any], row: Any, event: Any, exists: Any = None) -> list[Any]:
        """Add a row of weights, times the value of the event where it has one; 0 where it does not exist."""
        builder, write = self.builder, self.write
        start = builder.bitcast(write.address("weights", row), self.element.as_pointer())
        found = []
        for block, total in enumerate(totals):
            address = builder.gep(start, [ir.Constant(LONG, block * self.lanes)])
            weights = write.load(address, self.vector, 2 if self.kind == WHOLE else 4)
            if self.kind == GRADED:
                value = write.load(write.address("values", event), FLOAT)
                if exists is not None:
                    value = builder.select(exists, value, ir.Constant(FLOAT, 0.0))
                value = write.splat(value, self.lanes)
                found.append(write.call(f"llvm.fma.v{self.lanes}f32", self.vector, value, weights, total))
            else:
                found.append(self.plus(total, weights))
        return found

    def plus(self, a: Any, b: Any) -> Any:
        """Add two sums."""
        return self.builder.fadd(a, b) if isinstance(a.type.element, ir.FloatType) else self.builder.add(a, b)

    def in_parts(self, first: Any, last: Any, sums: Any) -> list[Any]:
        """Return ``sums(first, last)``; of 8-bit weights, of as many events at once as fit into 16 bits, in 32 bits."""
        if self.kind != WHOLE:
            return list(sums(first, last))

        def part(start: Any, totals: list[Any]) -> list[Any]:
            stop = self.builder.add(start, ir.Constant(LONG, LONGEST))
            stop = self.builder.select(self.builder.icmp_signed("<", stop, last), stop, last)
            return [
                self.builder.add(total, self.builder.sext(found, self.sums))
                for total, found in zip(totals, sums(start, stop), strict=True)
            ]

        return self.write.loop(first, last, LONGEST, [zeros(INT, self.lanes)] * self.blocks, part)

    def finish(self, total: Any, to: Any, at: Any) -> None:
        """Write a sum to ``out[to:]``, scaled, with its bias, and with ``factor * other[at:]`` unless at < 0."""
        builder, write, lanes, channel = self.builder, self.write, self.lanes, self.write["channel"]
        floats = ir.VectorType(FLOAT, lanes)
        if self.kind == WHOLE:
            total = builder.fmul(builder.sitofp(total, floats), write.load(write.address("scale", channel), floats))
        total = builder.fadd(total, write.load(write.address("bias", channel), floats))
        inside = write.first(write["left"], lanes)
        whole = builder.icmp_signed(">=", write["left"], ir.Constant(LONG, lanes))
        before = builder.block
        with builder.if_then(builder.icmp_signed(">=", at, ir.Constant(LONG, 0))):
            other = self._other(at, inside, whole)
            added = builder.fadd(total, builder.fmul(other, write.load(write.address("factor", channel), floats)))
            there = builder.block
        alone, total = total, builder.phi(floats)
        total.add_incoming(alone, before)
        total.add_incoming(added, there)
        address = write.address("out", to)
        with builder.if_else(whole) as (full, part):
            with full:
                write.store(total, address)
            with part:
                write.store_first(total, address, lanes, inside)

    def _other(self, at: Any, inside: Any, whole: Any) -> Any:
        """Load what is added: floats, or spikes as bytes."""
        builder, write, lanes = self.builder, self.write, self.lanes
        floats, found = ir.VectorType(FLOAT, lanes), []

        def spikes(value: Any) -> None:
            found.append((builder.uitofp(value, floats), builder.block))

        with builder.if_else(builder.icmp_signed("!=", write["bytes"], ir.Constant(LONG, 0))) as (packed, plain):
            with packed:
                address = write.address("other", at, BYTE)
                with builder.if_else(whole) as (full, part):
                    with full:
                        spikes(write.load(address, ir.VectorType(BYTE, lanes), 1))
                    with part:
                        spikes(write.load_first(address, lanes, inside, BYTE))
                (a, from_full), (b, from_part) = found
                both = builder.phi(floats)
                both.add_incoming(a, from_full)
                both.add_incoming(b, from_part)
                after_packed = builder.block
            with plain:
                other = write.load_first(write.address("other", at), lanes, inside)
                after_plain = builder.block
        result = builder.phi(floats)
        result.add_incoming(both, after_packed)
        result.add_incoming(other, after_plain)
        return result


def for_each_form(write: Writer, done: Any, kinds: Sequence[int] = (BINARY, GRADED, WHOLE)) -> None:
    """Write ``done(kind, lanes)`` for each form of weights; the one that the arguments name is run.

    Where there is one kind alone, it stands for all.
    """
    builder = write.builder
    end, unknown = builder.append_basic_block("form.end"), builder.append_basic_block("form.unknown")
    kind = write["kind"] if len(kinds) > 1 else ir.Constant(LONG, kinds[0])
    form = builder.add(builder.mul(kind, ir.Constant(LONG, 256)), write["lanes"])
    choice = builder.switch(form, unknown)
    for each in kinds:
        for lanes in LANES:
            block = builder.append_basic_block(f"form.{each}.{lanes}")
            choice.add_case(ir.Constant(LONG, each * 256 + lanes), block)
            builder.position_at_end(block)
            done(each, lanes)
            builder.branch(end)
    builder.position_at_end(unknown)
    builder.unreachable()
    builder.position_at_end(end)


@intrinsic
def sum_rows(typing, form, place):  # type: ignore[no-untyped-def]
    """Write the outputs at one place of an image: the sum of the events ``[first, last)``.

    ``form`` is what FORM names: the kind of weights and how many ``lanes`` of outputs a vector has, of which ``left``
    exist; the addresses of the arrays; and the channel from which on ``scale`` (of 8-bit weights), ``bias`` and
    ``factor`` are read. ``place`` is ``first last shift zero to at``: the row of an event e begins at
    ``weights[shift + e]``, one of zeros at ``weights[zero]``; the outputs are written to ``out[to:]``, with
    ``factor * other[at:]`` added unless ``at`` is negative.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write = Writer(builder, f"{FORM} first last shift zero to at", arguments)

        def written(kind: int, lanes: int) -> None:
            rows = Rows(write, kind, lanes, 1)
            chains = 64 // lanes * (2 if kind == WHOLE else 1)  # a sum waits for itself: event k goes to chain k

            def sums(first: Any, last: Any) -> list[Any]:
                def chained(event: Any, totals: list[Any]) -> list[Any]:
                    places = [builder.add(event, ir.Constant(LONG, k)) for k in range(chains)]
                    starts = [builder.add(write["shift"], rows.row(place)) for place in places]
                    return [
                        rows.added([total], start, place)[0]
                        for total, start, place in zip(totals, starts, places, strict=True)
                    ]

                whole = builder.and_(builder.sub(last, first), ir.Constant(LONG, -chains))
                stop = builder.add(first, whole)
                totals = write.loop(first, stop, chains, rows.none * chains, chained)
                for k in range(chains - 1):  # what is left; what lies behind the events may be anything
                    place = builder.add(stop, ir.Constant(LONG, k))
                    start = builder.add(write["shift"], rows.row(place))
                    exists = builder.icmp_signed("<", place, last)
                    start = builder.select(exists, start, write["zero"])
                    totals[k] = rows.added([totals[k]], start, place, exists)[0]
                while len(totals) > 1:
                    totals = [rows.plus(a, b) for a, b in zip(totals[::2], totals[1::2], strict=True)]
                return totals

            (total,) = rows.in_parts(write["first"], write["last"], sums)
            rows.finish(total, write["to"], write["at"])

        for_each_form(write, written)
        return context.get_dummy_value()

    return types.none(form, place), generate
