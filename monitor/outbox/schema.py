"""The tables, as the queries see them. Migrations write them; a test holds both equal."""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

VERSION_TABLE: Final = "attendant_schema"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
_Number = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only when the column is exactly INTEGER."""

alerts = Table(
    "alerts",
    metadata,
    Column("id", String(36), primary_key=True),
    Column("device", Text, nullable=False),
    Column("device_type", Text, nullable=False),
    Column("kind", String(32), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("status", String(16), nullable=False),
    Column("started_ms", BigInteger, nullable=False),
    Column("number", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Column("changed_ms", BigInteger, nullable=False),
    Column("ack_by", Text),
    Column("ack_ms", BigInteger),
    Column("ack_note", Text),
    Index(None, "started_ms", "id"),
    Index(None, "device", "started_ms"),
    Index(None, "status", "started_ms"),
)

events = Table(
    "events",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("alert_id", String(36), ForeignKey("alerts.id", ondelete="CASCADE"), nullable=False),
    Column("origin", String(16), nullable=False),
    Column("number", Integer, nullable=False),
    Column("type", String(64), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
    UniqueConstraint("alert_id", "origin", "number"),
)

explanations = Table(
    "explanations",
    metadata,
    Column("alert_id", String(36), ForeignKey("alerts.id", ondelete="CASCADE"), primary_key=True),
    Column("at_ms", BigInteger, nullable=False),
    Column("body", LargeBinary, nullable=False),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("event_id", String(64), ForeignKey("events.id", ondelete="CASCADE"), nullable=False),
    Column("alert_id", String(36), nullable=False),
    Column("target", String(64), nullable=False),
    Column("state", String(16), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("queued_ms", BigInteger, nullable=False),
    Column("due_ms", BigInteger, nullable=False),
    Column("tries", Integer, nullable=False),
    Column("lease", String(36)),
    Column("lease_until_ms", BigInteger),
    Column("settled_ms", BigInteger),
    Column("outcome", String(32)),
    UniqueConstraint("event_id", "target"),
    Index(None, "state", "target", "due_ms"),
    Index(None, "alert_id", "target", "id"),
    sqlite_autoincrement=True,
)

attempts = Table(
    "attempts",
    metadata,
    Column("id", _Number, primary_key=True, autoincrement=True),
    Column("delivery_id", _Number, ForeignKey("deliveries.id", ondelete="CASCADE"), nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("outcome", String(32), nullable=False),
    Column("status_code", Integer),
    Column("detail", Text, nullable=False),
    Column("duration_ms", BigInteger, nullable=False),
    Column("next_try_ms", BigInteger),
    Index(None, "delivery_id"),
    sqlite_autoincrement=True,
)

targets = Table(
    "targets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("disabled_ms", BigInteger),
    Column("disabled_why", Text),
)

checkpoints = Table(
    "checkpoints",
    metadata,
    Column("topic", String(249), primary_key=True),
    Column("partition", Integer, primary_key=True, autoincrement=False),
    Column("epoch", BigInteger, nullable=False),
    Column("next_offset", BigInteger),
    Column("state", LargeBinary),
    Column("saved_ms", BigInteger),
)

maintenance = Table(
    "maintenance",
    metadata,
    Column("seq", _Number, primary_key=True, autoincrement=True),
    Column("id", String(36), nullable=False),
    Column("device", Text, nullable=False),
    Column("who", Text, nullable=False),
    Column("at_ms", BigInteger, nullable=False),
    Column("effective_ms", BigInteger, nullable=False),
    Column("note", Text, nullable=False),
    Column("rebaseline", Boolean, nullable=False),
    Column("recorded_ms", BigInteger, nullable=False),
    Column("applied_at_ms", BigInteger),
    UniqueConstraint("id"),
    Index(None, "applied_at_ms", "seq"),
    Index(None, "device", "seq"),
    sqlite_autoincrement=True,
)
