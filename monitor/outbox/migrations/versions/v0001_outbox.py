"""Alerts, events, deliveries with their attempts, targets and checkpoints."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision: str | None = None
branch_labels: tuple[str, ...] | None = None
depends_on: tuple[str, ...] | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """From nothing."""
    _alerts()
    _events()
    _deliveries()
    _attempts()
    op.create_table(
        "targets",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("disabled_ms", sa.BigInteger()),
        sa.Column("disabled_why", sa.Text()),
        sa.PrimaryKeyConstraint("name", name="pk_targets"),
    )
    op.create_table(
        "checkpoints",
        sa.Column("topic", sa.String(249), nullable=False),
        sa.Column("partition", sa.Integer(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("next_offset", sa.BigInteger()),
        sa.Column("state", sa.LargeBinary()),
        sa.Column("saved_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("topic", "partition", name="pk_checkpoints"),
    )


def downgrade() -> None:
    """To nothing; what the tables hold is lost."""
    for table in ("checkpoints", "targets", "attempts", "deliveries", "events", "alerts"):
        op.drop_table(table)


def _alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("device_type", sa.Text(), nullable=False),
        sa.Column("kind", sa.String(32), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("started_ms", sa.BigInteger(), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("changed_ms", sa.BigInteger(), nullable=False),
        sa.Column("ack_by", sa.Text()),
        sa.Column("ack_ms", sa.BigInteger()),
        sa.Column("ack_note", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
    )
    op.create_index("ix_alerts_started_ms_id", "alerts", ["started_ms", "id"])
    op.create_index("ix_alerts_device_started_ms", "alerts", ["device", "started_ms"])
    op.create_index("ix_alerts_status_started_ms", "alerts", ["status", "started_ms"])


def _events() -> None:
    op.create_table(
        "events",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("alert_id", sa.String(36), nullable=False),
        sa.Column("origin", sa.String(16), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("type", sa.String(64), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_events"),
        sa.ForeignKeyConstraint(["alert_id"], ["alerts.id"], name="fk_events_alert_id", ondelete="CASCADE"),
        sa.UniqueConstraint("alert_id", "origin", "number", name="uq_events_alert_id_origin_number"),
    )


def _deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(64), nullable=False),
        sa.Column("alert_id", sa.String(36), nullable=False),
        sa.Column("target", sa.String(64), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("queued_ms", sa.BigInteger(), nullable=False),
        sa.Column("due_ms", sa.BigInteger(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("lease", sa.String(36)),
        sa.Column("lease_until_ms", sa.BigInteger()),
        sa.Column("settled_ms", sa.BigInteger()),
        sa.Column("outcome", sa.String(32)),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.id"], name="fk_deliveries_event_id", ondelete="CASCADE"
        ),
        sa.UniqueConstraint("event_id", "target", name="uq_deliveries_event_id_target"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_deliveries_state_target_due_ms", "deliveries", ["state", "target", "due_ms"])
    op.create_index("ix_deliveries_alert_id_target_id", "deliveries", ["alert_id", "target", "id"])


def _attempts() -> None:
    op.create_table(
        "attempts",
        sa.Column("id", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("delivery_id", _NUMBER, nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.String(32), nullable=False),
        sa.Column("status_code", sa.Integer()),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("duration_ms", sa.BigInteger(), nullable=False),
        sa.Column("next_try_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id", name="pk_attempts"),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name="fk_attempts_delivery_id", ondelete="CASCADE"
        ),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_attempts_delivery_id", "attempts", ["delivery_id"])
