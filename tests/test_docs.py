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
    for place, made in (
        (generate.ERRORS, generate.errors_page()),
        (generate.NEURONS_PAGE, generate.neurons_page()),
        (generate.METHODS_PAGE, generate.methods_page()),
        (generate.CONFIGURATION, generate.configuration_page()),
    ):
        assert place.read_text(encoding="utf-8") == made, "run `make docs`"
    assert all(f"| {name} | " in page for name in READERS)
