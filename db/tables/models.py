"""The tables. They have no relationships, so nothing is loaded by touching an attribute."""

from datetime import datetime
from enum import StrEnum

from sqlalchemy import Enum, ForeignKey, Index, MetaData, Text, UniqueConstraint, false, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from db.driver.statements.column_types import Instant, Json, Level, RowId, SortText
from db.stamp import Stamp
from db.tables.facts import ChangeFacts, FieldChange, ToldConcern
from db.tables.profile import ProfileColumns
from db.vocabulary import (
    AccessLevel,
    ActivationState,
    AttemptTrigger,
    AuditAction,
    ConcernKind,
    DriftAction,
    EntryMark,
    ReconciliationKind,
    ReconciliationStatus,
    SyncOutcome,
    SyncStatus,
)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
}


def _names(of: type[StrEnum], length: int = 16) -> Enum:
    # Stored as text, not as a native enum of PostgreSQL: a new value then needs no migration.
    return Enum(of, native_enum=False, create_constraint=False, length=length)


class Base(DeclarativeBase):
    metadata = MetaData(naming_convention=NAMING)


class Organization(Base):
    """A chapter. `as_of` holds the stamps of `name`, `parent` and `closed`; a stub has none yet.

    `stated_parent_id` is what the portal states, `parent_id` what counts: within a cycle of stated
    parents (`in_cycle`), the newest one counts for nothing.
    """

    __tablename__ = "organizations"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    portal_id: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str | None] = mapped_column(Text)
    sort_name: Mapped[str] = mapped_column(SortText, server_default="")
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    stated_parent_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"))
    closed: Mapped[bool]
    in_cycle: Mapped[bool]
    as_of: Mapped[dict[str, Stamp]] = mapped_column(Json(dict[str, str]))


class Member(ProfileColumns, Base):
    """A person known to the portal. `as_of` holds the stamp of each part that was stated."""

    __tablename__ = "members"
    __table_args__ = (
        Index("ix_members_sort_name_id", "sort_name", "id"),
        Index("ix_members_organization_id_sort_name_id", "organization_id", "sort_name", "id"),
        Index("ix_members_number_key_id", "number_key", "id"),
        Index("ix_members_updated_at_id", "updated_at", "id"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    portal_id: Mapped[str] = mapped_column(Text, unique=True)
    sort_name: Mapped[str] = mapped_column(SortText)
    number_key: Mapped[str] = mapped_column(SortText)
    search_text: Mapped[str] = mapped_column(Text)
    state: Mapped[ActivationState] = mapped_column(_names(ActivationState))
    state_changed_at: Mapped[datetime | None] = mapped_column(Instant)
    organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"))
    updated_at: Mapped[datetime] = mapped_column(Instant)
    unlisted_roles: Mapped[str | None] = mapped_column(Text)
    as_of: Mapped[dict[str, Stamp]] = mapped_column(Json(dict[str, str]))


class MemberMerge(Base):
    """A statement of the portal that two of its ids are of one person, and which of them lives on.

    `person_id` is the member that the person is here. The stamp is that of the first statement.
    """

    __tablename__ = "member_merges"
    __table_args__ = (UniqueConstraint("merged_id", "into_id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    merged_id: Mapped[str] = mapped_column(Text)
    into_id: Mapped[str] = mapped_column(Text, index=True)
    stamp: Mapped[str] = mapped_column(Text)
    person_id: Mapped[int] = mapped_column(ForeignKey("members.id"), index=True)


class Role(Base):
    """An entry of the role catalogue: a portal role code and the access level it gives.

    `decided` is false for a code that came with an event until somebody has set its level.
    """

    __tablename__ = "roles"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    code: Mapped[str] = mapped_column(Text, unique=True)
    name: Mapped[str] = mapped_column(Text)
    access_level: Mapped[AccessLevel] = mapped_column(Level)
    decided: Mapped[bool]


class RoleAssignment(Base):
    """A role that a member holds; without an organization, in the home organization."""

    __tablename__ = "role_assignments"
    __table_args__ = (
        UniqueConstraint(
            "member_id", "role_id", "organization_id", postgresql_nulls_not_distinct=True
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    member_id: Mapped[int] = mapped_column(ForeignKey("members.id"))
    role_id: Mapped[int] = mapped_column(ForeignKey("roles.id"), index=True)
    organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"), index=True)
    since: Mapped[datetime] = mapped_column(Instant)


_IS_DUE = text("next_attempt_at IS NOT NULL")
# The statuses that somebody has to look after. They are rare, so the planner would not use an
# index over the whole column but read the log from its end to find them.
_IS_MARKED = text("mark IS NOT NULL")
_HAS_BODY = text("body_removed_at IS NULL")
# Unknown types, and bursts of deactivations, are looked for among few entries.
IS_TELLING = text("outcome IN ('IGNORED', 'DEACTIVATED')")
IS_OPEN = text("status IN ('PENDING', 'FAILED', 'DEAD', 'REJECTED')")


class SyncLogEntry(Base):
    """The durable record of one event, with the raw body that brought it.

    From `body_removed_at` on, `payload` holds only what later statements are ranked by, or nothing,
    and `field_changes` holds no values.
    """

    __tablename__ = "sync_log"
    __table_args__ = (
        UniqueConstraint("source", "event_id"),
        # With the columns that health counts by, so that it does not read the rows. There is none
        # by source and time: PostgreSQL would look up deliveries by it, which takes far longer.
        Index("ix_sync_log_received_at", "received_at", "status", "processed_at"),
        Index("ix_sync_log_member_id_id", "member_id", "id"),
        Index("ix_sync_log_organization_id_id", "organization_id", "id"),
        Index(
            "ix_sync_log_open",
            "status",
            "id",
            postgresql_where=IS_OPEN,
            sqlite_where=IS_OPEN,
        ),
        Index(
            "ix_sync_log_marked",
            "mark",
            "received_at",
            postgresql_where=_IS_MARKED,
            sqlite_where=_IS_MARKED,
        ),
        Index(
            "ix_sync_log_telling",
            *("outcome", "source", "received_at", "event_type"),
            postgresql_where=IS_TELLING,
            sqlite_where=IS_TELLING,
        ),
        Index(
            "ix_sync_log_bodies",
            "received_at",
            postgresql_where=_HAS_BODY,
            sqlite_where=_HAS_BODY,
        ),
        Index(
            "ix_sync_log_due",
            "next_attempt_at",
            postgresql_where=_IS_DUE,
            sqlite_where=_IS_DUE,
        ),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    event_id: Mapped[str] = mapped_column(Text)
    event_type: Mapped[str | None] = mapped_column(Text)
    occurred_at: Mapped[datetime | None] = mapped_column(Instant)
    received_at: Mapped[datetime] = mapped_column(Instant)
    processed_at: Mapped[datetime | None] = mapped_column(Instant)
    status: Mapped[SyncStatus] = mapped_column(_names(SyncStatus))
    outcome: Mapped[SyncOutcome | None] = mapped_column(_names(SyncOutcome))
    detail: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int]
    deliveries: Mapped[int]
    next_attempt_at: Mapped[datetime | None] = mapped_column(Instant)
    member_id: Mapped[int | None] = mapped_column(ForeignKey("members.id"))
    organization_id: Mapped[int | None] = mapped_column(ForeignKey("organizations.id"))
    field_changes: Mapped[list[FieldChange]] = mapped_column(Json(list[FieldChange]))
    payload: Mapped[bytes]
    body_removed_at: Mapped[datetime | None] = mapped_column(Instant)
    mark: Mapped[EntryMark | None] = mapped_column(_names(EntryMark))


class SyncAttempt(Base):
    """One attempt to apply an event: its trigger, who asked for it, and its result.

    A first attempt that succeeded has no row, since its entry says the same.
    """

    __tablename__ = "sync_attempts"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    entry_id: Mapped[int] = mapped_column(ForeignKey("sync_log.id"), index=True)
    attempted_at: Mapped[datetime] = mapped_column(Instant)
    trigger: Mapped[AttemptTrigger] = mapped_column(_names(AttemptTrigger))
    actor: Mapped[str | None] = mapped_column(Text)
    reason: Mapped[str | None] = mapped_column(Text)
    status: Mapped[SyncStatus] = mapped_column(_names(SyncStatus))
    outcome: Mapped[SyncOutcome | None] = mapped_column(_names(SyncOutcome))
    detail: Mapped[str | None] = mapped_column(Text)


class AuditRecord(Base):
    """An action that somebody must answer for. Triggers refuse to change or delete a record.

    `entry_ids` are the log entries it was about. Records from before were cut at 1,000 of them.
    """

    __tablename__ = "audit_trail"
    __table_args__ = (Index("ix_audit_trail_recorded_at_id", "recorded_at", "id"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    recorded_at: Mapped[datetime] = mapped_column(Instant)
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[AuditAction] = mapped_column(_names(AuditAction, 32))
    entry_count: Mapped[int]
    entry_ids: Mapped[list[int]] = mapped_column(Json(list[int]))
    role_code: Mapped[str | None] = mapped_column(Text)
    detail: Mapped[str | None] = mapped_column(Text)


class FeedHead(Base):
    """One row with the position of the last change; its lock puts positions into commit order."""

    __tablename__ = "feed_head"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    feed_id: Mapped[str] = mapped_column(Text)
    position: Mapped[int] = mapped_column(RowId)


class Change(Base):
    """One committed change. It has no foreign keys, since it outlives the rows that it names."""

    __tablename__ = "changes"

    position: Mapped[int] = mapped_column(RowId, primary_key=True, autoincrement=False)
    committed_at: Mapped[datetime] = mapped_column(Instant)
    member_id: Mapped[int | None] = mapped_column(RowId)
    entry_id: Mapped[int | None] = mapped_column(RowId)
    access_changed: Mapped[bool]
    facts: Mapped[ChangeFacts] = mapped_column(Json(ChangeFacts))


class RefusedDeliveries(Base):
    """The refused deliveries of a source within an hour, counted by reason.

    `skew_seconds` is how far the sender's clock is ahead of ours, where a signature proved it.
    """

    __tablename__ = "refused_deliveries"

    source: Mapped[str] = mapped_column(Text, primary_key=True)
    reason: Mapped[str] = mapped_column(Text, primary_key=True)
    hour: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    count: Mapped[int]
    last_refused_at: Mapped[datetime] = mapped_column(Instant)
    skew_seconds: Mapped[int | None] = mapped_column(RowId)


class PortalStateRow(Base):
    """The state of reading the portal of a source. The delta links are the portal's, by table."""

    __tablename__ = "portal_states"
    __table_args__ = (UniqueConstraint("source"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    leased_until: Mapped[datetime] = mapped_column(Instant)
    full_at: Mapped[datetime | None] = mapped_column(Instant)
    delta_links: Mapped[dict[str, str]] = mapped_column(Json(dict[str, str]))


class ReconciliationRow(Base):
    """A run that compared what a source says with what is known here, and its counts of members.

    `missing` were missing there, `missed` is what a webhook should have told, and `unlisted` differ
    without drift lines that say how.
    """

    __tablename__ = "reconciliations"
    __table_args__ = (
        Index("ix_reconciliations_source_started_at", "source", "started_at"),
        Index("ix_reconciliations_started_at", "started_at"),
    )

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    kind: Mapped[ReconciliationKind] = mapped_column(_names(ReconciliationKind))
    status: Mapped[ReconciliationStatus] = mapped_column(_names(ReconciliationStatus))
    started_at: Mapped[datetime] = mapped_column(Instant)
    finished_at: Mapped[datetime | None] = mapped_column(Instant)
    compared: Mapped[int]
    created: Mapped[int]
    updated: Mapped[int]
    deactivated: Mapped[int]
    missing: Mapped[int]
    missed: Mapped[int]
    held: Mapped[int]
    unlisted: Mapped[int] = mapped_column(server_default="0")
    dry_run: Mapped[bool] = mapped_column(server_default=false())
    detail: Mapped[str | None] = mapped_column(Text)


class ReconciliationRequest(Base):
    """A comparison that a person has asked for, until it is done. `whole`: of the whole portal."""

    __tablename__ = "reconciliation_requests"
    __table_args__ = (UniqueConstraint("source"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    whole: Mapped[bool]
    dry_run: Mapped[bool]
    requested_at: Mapped[datetime] = mapped_column(Instant)


class DriftLine(Base):
    """A difference that a run found: both sides of one field of a member, and what was done."""

    __tablename__ = "drift_lines"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    reconciliation_id: Mapped[int] = mapped_column(ForeignKey("reconciliations.id"), index=True)
    portal_id: Mapped[str] = mapped_column(Text, index=True)
    field: Mapped[str] = mapped_column(Text)
    there: Mapped[str | None] = mapped_column(Text)
    here: Mapped[str | None] = mapped_column(Text)
    action: Mapped[DriftAction] = mapped_column(_names(DriftAction))


class HeldItem(Base):
    """A removal that the deletion guard holds back until a person releases or discards it.

    `there` is what the source says of the part as of `stated_at`. Of a part that was discarded,
    what is here stays until the source says something else.
    """

    __tablename__ = "held_items"
    __table_args__ = (UniqueConstraint("source", "portal_id", "part"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    source: Mapped[str] = mapped_column(Text)
    portal_id: Mapped[str] = mapped_column(Text)
    part: Mapped[str] = mapped_column(Text)
    there: Mapped[str | None] = mapped_column(Text)
    stated_at: Mapped[datetime] = mapped_column(Instant)
    held_since: Mapped[datetime] = mapped_column(Instant)
    discarded: Mapped[bool]
    reconciliation_id: Mapped[int] = mapped_column(ForeignKey("reconciliations.id"), index=True)


class OverruledStatement(Base):
    """A fingerprint of what the portal had last said of a part when it was corrected. As long as it
    says the same, the correction stands."""

    __tablename__ = "overruled_statements"
    __table_args__ = (UniqueConstraint("portal_id", "part"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    portal_id: Mapped[str] = mapped_column(Text)
    part: Mapped[str] = mapped_column(Text)
    fingerprint: Mapped[str] = mapped_column(Text)


class ForgottenPerson(Base):
    """A tombstone: it shows that an id of the portal was forgotten to those who ask for this id.

    `tombstone` is a keyed digest of the id. What was stated up to `as_of` is not known any more.
    `begun_at` is the first statement since then that began the person anew; `by_retention`: it may
    be any that says that the membership is active. `last_member_id` is not given to anybody else.
    """

    __tablename__ = "forgotten_persons"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    bucket: Mapped[int] = mapped_column(index=True)
    key: Mapped[str] = mapped_column(Text)
    tombstone: Mapped[str] = mapped_column(Text)
    as_of: Mapped[datetime] = mapped_column(Instant)
    begun_at: Mapped[datetime | None] = mapped_column(Instant)
    by_retention: Mapped[bool]
    last_member_id: Mapped[int | None] = mapped_column(RowId, index=True)
    forgotten_at: Mapped[datetime] = mapped_column(Instant)


class ConcernRow(Base):
    """A concern since it was noticed, and who has acknowledged it at which extent.

    `source` is empty where it is about no source. The row goes when the concern is over, unless
    what came before the acknowledgement must not count again.
    """

    __tablename__ = "concerns"
    __table_args__ = (UniqueConstraint("kind", "source"),)

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    kind: Mapped[ConcernKind] = mapped_column(_names(ConcernKind, 32))
    source: Mapped[str] = mapped_column(Text)
    since: Mapped[datetime] = mapped_column(Instant)
    acknowledged_at: Mapped[datetime | None] = mapped_column(Instant)
    acknowledged_by: Mapped[str | None] = mapped_column(Text)
    acknowledged_extent: Mapped[int | None]


class AlertState(Base):
    """One row: which concerns people were told of, by kind and source, and who tells them now."""

    __tablename__ = "alert_states"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    leased_until: Mapped[datetime] = mapped_column(Instant)
    told: Mapped[dict[str, ToldConcern]] = mapped_column(Json(dict[str, ToldConcern]))
    written_at: Mapped[datetime] = mapped_column(Instant)


class SchemaCompatibility(Base):
    """One row: the oldest revision of the schema whose programs can use the schema as it is."""

    __tablename__ = "schema_compatibility"

    id: Mapped[int] = mapped_column(RowId, primary_key=True)
    oldest: Mapped[str] = mapped_column(Text)
