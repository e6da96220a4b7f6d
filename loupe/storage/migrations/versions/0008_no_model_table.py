"""The table of model folders goes: folders are known by their files, and nothing ever wrote to it.

Revision 0008, before it 0007.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Drop the table."""
    op.execute("DROP TABLE model")
