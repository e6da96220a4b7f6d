"""Lines that jobs leave behind.

Revision 0002, before it 0001.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the table of log lines."""
    op.execute(
        """
        CREATE TABLE log (
            number INTEGER NOT NULL,
            job_id VARCHAR NOT NULL,
            at TEXT NOT NULL,
            level VARCHAR NOT NULL,
            message VARCHAR NOT NULL,
            CONSTRAINT pk_log PRIMARY KEY (number),
            CONSTRAINT fk_log_job_id_job FOREIGN KEY(job_id) REFERENCES job (id) ON DELETE CASCADE
        )
        """
    )
    op.execute("CREATE INDEX ix_log_job_id ON log (job_id)")
