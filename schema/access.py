"""Rules of who may do what, apart from what they see."""

from db.queries.organizations import national_bodies
from db.queries.viewers import Viewer
from schema.context import Context, Info
from schema.errors import ForbiddenError, MemberInactiveError, UnauthenticatedError


async def require_viewer(context: Context) -> Viewer:
    """Returns the viewer of the operation. Raises UnauthenticatedError or MemberInactiveError."""
    return require_active(await context.viewer())


def require_active(viewer: Viewer | None) -> Viewer:
    """Raises UnauthenticatedError or MemberInactiveError."""
    if viewer is None:
        raise UnauthenticatedError
    if not viewer.is_active:
        raise MemberInactiveError
    return viewer


async def require_log_reader(info: Info) -> Viewer:
    """Admits administrators and operators. Raises ForbiddenError."""
    viewer = await require_viewer(info.context)
    if not (viewer.is_operator or viewer.sight.administered):
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
    viewer = await require_viewer(info.context)
    if not await is_national(info.context, viewer):
        raise ForbiddenError("The role catalogue is for administrators of the national body.")
    return viewer


async def is_national(context: Context, viewer: Viewer) -> bool:
    """Returns True for operators and administrators of the national body."""
    if viewer.is_operator:
        return True
    async with context.database.read() as session:
        bodies = await national_bodies(session)
    return not bodies.isdisjoint(viewer.sight.administered)


async def check_may_introspect(context: Context) -> None:
    """Admits operators and administrators of any chapter.

    Raises UnauthenticatedError, MemberInactiveError or ForbiddenError.
    """
    viewer = await require_viewer(context)
    if not (viewer.is_operator or viewer.sight.administered):
        raise ForbiddenError("Introspection is for administrators and operators.")
