"""Rules of who may do what, apart from what they see."""

from collections.abc import Iterable
from dataclasses import dataclass

from graphql import GraphQLError

from db.queries.members.viewers import Viewer
from schema.context import Context, Info
from schema.engine.field_use import Client
from schema.engine.masking import masked
from schema.engine.stored.trusted_documents import Allowed
from schema.errors import ForbiddenError, UnauthenticatedError


async def require_viewer(context: Context) -> Viewer:
    """Returns the viewer of the operation. Raises UnauthenticatedError or MemberInactiveError."""
    return required(await context.viewer())


def required(viewer: Viewer | None) -> Viewer:
    """Raises UnauthenticatedError when anonymous."""
    if viewer is None:
        raise UnauthenticatedError
    return viewer


async def require_log_reader(info: Info) -> Viewer:
    """Admits administrators and operators. Raises ForbiddenError."""
    viewer = await require_viewer(info.context)
    if not viewer.sight.sees_log:
        raise ForbiddenError("The sync log is for administrators.")
    return viewer


async def require_operator(info: Info) -> Viewer:
    """Admits operators, not administrators: their own actions are in the audit trail.

    Raises ForbiddenError.
    """
    viewer = await require_viewer(info.context)
    if not viewer.is_operator:
        raise ForbiddenError("The audit trail is for operators.")
    return viewer


async def require_catalogue_keeper(info: Info) -> Viewer:
    """Admits operators and administrators of the national body. Raises ForbiddenError.

    The role catalogue holds for the whole association: an administrator of one chapter who could
    change it could give a role access to all other chapters.
    """
    return await _require_national(
        info, "The role catalogue is for administrators of the national body."
    )


async def require_corrector(info: Info) -> Viewer:
    """Admits operators and administrators of the national body: a correction is the association's
    word against the portal's. Raises ForbiddenError."""
    return await _require_national(info, "Corrections are for administrators of the national body.")


async def require_reconciler(info: Info) -> Viewer:
    """Admits operators and administrators of the national body: a source tells of members of every
    chapter. Raises ForbiddenError."""
    return await _require_national(info, "Sources are for administrators of the national body.")


async def require_concern_keeper(info: Info) -> Viewer:
    """Admits operators and administrators of the national body: a concern that is taken on is told
    to nobody else. Raises ForbiddenError."""
    return await _require_national(
        info, "Concerns are taken on by administrators of the national body."
    )


async def require_forgetter(info: Info) -> Viewer:
    """Admits operators and administrators of the national body: it cannot be undone. Raises
    ForbiddenError."""
    return await _require_national(
        info, "Persons are forgotten by administrators of the national body."
    )


async def _require_national(info: Info, otherwise: str) -> Viewer:
    """Raises ForbiddenError with the text for anybody else."""
    viewer = await require_viewer(info.context)
    if not viewer.is_national:
        raise ForbiddenError(otherwise)
    return viewer


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """Decides what a viewer may ask the engine for.

    `guarded`: only administrators of any chapter and operators may ask for the schema.
    """

    guarded: bool = False
    allowed: Allowed = Allowed.ANY

    def client(self, context: Context) -> Client:
        return context.client

    def requires_trusted_document(self, context: Context) -> bool:
        if self.allowed is Allowed.TRUSTED_EXCEPT_OPERATORS:
            return context.credentials is None or not context.credentials.operator
        return self.allowed is Allowed.TRUSTED

    async def check_introspection(self, context: Context) -> None:
        """Raises UnauthenticatedError, MemberInactiveError or ForbiddenError."""
        if self.guarded:
            viewer = await require_viewer(context)
            if not viewer.sight.sees_log:
                raise ForbiddenError("Introspection is for administrators and operators.")

    def masked(self, errors: Iterable[GraphQLError], context: Context) -> list[GraphQLError]:
        return masked(errors, context.request_id)
