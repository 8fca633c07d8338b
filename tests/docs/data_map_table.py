"""The data map as the tables of docs/operate/data-protection.md.

`python -m tests.docs.data_map_table` writes it into the page.
"""

from pathlib import Path

from db.tables.data_map import DATA_MAP, DataClass, Handling

PAGE = Path(__file__).parents[2] / "docs" / "operate" / "data-protection.md"
BEGIN = "<!-- Written by `python -m tests.docs.data_map_table` from db/tables/data_map.py. -->\n"
END = "<!-- The end of what is written. -->\n"


def written() -> str:
    """Returns the tables of the columns that tell of a person, and the other tables by name."""
    of_somebody = [
        (f"`{table}.{column}`", handling)
        for table, columns in DATA_MAP.items()
        for column, handling in columns.items()
        if handling.data_class is not DataClass.OPERATIONAL
    ]
    lines = [
        "| column | class | kept | in the person's own data | when forgotten | why |",
        "|---|---|---|---|---|---|",
        *(_line(name, handling) for name, handling in of_somebody),
        "",
        "Tables that tell of nobody: " + ", ".join(f"`{name}`" for name in _of_nobody()) + ".",
    ]
    return "\n".join(lines) + "\n"


def _line(name: str, handling: Handling) -> str:
    export = "yes" if handling.export else "no"
    cells = (name, handling.data_class, handling.kept, export, handling.erasure, handling.why or "")
    return f"| {' | '.join(cells)} |"


def _of_nobody() -> list[str]:
    return [
        table
        for table, columns in DATA_MAP.items()
        if all(each.data_class is DataClass.OPERATIONAL for each in columns.values())
    ]


def rewrite() -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    PAGE.write_text(f"{before}{BEGIN}\n{written()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    rewrite()
