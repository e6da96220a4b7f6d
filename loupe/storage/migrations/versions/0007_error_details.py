"""What is known of a job's error beside its code and message.

Revision 0007, before it 0006.
"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE job ADD COLUMN error_more JSON")
