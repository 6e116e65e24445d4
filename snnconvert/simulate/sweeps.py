"""Convolutions of 3 x 3 with stride 1, for numba's loops: a spike is found once for the nine outputs that it reaches.

A row of inputs becomes a row of bits, a number of 64 for each pixel and 64 channels. A sweep over it holds the sums of
the nine outputs around a pixel in registers, adds the weights of each bit to them, and lays down a column of three
outputs where it leaves it.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from snnconvert.simulate.rows import FORM, Rows, for_each_form
from snnconvert.simulate.vectors import BINARY, BYTE, FLOAT, GROUP, INT, LONG, WHOLE, Writer, zeros

SIDE = 3  # rows and columns of the window
WORD = 64  # channels whose spikes are one number


@intrinsic
def find_spikes(typing, x, at, pixels, channels, count, packed, words):  # type: ignore[no-untyped-def]
    """Write a number of 64 bits for each of some pixels: which of ``count`` channels from ``x[at]`` on are not zero.

    Pixels are ``channels`` apart; x are bytes where ``packed``, or floats.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write = Writer(builder, "x at pixels channels count packed words", arguments)
        zero, one = ir.Constant(LONG, 0), ir.Constant(LONG, 1)

        def joined(word: Any, there: Any, c: Any) -> list[Any]:
            bits = builder.zext(builder.bitcast(there, ir.IntType(GROUP)), LONG)
            return [builder.or_(word, builder.shl(bits, c))]

        def of_bytes(start: Any) -> Any:
            def group(c: Any, carried: list[Any]) -> list[Any]:
                address = write.address("x", builder.add(start, c), BYTE)
                found = write.load(address, ir.VectorType(BYTE, GROUP), 1)
                return joined(carried[0], builder.icmp_unsigned("!=", found, zeros(BYTE, GROUP)), c)

            def single(c: Any, carried: list[Any]) -> list[Any]:
                found = builder.zext(builder.load(write.address("x", builder.add(start, c), BYTE)), LONG)
                return [builder.or_(carried[0], builder.shl(found, c))]

            whole = builder.and_(write["count"], ir.Constant(LONG, -GROUP))
            return write.loop(whole, write["count"], 1, write.loop(zero, whole, GROUP, [zero], group), single)[0]

        def of_floats(start: Any) -> Any:
            def group(c: Any, carried: list[Any]) -> list[Any]:
                inside = write.first(builder.sub(write["count"], c), GROUP)
                found = write.load_first(write.address("x", builder.add(start, c)), GROUP, inside)
                return joined(carried[0], builder.fcmp_unordered("!=", found, zeros(FLOAT, GROUP)), c)

            return write.loop(zero, write["count"], GROUP, [zero], group)[0]

        def each(find: Any) -> None:
            def pixel(p: Any, _: list[Any]) -> list[Any]:
                word = find(builder.add(write["at"], builder.mul(p, write["channels"])))
                builder.store(word, write.address("words", p, LONG))
                return []

            write.loop(zero, write["pixels"], 1, [], pixel)

        with builder.if_else(builder.icmp_signed("==", write["packed"], one)) as (packed_, plain):
            with packed_:
                each(of_bytes)
            with plain:
                each(of_floats)
        return context.get_dummy_value()

    return types.none(*[types.int64] * 7), generate


@intrinsic
def begin_row(typing, form, place):  # type: ignore[no-untyped-def]
    """Write a row of outputs to which nothing is added yet: the bias, and what comes from elsewhere.

    ``form`` as in :func:`~snnconvert.simulate.rows.sum_rows`, ``place`` is ``outputs pixel to at``.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write = Writer(builder, f"{FORM} outputs pixel to at", arguments)
        zero = ir.Constant(LONG, 0)

        def written(_: int, lanes: int) -> None:
            rows = Rows(write, BINARY, lanes, 1)

            def output(j: Any, _: list[Any]) -> list[Any]:
                moved = builder.mul(j, write["pixel"])
                there = builder.icmp_signed(">=", write["at"], zero)
                at = builder.select(there, builder.add(write["at"], moved), write["at"])
                rows.finish(rows.none[0], builder.add(write["to"], moved), at)
                return []

            write.loop(zero, write["outputs"], 1, [], output)

        for_each_form(write, written, kinds=(BINARY,))
        return context.get_dummy_value()

    return types.none(form, place), generate


@intrinsic
def sweep_row(typing, form, place):  # type: ignore[no-untyped-def]
    """Add a row of inputs to the three rows of outputs that it reaches; ``form`` as in sum_rows, its values are x.

    ``place`` is ``words columns parts source apart shift size padding outputs pixel first second third``. An input is
    made of ``parts`` words; those of 64 channels from ``x[source]`` on, pixels are ``apart`` in x. The weights of a
    channel, ``size`` from ``weights[shift]`` on, are those of a window, with ``lanes`` outputs at each place. The three
    rows are addresses; their pixels are ``pixel`` numbers apart.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        names = "words columns parts source apart shift size padding outputs pixel first second third"
        write = Writer(builder, f"{FORM} {names}", arguments)
        zero = ir.Constant(LONG, 0)

        def written(kind: int, lanes: int) -> None:
            rows = Rows(write, kind, lanes, SIDE * SIDE)
            inside = write.first(write["left"], lanes)
            whole = builder.icmp_signed(">=", write["left"], ir.Constant(LONG, lanes))
            nothing = zeros(rows.element, lanes)
            floats = ir.VectorType(FLOAT, lanes)

            def add(total: Any, row: str, output: Any) -> None:
                if kind == WHOLE:
                    scale = write.load(write.address("scale", write["channel"]), floats)
                    total = builder.fmul(builder.sitofp(builder.sext(total, ir.VectorType(INT, lanes)), floats), scale)
                address = write.address(row, builder.mul(output, write["pixel"]))
                with builder.if_else(whole) as (full, part):
                    with full:
                        write.store(builder.fadd(write.load(address, floats), total), address)
                    with part:
                        before = write.load_first(address, lanes, inside)
                        write.store_first(builder.fadd(before, total), address, lanes, inside)

            def column(j: Any, carried: list[Any]) -> list[Any]:
                """Add a column; carried are, of each row, the sums of the outputs that miss one and two columns."""
                start = builder.add(write["source"], builder.mul(j, write["apart"]))

                def part(p: Any, totals: list[Any]) -> list[Any]:
                    word = write.load(write.address("words", p, LONG), LONG, 8)
                    return write.bits(word, totals, lambda c, sums: added(c, sums))

                def added(c: Any, sums: list[Any]) -> list[Any]:
                    row = builder.add(write["shift"], builder.mul(c, write["size"]))
                    return rows.added(sums, row, builder.add(start, c))

                begin = [each for k in range(SIDE) for each in (nothing, carried[2 * k + 1], carried[2 * k])]
                first = builder.mul(j, write["parts"])
                last = builder.mul(write["columns"], write["parts"])
                stop = builder.add(first, write["parts"])
                stop = builder.select(builder.icmp_signed("<", stop, last), stop, last)
                totals = write.loop(first, stop, 1, begin, part)
                output = builder.sub(builder.add(j, write["padding"]), ir.Constant(LONG, SIDE - 1))
                exists = builder.and_(
                    builder.icmp_signed(">=", output, zero), builder.icmp_signed("<", output, write["outputs"])
                )
                with builder.if_then(exists):
                    for k, row in enumerate(("first", "second", "third")):
                        add(totals[SIDE * k + 2], row, output)
                return [each for k in range(SIDE) for each in (totals[SIDE * k + 1], totals[SIDE * k])]

            last = builder.add(
                write["columns"], ir.Constant(LONG, SIDE - 1)
            )  # two columns of padding, as far as needed
            write.loop(zero, last, 1, [nothing] * (2 * SIDE), column)

        for_each_form(write, written)
        return context.get_dummy_value()

    return types.none(form, place), generate
