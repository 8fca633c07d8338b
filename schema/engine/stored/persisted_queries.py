"""Remembers queries by their SHA-256, so that Apollo's and urql's clients send each text once.

An optimisation: a client whose hash is unknown sends the text again.
"""

from collections import OrderedDict

from schema.engine.stored.trusted_documents import document_id

MOST_CHARACTERS = 1_000_000


class PersistedQueries:
    """The latest queries that clients sent with their hashes, bounded by their characters."""

    def __init__(self, characters: int = MOST_CHARACTERS) -> None:
        self._most_characters = characters
        self._texts: OrderedDict[str, str] = OrderedDict()
        self._characters = 0

    def text(self, digest: str) -> str | None:
        """Returns the query of this hash, which is written in small hexadecimal digits."""
        text = self._texts.get(digest)
        if text is not None:
            self._texts.move_to_end(digest)
        return text

    def keep(self, text: str) -> None:
        digest = document_id(text)
        if digest in self._texts:
            self._texts.move_to_end(digest)
            return
        self._texts[digest] = text
        self._characters += len(text)
        while self._characters > self._most_characters:
            _, oldest = self._texts.popitem(last=False)
            self._characters -= len(oldest)
