"""Typed reading of a torch.export file's JSON: every value is of the type and form that is asked for, or refused."""

import json
import keyword
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

from snnconvert.errors import ModelError

Json = Any
MAX_JSON = 2**26  # bytes
MAX_PARTS = 2**20  # lists and mappings
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,999}", re.ASCII)
_PARAMETER = re.compile(r"(?!__)[A-Za-z0-9_]+(\.(?!__)[A-Za-z0-9_]+)*", re.ASCII)
_TEXT = re.compile(r"[A-Za-z0-9_,.> -]{0,200}", re.ASCII)


class Fields:
    """The JSON members of an archive; ``where`` begins every refusal."""

    def __init__(self, where: str, members: Mapping[str, bytes]) -> None:
        self.where = where
        self.given = members

    def refuse(self, what: str, hint: str = "--trust-model, if you know who made the file") -> NoReturn:
        """Refuse the file (E131)."""
        raise ModelError("E131", f"{self.where}: {what}", hint)

    def json(self, member: str) -> Json:
        """Parse a member."""
        data = self.given.get(member)
        if data is None or len(data) > MAX_JSON:
            self.refuse(f"no {member}" if data is None else f"{member}: more than {MAX_JSON} bytes")
        if data.count(b"[") + data.count(b"{") > MAX_PARTS:
            self.refuse(f"{member}: more than {MAX_PARTS} lists and mappings")
        try:
            return json.loads(data)
        except (ValueError, RecursionError) as problem:
            self.refuse(f"{member}: not JSON ({type(problem).__name__})")

    def get(self, data: Json, key: str, kind: type) -> Json:
        """Return a field that must be there and of this type."""
        value = data.get(key) if isinstance(data, dict) else None
        if type(value) is not kind:
            self.refuse(f"'{key}' is missing or not {kind.__name__}")
        return value

    def one(self, data: Json) -> tuple[str, Json]:
        """Return tag and value of a union."""
        if not isinstance(data, dict) or len(data) != 1:
            self.refuse(f"one alternative expected, got {str(data)[:40]!r}")
        return next(iter(data.items()))

    def name(self, value: Json) -> str:
        """Return a name that torch writes into the code that it compiles."""
        if not isinstance(value, str) or not _NAME.fullmatch(value) or keyword.iskeyword(value):
            self.refuse(f"the name {str(value)[:40]!r} is not an identifier")
        return value

    def parameter(self, value: Json) -> str:
        """Return the dotted name of a parameter."""
        if not isinstance(value, str) or not _PARAMETER.fullmatch(value):
            self.refuse(f"the parameter name {str(value)[:40]!r}")
        return value

    def integer(self, value: Json) -> int:
        """Return an integer of 64 bits."""
        if type(value) is not int or not -(2**63) <= value < 2**63:
            self.refuse(f"an integer expected, got {str(value)[:40]!r}")
        return value

    def float(self, value: Json) -> Json:
        """Return a number; torch writes an infinite one as text."""
        try:
            usable = value in ("Infinity", "-Infinity") or (type(value) in (int, float) and math.isfinite(value))
        except OverflowError:
            usable = False  # of hundreds of digits, which not even text could show
        if not usable:
            self.refuse(f"a number expected, got {type(value).__name__}")
        return value

    def text(self, value: Json) -> str:
        """Return an option of an operator, such as a rounding mode."""
        if not isinstance(value, str) or not _TEXT.fullmatch(value):
            self.refuse(f"the text {str(value)[:40]!r}")
        return value
