"""The maintenance log: who serviced which device when, and whether its lane has heard of it."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision: str | None = "0002"
branch_labels: tuple[str, ...] | None = None
depends_on: tuple[str, ...] | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """One table more."""
    op.create_table(
        "maintenance",
        sa.Column("seq", _NUMBER, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(36), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("effective_ms", sa.BigInteger(), nullable=False),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("rebaseline", sa.Boolean(), nullable=False),
        sa.Column("recorded_ms", sa.BigInteger(), nullable=False),
        sa.Column("applied_at_ms", sa.BigInteger()),
        sa.PrimaryKeyConstraint("seq", name="pk_maintenance"),
        sa.UniqueConstraint("id", name="uq_maintenance_id"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_maintenance_applied_at_ms_seq", "maintenance", ["applied_at_ms", "seq"])
    op.create_index("ix_maintenance_device_seq", "maintenance", ["device", "seq"])


def downgrade() -> None:
    """The log is lost."""
    op.drop_table("maintenance")
