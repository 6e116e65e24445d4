"""Vector instructions for numba's loops, which keep no sum in registers by themselves.

They are written in LLVM's own terms, and LLVM fits them to the machine. Nothing is reordered: a sum has the same bits
on every machine.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import unpack_tuple
from numba.extending import intrinsic

LANES = (16, 32, 64)  # outputs that are computed together
GROUP = 16  # inputs that are looked at together
BINARY, GRADED, WHOLE = 0, 1, 2  # spikes, other values, and spikes that meet 8-bit weights

FLOAT, SHORT, INT, LONG, BIT = ir.FloatType(), ir.IntType(16), ir.IntType(32), ir.IntType(64), ir.IntType(1)


class Writer:
    """Writes instructions into a function that numba compiles, with arguments, and items of tuples, by name.

    Arrays come as addresses: numba would count the references to an array at each call.
    """

    def __init__(self, builder: Any, names: str, arguments: Any) -> None:
        self.builder = builder
        aggregates = (ir.ArrayType, ir.LiteralStructType)
        flat = [
            value
            for argument in arguments
            for value in (unpack_tuple(builder, argument) if isinstance(argument.type, aggregates) else [argument])
        ]
        self._arguments = dict(zip(names.split(), flat, strict=True))

    def __getitem__(self, name: str) -> Any:
        return self._arguments[name]

    def address(self, array: str, at: Any, kind: Any = FLOAT) -> Any:
        """Return the address of element ``at`` of an array."""
        return self.builder.gep(self.builder.inttoptr(self[array], kind.as_pointer()), [at])

    def load(self, address: Any, kind: Any, align: int = 4) -> Any:
        """Load a vector, or a number."""
        found = self.builder.load(self.builder.bitcast(address, kind.as_pointer()))
        found.align = align
        return found

    def store(self, value: Any, address: Any) -> None:
        """Store a vector."""
        self.builder.store(value, self.builder.bitcast(address, value.type.as_pointer())).align = 4

    def load_first(self, address: Any, lanes: int, mask: Any) -> Any:
        """Load the floats of a mask; zeros for the others.

        All must lie in memory that exists: the processor stumbles over others, though it does not read them.
        """
        kind = ir.VectorType(FLOAT, lanes)
        address = self.builder.bitcast(address, kind.as_pointer())
        name = f"llvm.masked.load.v{lanes}f32.p0"
        return self.call(name, kind, address, ir.Constant(INT, 4), mask, zeros(FLOAT, lanes))

    def store_first(self, value: Any, address: Any, lanes: int, mask: Any) -> None:
        """Store the floats of a mask."""
        address = self.builder.bitcast(address, value.type.as_pointer())
        name = f"llvm.masked.store.v{lanes}f32.p0"
        self.call(name, ir.VoidType(), value, address, ir.Constant(INT, 4), mask)

    def splat(self, value: Any, lanes: int) -> Any:
        """Return a vector of one number."""
        kind = ir.VectorType(value.type, lanes)
        undefined = ir.Constant(kind, ir.Undefined)
        one = self.builder.insert_element(undefined, value, ir.Constant(INT, 0))
        return self.builder.shuffle_vector(one, undefined, ir.Constant(ir.VectorType(INT, lanes), [0] * lanes))

    def first(self, count: Any, lanes: int) -> Any:
        """Return a mask of the first ``count`` lanes."""
        limit = self.splat(self.builder.trunc(count, INT), lanes)
        return self.builder.icmp_signed("<", counting(lanes), limit)

    def loop(
        self, first: Any, last: Any, stride: int, carried: list[Any], body: Callable[[Any, list[Any]], list[Any]]
    ) -> list[Any]:
        """Go from ``first`` to ``last``; ``body(i, carried)`` returns what is carried on. Return what is at the end."""
        builder, before = self.builder, self.builder.block
        head, inner, end = (builder.append_basic_block(name) for name in ("loop", "loop.body", "loop.end"))
        builder.branch(head)
        builder.position_at_end(head)
        i, *values = (builder.phi(each.type) for each in (first, *carried))
        for phi, value in zip((i, *values), (first, *carried), strict=True):
            phi.add_incoming(value, before)
        builder.cbranch(builder.icmp_signed("<", i, last), inner, end)
        builder.position_at_end(inner)
        new = body(i, values)
        for phi, value in zip((i, *values), (builder.add(i, ir.Constant(LONG, stride)), *new), strict=True):
            phi.add_incoming(value, builder.block)
        builder.branch(head)
        builder.position_at_end(end)
        return values

    def call(self, name: str, result: Any, *arguments: Any) -> Any:
        """Call a function of LLVM."""
        functions = self.builder.module.globals
        if name not in functions:
            kind = ir.FunctionType(result, [each.type for each in arguments])
            functions[name] = ir.Function(self.builder.module, kind, name)
        return self.builder.call(functions[name], arguments)


def zeros(kind: Any, lanes: int) -> Any:
    """Return a vector of zeros."""
    return ir.Constant(ir.VectorType(kind, lanes), [0] * lanes)


def counting(lanes: int) -> Any:
    """Return the vector 0, 1, 2, ..."""
    return ir.Constant(ir.VectorType(INT, lanes), list(range(lanes)))


def _inputs(write: Writer) -> tuple[Any, Any]:
    """Load the next inputs, as many as there are of 16; return them, and which are not zero."""
    x = write.load_first(write.address("x", write["at"]), GROUP, write.first(write["channels"], GROUP))
    return x, write.builder.fcmp_unordered("!=", x, zeros(FLOAT, GROUP))


def _append(write: Writer, values: Any, there: Any, array: str, context: Any) -> Any:
    """Append the values that are there to an array with n; return the new n."""
    builder, n, element = write.builder, write["n"], values.type.element
    *_, features = context.codegen().magic_tuple()
    if "+avx512f" in features:  # elsewhere LLVM stumbles over it, or makes slow code of it
        name = "llvm.experimental.vector.compress.v16" + ("f32" if element is FLOAT else "i32")
        packed = write.call(name, values.type, values, there, zeros(element, GROUP))
        write.store(packed, write.address(array, n, element))
        count = builder.ctpop(builder.bitcast(there, ir.IntType(GROUP)))
        return builder.add(n, builder.zext(count, LONG))
    for i in range(GROUP):  # each is written, and written over where it is not there
        at = ir.Constant(INT, i)
        builder.store(builder.extract_element(values, at), write.address(array, n, element))
        n = builder.add(n, builder.zext(builder.extract_element(there, at), LONG))
    return n


@intrinsic
def append_events(typing, x, at, channels, place, by, events, n):  # type: ignore[no-untyped-def]
    """Append ``(place + i) * by`` for each ``x[at + i]`` that is not zero, i < min(channels, 16); return the new n.

    Up to 16 numbers behind the last event are written over.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write = Writer(builder, "x at channels place by events n", arguments)
        _, there = _inputs(write)
        places = builder.add(counting(GROUP), write.splat(builder.trunc(write["place"], INT), GROUP))
        found = builder.mul(places, write.splat(builder.trunc(write["by"], INT), GROUP))
        return _append(write, found, there, "events", context)

    return types.int64(*[types.int64] * 7), generate


@intrinsic
def append_values(typing, x, at, channels, values, n):  # type: ignore[no-untyped-def]
    """Put the values of the same inputs beside their events, from position n on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        write = Writer(builder, "x at channels values n", arguments)
        x, there = _inputs(write)
        _append(write, x, there, "values", context)
        return context.get_dummy_value()

    return types.none(*[types.int64] * 5), generate
