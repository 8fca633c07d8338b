"""docs/operate/data-protection.md shows the data map as it is."""

from tests.docs.data_map_table import BEGIN, END, PAGE, written


def test_the_page_shows_every_column_that_tells_of_a_person() -> None:
    """After a change: `python -m tests.docs.data_map_table`."""
    page = PAGE.read_text(encoding="utf-8")

    assert page.split(BEGIN)[1].split(END)[0].strip() == written().strip()
