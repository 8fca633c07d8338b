"""The table from event type to handler."""

from collections.abc import Callable, Mapping

from sync import handlers
from sync.draft import Draft
from sync.events import Event, EventType

Handler = Callable[[Event, Draft], None]

HANDLERS: Mapping[EventType, Handler] = {
    EventType.MEMBERSHIP_CREATED: handlers.membership_created,
    EventType.MEMBERSHIP_UPDATED: handlers.membership_updated,
    EventType.ROLE_UPDATED: handlers.role_updated,
    EventType.MEMBERSHIP_DEACTIVATED: handlers.membership_deactivated,
    EventType.MEMBERSHIP_REACTIVATED: handlers.membership_reactivated,
}
