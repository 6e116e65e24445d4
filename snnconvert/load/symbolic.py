"""Sizes that are formulas of a free batch, as torch.export writes them.

torch hands these texts to ``eval``; so they are parsed here, and torch gets the text that is written from the tree.

    size = integer | symbol | size + size | size - size | size * size | size // size | Name(size, ...)
"""

import ast
import re

MAX_LENGTH = 4000
MAX_INTEGER = 2**63
MAX_DEGREE = 4  # of a formula as a polynomial: sympy multiplies products of sums out
MAX_SYMBOLS = 8  # of one formula: a batch, and a few sizes
SYMBOL = re.compile(r"s[0-9]{1,9}", re.ASCII)
_FUNCTIONS = {"Add", "Mul", "FloorDiv"}
_ASSUMPTIONS = {"positive", "integer", "nonnegative"}


def rewritten(text: str) -> str:
    """Return the formula as torch itself writes it.

    Raises:
        ValueError: it is anything but a formula of integers and symbols.
    """
    if len(text) > MAX_LENGTH or not text.isascii():
        raise ValueError("too long")
    try:
        formula = ast.parse(text, mode="eval").body
        written = _written(formula)
        degree = _degree(formula)
    except (SyntaxError, RecursionError, MemoryError) as problem:
        raise ValueError(type(problem).__name__) from None
    symbols = {*re.findall(r"'(s[0-9]+)'", written)}
    if len(symbols) > MAX_SYMBOLS:
        raise ValueError(f"{len(symbols)} symbols")
    if degree > MAX_DEGREE:
        raise ValueError(f"a product of {degree} symbols")
    return written


def _degree(node: ast.expr) -> int:
    """Return the degree of a formula that could be written, with a quotient taken for a product."""
    match node:
        case ast.Name() | ast.Call(func=ast.Name(id="Symbol")):
            return 1
        case ast.Call(func=ast.Name(id=name), args=parts):
            degrees = [_degree(part) for part in parts]
            return max(degrees) if name == "Add" else sum(degrees)
        case ast.BinOp(left=left, op=operation, right=right):
            pair = (_degree(left), _degree(right))
            return max(pair) if isinstance(operation, ast.Add | ast.Sub) else sum(pair)
    return 0


def _written(node: ast.expr) -> str:
    match node:
        case ast.Constant(value=int() as value) if not isinstance(value, bool) and value < MAX_INTEGER:
            return f"Integer({value})"
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() as value)) if value < MAX_INTEGER:
            return f"Integer({-value})"
        case ast.Name(id=name) if SYMBOL.fullmatch(name):
            return f"Symbol('{name}', positive=True, integer=True)"
        case ast.Call(func=ast.Name(id="Symbol"), args=[ast.Constant(value=str() as name)], keywords=assumptions) if (
            SYMBOL.fullmatch(name) and all(each.arg in _ASSUMPTIONS for each in assumptions)
        ):
            return f"Symbol('{name}', positive=True, integer=True)"
        case ast.Call(func=ast.Name(id="Integer"), args=[value], keywords=[]) if not isinstance(value, ast.Call):
            return _written(value)
        case ast.Call(func=ast.Name(id=name), args=[_, _, *_] as parts, keywords=[]) if name in _FUNCTIONS:
            return f"{name}({', '.join(map(_written, parts))})"
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return f"Add({_written(left)}, {_written(right)})"
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return f"Add({_written(left)}, Mul(Integer(-1), {_written(right)}))"
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return f"Mul({_written(left)}, {_written(right)})"
        case ast.BinOp(left=left, op=ast.FloorDiv(), right=right):
            return f"FloorDiv({_written(left)}, {_written(right)})"
    raise ValueError("not a formula of integers and symbols")
