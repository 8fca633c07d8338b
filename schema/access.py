"""Who may do what, where seeing is not the question: one small rule each."""

from db.queries.viewers import Viewer
from schema.context import Context, Info
from schema.errors import ForbiddenError, UnauthenticatedError


async def require_log_reader(info: Info) -> Viewer:
    """Administrators, and operators. Raises ForbiddenError."""
    viewer = await info.context.require_viewer()
    if not (viewer.is_operator or viewer.sight.administered):
        raise ForbiddenError("The sync log is for administrators.")
    return viewer


async def require_operator(info: Info) -> Viewer:
    """Administrators are among those whom the audit trail is about. Raises ForbiddenError."""
    viewer = await info.context.require_viewer()
    if not viewer.is_operator:
        raise ForbiddenError("The audit trail is for operators.")
    return viewer


async def require_catalogue_keeper(info: Info) -> Viewer:
    """The role catalogue holds for the whole association, so it takes an administrator of the
    national body, or an operator: an administrator of one chapter could otherwise give a role
    access to all others. Raises ForbiddenError."""
    viewer = await info.context.require_viewer()
    if not await info.context.is_national(viewer):
        raise ForbiddenError("The role catalogue is for administrators of the national body.")
    return viewer


async def check_may_introspect(context: Context) -> None:
    """Operators and administrators, of whatever chapter: those who look after the service.

    Raises UnauthenticatedError, MemberInactiveError or ForbiddenError.
    """
    viewer = await context.viewer()
    if viewer is None:
        raise UnauthenticatedError
    if not (viewer.is_operator or viewer.sight.administered):
        raise ForbiddenError("The schema can be asked for by administrators and operators only.")
