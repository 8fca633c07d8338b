"""Names, email addresses and phone numbers of simulated people; addresses end in example.no."""

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
    """Returns the name as Norwegians write it in addresses: lower case, ø as o, å as a, æ as ae."""
    plain = unicodedata.normalize("NFC", name).lower().translate(_NORWEGIAN)
    return unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode("ascii")


def email_address(given_name: str, family_name: str, number: int) -> str:
    """Returns an address that is unique as long as `number` is, since names are not."""
    return f"{ascii_name(given_name)}.{ascii_name(family_name)}{number}@example.no"


def phone_number(chance: Random) -> str:
    """Returns a number in the form of a Norwegian mobile phone number."""
    return f"+47{chance.choice('49')}{chance.randrange(10_000_000):07d}"
