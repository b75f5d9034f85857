"""What stands behind the picture of an alert, one row an alert."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision: str | None = "0001"
branch_labels: tuple[str, ...] | None = None
depends_on: tuple[str, ...] | None = None


def upgrade() -> None:
    """Alerts that are there already have no explanation."""
    op.create_table(
        "explanations",
        sa.Column("alert_id", sa.String(36), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("alert_id", name="pk_explanations"),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alerts.id"], name="fk_explanations_alert_id", ondelete="CASCADE"
        ),
    )


def downgrade() -> None:
    """Pictures are lost, alerts stay."""
    op.drop_table("explanations")
