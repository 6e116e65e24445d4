"""The pages under docs/ that are written from the code are up to date."""

import importlib.util
from pathlib import Path

from snnconvert.operators import READERS

GENERATOR = Path(__file__).parents[1] / "docs" / "generate.py"


def test_table_of_operators_is_what_the_code_says() -> None:
    spec = importlib.util.spec_from_file_location("generate", GENERATOR)
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    page = generate.PAGE.read_text(encoding="utf-8")
    assert page == generate.operators_page(), "run `make docs`"
    assert generate.ERRORS.read_text(encoding="utf-8") == generate.errors_page(), "run `make docs`"
    assert all(f"| {name} | " in page for name in READERS)
