"""Loops of TorchScript functions: each gets a limit, so that all work can be counted before torch runs any of it.

torch writes every ``for`` as a loop over ``range(count)``, whatever it ran over. A count that is a literal is its own
limit. Any other one, the number of axes or the length of a list, is checked while the network runs, by a function that
is added to the archive.
"""

import ast

MAX_TURNS = 64  # of a loop whose number of turns is computed: axes of a shape, lists of features
CHECK = "__torch__.___snnconvert.turns"
CHECK_MEMBER = "code/__torch__/___snnconvert.py"
_CHECK_TEXT = f"""
def turns(count: int) -> int:
  if torch.gt(count, {MAX_TURNS}):
    ops.prim.RaiseException("a loop of more than {MAX_TURNS} turns")
  else:
    pass
  return count
"""


def check_tree() -> ast.Module:
    """Return the source file with the function that checks how many turns a loop takes."""
    return ast.parse(_CHECK_TEXT)


def limit_of(count: ast.expr) -> int | None:
    """Return how many turns a loop takes at most if its count is a literal, else None."""
    match count:
        case ast.Constant(value=int(turns)) if type(turns) is int:
            return turns
    return None


def checked(count: ast.expr) -> ast.Call:
    """Return the same count, refused by torch while the network runs if it is over the limit."""
    check = ast.parse(CHECK, mode="eval").body
    return ast.copy_location(ast.Call(check, [count], []), count)
