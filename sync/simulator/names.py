"""What simulated people are called and how they are reached. Nobody real: example.no only."""

import unicodedata
from random import Random

GIVEN_NAMES = (
    *("Kari", "Ola", "Ingrid", "Bjørn", "Åse", "Jørgen", "Solveig", "Håkon", "Randi", "Terje"),
    *("Astrid", "Øystein", "Liv", "Pål", "Gunn", "Kåre", "Marit", "Torbjørn", "Sigrid", "Asbjørn"),
    *(
        "Grete",
        "Magne",
        "Ragnhild",
        "Sølvi",
        "Eirik",
        "Børge",
        "Turid",
        "Øyvind",
        "Hanne",
        "Tormod",
    ),
    *("Máret", "Niillas", "Fatima", "Yusuf", "Minh", "Agnieszka", "Anne-Lise", "Jan Erik"),
)
FAMILY_NAMES = (
    *("Nordmann", "Hansen", "Sæther", "Bø", "Ødegård", "Haugen", "Lund", "Ås", "Bakke", "Sørensen"),
    *("Myhre", "Strøm", "Håland", "Kvåle", "Nygård", "Brække", "Solberg", "Fjære", "Tangen", "Vik"),
    *("Aasen", "Løken", "Hætta", "Somby", "Næss", "Grønli", "Dahl", "Moen", "Skår", "Østby"),
    *("Ali", "Nguyen", "Kowalska", "Hagen Lie"),
)

_NORWEGIAN = str.maketrans({"æ": "ae", "ø": "o", "å": "a", " ": ".", "-": "."})


def ascii_name(name: str) -> str:
    """The name as Norwegians spell it in an address: lower case, ø as o, å as a, æ as ae."""
    plain = unicodedata.normalize("NFC", name).lower().translate(_NORWEGIAN)
    return unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode("ascii")


def email_address(given_name: str, family_name: str, number: int) -> str:
    """Unique as long as `number` is: namesakes are common in a large association."""
    return f"{ascii_name(given_name)}.{ascii_name(family_name)}{number}@example.no"


def phone_number(chance: Random) -> str:
    """A number in the form of a Norwegian mobile phone."""
    return f"+47{chance.choice('49')}{chance.randrange(10_000_000):07d}"
