"""What trainings leave: points of curves, and checkpoints.

Revision 0006, before it 0005.
"""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE point (
        number INTEGER NOT NULL,
        job_id VARCHAR NOT NULL,
        sae VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        step INTEGER NOT NULL,
        measured JSON NOT NULL,
        CONSTRAINT pk_point PRIMARY KEY (number),
        CONSTRAINT uq_point_job_id_sae_kind_step UNIQUE (job_id, sae, kind, step),
        CONSTRAINT fk_point_job_id_job FOREIGN KEY(job_id) REFERENCES job (id) ON DELETE CASCADE
    )
    """,
    "CREATE INDEX ix_point_job_id ON point (job_id)",
    """
    CREATE TABLE checkpoint (
        number INTEGER NOT NULL,
        id VARCHAR NOT NULL,
        job_id VARCHAR NOT NULL,
        step INTEGER NOT NULL,
        artefact_id VARCHAR NOT NULL,
        size INTEGER NOT NULL,
        kept BOOLEAN NOT NULL,
        created_at TEXT NOT NULL,
        CONSTRAINT pk_checkpoint PRIMARY KEY (number),
        CONSTRAINT uq_checkpoint_id UNIQUE (id),
        CONSTRAINT fk_checkpoint_job_id_job FOREIGN KEY(job_id) REFERENCES job (id) ON DELETE CASCADE,
        CONSTRAINT fk_checkpoint_artefact_id_artefact FOREIGN KEY(artefact_id) REFERENCES artefact (id)
    )
    """,
    "CREATE INDEX ix_checkpoint_artefact_id ON checkpoint (artefact_id)",
    "CREATE INDEX ix_checkpoint_job_id ON checkpoint (job_id)",
)


def upgrade() -> None:
    """Create the tables and their indexes."""
    for statement in TABLES:
        op.execute(statement)
