"""The context in which a request is answered, made from the services of the process."""

from starlette.types import Scope

from app.edge.request_ids import request_id_of
from app.services import Services
from schema.context import Context
from schema.engine.field_use import UNNAMED_CLIENT, Client


def request_context(services: Services, scope: Scope, client: Client = UNNAMED_CLIENT) -> Context:
    """Returns a context without credentials."""
    return Context(
        services.database,
        services.streams,
        services.pages,
        services.clock,
        services.concerns,
        services.viewers,
        services.sources,
        request_id=request_id_of(scope),
        client=client,
    )
