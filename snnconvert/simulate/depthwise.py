"""Depthwise convolutions, for numba's loops: every output looks at one channel, so all of its inputs are read."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from snnconvert.simulate.rows import FORM, Rows, for_each_form
from snnconvert.simulate.vectors import BINARY, BYTE, FLOAT, LONG, Writer, zeros


@intrinsic
def depthwise_row(typing, form, place):  # type: ignore[no-untyped-def]
    """Write a row of outputs of a depthwise convolution; ``form`` as in :func:`~snnconvert.simulate.rows.sum_rows`.

    Of it, ``values`` are the inputs: floats, or spikes of a byte each where they are ``packed``. ``place`` is ``packed
    begin width apart first last kernel stride padding shift outputs pixel to at``: rows ``first`` to ``last`` of the
    window lie in the image, and its row 0 would begin at ``values[begin]``, with pixels ``apart``. The weights
    begin at ``weights[shift]``, ``lanes`` for each place of the window.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        names = "packed begin width apart first last kernel stride padding shift outputs pixel to at"
        write = Writer(builder, f"{FORM} {names}", arguments)
        zero = ir.Constant(LONG, 0)
        line = builder.mul(write["width"], write["apart"])

        def smaller(a: Any, b: Any) -> Any:
            return builder.select(builder.icmp_signed("<", a, b), a, b)

        def larger(a: Any, b: Any) -> Any:
            return builder.select(builder.icmp_signed("<", a, b), b, a)

        def written(_: int, lanes: int) -> None:
            rows = Rows(write, BINARY, lanes, 1)
            inside, floats = write.first(write["left"], lanes), ir.VectorType(FLOAT, lanes)
            whole = builder.icmp_signed(">=", write["left"], ir.Constant(LONG, lanes))

            def of_bytes(at: Any, full: bool) -> Any:
                address = write.address("values", at, BYTE)
                if full:
                    found = write.load(address, ir.VectorType(BYTE, lanes), 1)
                else:
                    found = write.load_first(address, lanes, inside, BYTE)
                return builder.uitofp(found, floats)

            def of_floats(at: Any, full: bool) -> Any:
                return write.load_first(write.address("values", at), lanes, inside)

            def all_outputs(values: Any, full: bool) -> None:
                def output(j: Any, _: list[Any]) -> list[Any]:
                    column = builder.sub(builder.mul(j, write["stride"]), write["padding"])
                    left = larger(builder.neg(column), zero)
                    right = smaller(builder.sub(write["width"], column), write["kernel"])

                    def row(k: Any, carried: list[Any]) -> list[Any]:
                        start = builder.add(write["begin"], builder.mul(k, line))

                        def tap(x: Any, totals: list[Any]) -> list[Any]:
                            at = builder.add(start, builder.mul(builder.add(column, x), write["apart"]))
                            index = builder.add(builder.mul(k, write["kernel"]), x)
                            index = builder.mul(index, ir.Constant(LONG, lanes))
                            weight = write.load(write.address("weights", builder.add(write["shift"], index)), floats)
                            name = f"llvm.fma.v{lanes}f32"
                            return [write.call(name, floats, values(at, full), weight, totals[0])]

                        return write.loop(left, right, 1, carried, tap)

                    (total,) = write.loop(write["first"], write["last"], 1, [zeros(FLOAT, lanes)], row)
                    moved = builder.mul(j, write["pixel"])
                    there = builder.icmp_signed(">=", write["at"], zero)
                    at = builder.select(there, builder.add(write["at"], moved), write["at"])
                    rows.finish(total, builder.add(write["to"], moved), at)
                    return []

                write.loop(zero, write["outputs"], 1, [], output)

            with builder.if_else(builder.icmp_signed("==", write["packed"], zero)) as (plain, packed):
                with plain:
                    all_outputs(of_floats, False)
                with packed, builder.if_else(whole) as (full, part):
                    with full:
                        all_outputs(of_bytes, True)
                    with part:
                        all_outputs(of_bytes, False)

        for_each_form(write, written, kinds=(BINARY,))
        return context.get_dummy_value()

    return types.none(form, place), generate
