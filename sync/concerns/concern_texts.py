"""The texts of concerns, with what to do about each, in Norwegian and English."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ConcernText:
    """`norwegian` and `english` say what is the matter; the others what to do."""

    norwegian: str
    english: str
    norwegian_advice: str
    english_advice: str


TEXTS = {
    "SILENCE": ConcernText(
        "Medlemsportalen har ikke meldt noe på lenge",
        "The portal has told nothing for a long time",
        "Sjekk om portalen sender, og om den får svar.",
        "Look whether the portal sends, and what it is answered.",
    ),
    "NEVER_RECEIVED": ConcernText(
        "En avsender har aldri meldt noe",
        "A source has never told anything",
        "Sjekk adressen og nøkkelen hos avsenderen.",
        "Check the address and the secret at the sender.",
    ),
    "REFUSALS": ConcernText(
        "Meldinger blir avvist fordi signaturen eller nøkkelen er feil",
        "Messages are refused, since their signature or key is wrong",
        "Sammenlign hemmeligheten med avsenderens, og sjekk klokken der.",
        "Compare the secret with the sender's, and look at its clock.",
    ),
    "REJECTIONS": ConcernText(
        "Meldinger kan ikke leses",
        "Messages cannot be read",
        "Se i loggen hva som er galt, rett det i portalen og kjør meldingene på nytt.",
        "See in the log what is wrong, correct it in the portal, and replay them.",
    ),
    "REFUSED_DEACTIVATION": ConcernText(
        "En utmelding kunne ikke leses; personen har fortsatt tilgang",
        "A deactivation could not be read; the person still has access",
        "Finn personen i loggen, og rett tilstanden for hånd.",
        "Find the person in the log, and correct the state by hand.",
    ),
    "UNKNOWN_TYPES": ConcernText(
        "Det kommer meldinger av en ukjent type",
        "Messages of an unknown type arrive",
        "Avklar med portalen hva de betyr.",
        "Find out with the portal what they mean.",
    ),
    "WAITING": ConcernText(
        "Hendelser venter på å bli utført",
        "Events wait to be applied",
        "Se i loggen hvorfor. De blir prøvd på nytt av seg selv.",
        "See in the log why. They are tried again by themselves.",
    ),
    "DEAD": ConcernText(
        "Hendelser kunne ikke utføres og blir ikke prøvd igjen",
        "Events could not be applied and are no longer tried",
        "Rett årsaken, og kjør dem på nytt.",
        "Mend the cause, and replay them.",
    ),
    "OVERTAKEN": ConcernText(
        "Hendelser kommer i feil rekkefølge",
        "Events arrive later than newer ones",
        "Sjekk klokken og køen hos avsenderen.",
        "Look at the clock and the queue of the sender.",
    ),
    "MASS_DEACTIVATION": ConcernText(
        "Uvanlig mange er meldt ut på kort tid",
        "Unusually many were deactivated within an hour",
        "Spør portalen om det er riktig.",
        "Ask the portal whether that is right.",
    ),
    "UNDECIDED_ROLES": ConcernText(
        "Nye verv mangler tilgangsnivå",
        "New roles have no access level yet",
        "Bestem hva vervene gir tilgang til.",
        "Decide what the roles give access to.",
    ),
    "HOMELESS": ConcernText(
        "Medlemmer eller lag hører ikke til noe sted",
        "Members or chapters belong to nobody",
        "Rett laget i portalen.",
        "Correct the chapter in the portal.",
    ),
    "CYCLE": ConcernText(
        "Lag er registrert under hverandre i ring",
        "Chapters are below each other in a circle",
        "Rett overordnet lag i portalen.",
        "Correct the parent in the portal.",
    ),
    "SECOND_ROOT": ConcernText(
        "Det finnes et lag utenfor HLF nasjonalt",
        "There is a chapter outside the national body",
        "Rett overordnet lag i portalen.",
        "Correct the parent in the portal.",
    ),
    "DRIFT": ConcernText(
        "Medlemmene her og i portalen er forskjellige",
        "Members differ from those in the portal",
        "Se på sammenligningen hva som skiller.",
        "See in the reconciliation what differs.",
    ),
    "HELD": ConcernText(
        "Utmeldinger er holdt tilbake fordi det er uvanlig mange",
        "Removals are held back, since there are unusually many",
        "Se på dem, og frigi eller forkast dem.",
        "Look at them, and release or discard them.",
    ),
    "MISSED_WEBHOOKS": ConcernText(
        "Meldinger fra portalen har ikke kommet fram",
        "Messages of the portal have not arrived",
        "Sjekk registreringen og feilede jobber i portalen.",
        "Look at the registration and at failed jobs in the portal.",
    ),
    "STORAGE": ConcernText(
        "Databasen eller disken er snart full",
        "The database or the disk is almost full",
        "Rydd plass, eller gi den mer.",
        "Make room, or give it more.",
    ),
    "SHARED_MEMBER_NUMBER": ConcernText(
        "Flere aktive medlemmer har samme medlemsnummer",
        "Several active members have one member number",
        "Finn ut om det er samme person, og slå sammen eller rett i portalen.",
        "Find out whether they are one person, and merge or correct them in the portal.",
    ),
}


def text_of(kind: str) -> ConcernText:
    """Returns the texts of a kind; of one without any, its name."""
    name = kind.replace("_", " ").lower()
    known = TEXTS.get(kind)
    look = "Se siden Driftsstatus.", "See the page Driftsstatus."
    return known or ConcernText(f"Noe krever oppmerksomhet: {name}", f"Look at: {name}", *look)
