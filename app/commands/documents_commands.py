"""The commands `documents add` and `documents list`, for trusted GraphQL documents."""

from pathlib import Path
from typing import Annotated

import typer

from app.document_folder import SUFFIXES, load_trusted_documents, texts_of
from app.settings import SettingsError, load_settings
from schema.build import build_schema

documents = typer.Typer(
    help="Manage trusted documents: GraphQL documents that clients send by their id.",
    rich_markup_mode=None,
    add_completion=False,
)


def _texts_to_add(file: Path) -> dict[str, str]:
    """Reads the documents of a file. Raises SettingsError if it is not a kind the folder takes."""
    if file.suffix not in SUFFIXES:
        raise SettingsError(f"{file}: only manifests (.json) and .graphql files can be added.")
    return texts_of(file)


@documents.command()
def add(
    files: Annotated[
        list[Path],
        typer.Argument(help="Manifests (.json) of Relay, GraphQL Codegen or Apollo, or .graphql."),
    ],
) -> None:
    """Add documents to the folder, after checking that the schema can execute them."""
    folder = _folder()
    schema_documents = build_schema().documents
    by_file = {file: _texts_to_add(file) for file in files}
    refused = [
        f"{file}: {id}: {error.message}"
        for file, found in by_file.items()
        for id, text in found.items()
        for error in schema_documents.read(text, trusted=True).errors
    ]
    if refused:
        raise SettingsError("\n".join(refused))
    texts = {id: text for found in by_file.values() for id, text in found.items()}
    folder.mkdir(parents=True, exist_ok=True)
    added = [id for id in texts if not (folder / f"{id}.graphql").exists()]
    for id in added:
        (folder / f"{id}.graphql").write_bytes(texts[id].encode("utf-8"))
    typer.echo(f"Added {len(added)} of {len(texts)} documents. Restart the service to use them.")


@documents.command("list")
def list_documents() -> None:
    """List the trusted documents, and what is wrong with those that cannot be executed."""
    trusted = load_trusted_documents(_folder())
    schema_documents = build_schema().documents
    for id, text in trusted.texts.items():
        document = schema_documents.read(text, trusted=True)
        names = ", ".join(operation.name or "(no name)" for operation in document.operations)
        trouble = "; ".join(error.message for error in document.errors)
        typer.echo(f"{id}  {trouble or names}")


def _folder() -> Path:
    folder = load_settings().documents_folder
    if folder is None:
        raise SettingsError("Set LIKEPERSON_DOCUMENTS_FOLDER to the folder of trusted documents.")
    return folder
