"""Runs that came from elsewhere, runs in the bin, and indexes for long lists of runs.

Revision 0003, before it 0002.
"""

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

STATEMENTS = (
    "ALTER TABLE run ADD COLUMN origin JSON",
    "ALTER TABLE run ADD COLUMN deleted_at TEXT",
    "ALTER TABLE run ADD COLUMN deleted_by VARCHAR",
    "CREATE INDEX ix_run_deleted_at ON run (deleted_at)",
    "CREATE INDEX ix_run_deleted_at_name ON run (deleted_at, name)",
    "CREATE INDEX ix_run_deleted_at_model ON run (deleted_at, model)",
    "CREATE INDEX ix_run_deleted_at_author ON run (deleted_at, author)",
    "CREATE INDEX ix_run_deleted_at_state ON run (deleted_at, state)",
    "CREATE INDEX ix_run_deleted_at_finished_at ON run (deleted_at, finished_at)",
)


def upgrade() -> None:
    """Add the columns and the indexes."""
    for statement in STATEMENTS:
        op.execute(statement)
