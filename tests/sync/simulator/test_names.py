"""Norwegian names become addresses that any mail system takes."""

import pytest

from sync.simulator.names import FAMILY_NAMES, GIVEN_NAMES, ascii_name, email_address


@pytest.mark.parametrize(
    ("name", "spelled"),
    [
        ("Bjørn", "bjorn"),
        ("Åse", "ase"),
        ("Sæther", "saether"),
        ("Máret", "maret"),
        ("Anne-Lise", "anne.lise"),
        ("Jan Erik", "jan.erik"),
        ("A\u030ase", "ase"),
    ],
)
def test_name_is_spelled_in_ascii(name: str, spelled: str) -> None:
    assert ascii_name(name) == spelled


def test_namesakes_get_different_addresses() -> None:
    assert email_address("Kari", "Bø", 1) == "kari.bo1@example.no"
    assert email_address("Kari", "Bø", 2) != email_address("Kari", "Bø", 1)


def test_there_are_hundreds_of_different_full_names() -> None:
    assert len(set(GIVEN_NAMES)) * len(set(FAMILY_NAMES)) > 500
