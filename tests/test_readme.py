"""What the README says of the repository is there."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_links_lead_somewhere() -> None:
    links = re.findall(r"\]\(([^)#]+)", README)
    assert links
    assert [link for link in links if "://" not in link and not (ROOT / link).exists()] == []


def test_no_place_is_left_open() -> None:
    assert re.findall(r"@[A-Z]+@|TODO|TBD", README) == []


def test_commands_of_make_exist() -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M)
    commands = re.findall(r"(?:`|^    )make ([a-z]+)", README, re.M)
    assert commands
    assert set(commands) <= set(targets)
