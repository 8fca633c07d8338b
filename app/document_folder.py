"""Reads the folder of trusted documents: manifests of build tools, and added `.graphql` files."""

from pathlib import Path

from app.settings import SettingsError
from schema.engine.stored.trusted_documents import (
    ManifestError,
    TrustedDocuments,
    document_id,
    read_manifest,
)

SUFFIXES = (".graphql", ".json")


def load_trusted_documents(folder: Path | None) -> TrustedDocuments:
    """Returns the trusted documents of the folder.

    Raises SettingsError for a file that cannot be read, since its clients would be refused.
    """
    texts: dict[str, str] = {}
    if folder is not None and not folder.is_dir():
        raise SettingsError(f"LIKEPERSON_DOCUMENTS_FOLDER: {folder} is not a folder.")
    for file in sorted(folder.iterdir()) if folder else ():
        texts |= texts_of(file)
    return TrustedDocuments(texts)


def texts_of(file: Path) -> dict[str, str]:
    """Returns the documents of one file by their ids. Raises SettingsError."""
    try:
        if file.suffix == ".graphql":
            text = file.read_text(encoding="utf-8")
            return {document_id(text): text}
        return read_manifest(file.read_bytes()) if file.suffix == ".json" else {}
    except (ManifestError, OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from error
