"""What a job made, so that a program finds it by the job's id.

Revision 0009, before it 0008.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column."""
    op.execute("ALTER TABLE job ADD COLUMN result JSON")
