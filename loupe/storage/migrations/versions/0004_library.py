"""What people put into the library: pairs, groups, certificates, choices.

Revision 0004, before it 0003.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of library entries."""
    op.execute(
        """
        CREATE TABLE library (
            number INTEGER NOT NULL,
            kind VARCHAR NOT NULL,
            id VARCHAR NOT NULL,
            name VARCHAR NOT NULL,
            body JSON NOT NULL,
            author VARCHAR NOT NULL,
            created_at TEXT NOT NULL,
            changed_at TEXT NOT NULL,
            deleted_at TEXT,
            CONSTRAINT pk_library PRIMARY KEY (number),
            CONSTRAINT uq_library_kind_id UNIQUE (kind, id)
        )
        """
    )
