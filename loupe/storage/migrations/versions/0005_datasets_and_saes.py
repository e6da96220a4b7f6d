"""Datasets, their tokenisations, and sparse autoencoders.

Revision 0005, before it 0004.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE dataset (
        number INTEGER NOT NULL,
        id VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        author VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        documents INTEGER NOT NULL,
        characters INTEGER NOT NULL,
        fingerprint VARCHAR NOT NULL,
        details JSON NOT NULL,
        statistics JSON,
        artefact_id VARCHAR,
        created_at TEXT NOT NULL,
        deleted_at TEXT,
        CONSTRAINT pk_dataset PRIMARY KEY (number),
        CONSTRAINT uq_dataset_id UNIQUE (id),
        CONSTRAINT fk_dataset_artefact_id_artefact FOREIGN KEY(artefact_id) REFERENCES artefact (id)
    )
    """,
    "CREATE INDEX ix_dataset_artefact_id ON dataset (artefact_id)",
    "CREATE INDEX ix_dataset_fingerprint ON dataset (fingerprint)",
    "CREATE INDEX ix_dataset_source ON dataset (source)",
    """
    CREATE TABLE tokenisation (
        number INTEGER NOT NULL,
        id VARCHAR NOT NULL,
        dataset_id VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        author VARCHAR NOT NULL,
        model VARCHAR NOT NULL,
        tokenizer_fingerprint VARCHAR NOT NULL,
        options JSON NOT NULL,
        rows INTEGER NOT NULL,
        tokens INTEGER NOT NULL,
        fingerprint VARCHAR NOT NULL,
        statistics JSON NOT NULL,
        artefact_id VARCHAR NOT NULL,
        created_at TEXT NOT NULL,
        CONSTRAINT pk_tokenisation PRIMARY KEY (number),
        CONSTRAINT uq_tokenisation_id UNIQUE (id),
        CONSTRAINT fk_tokenisation_dataset_id_dataset FOREIGN KEY(dataset_id) REFERENCES dataset (id) ON DELETE CASCADE,
        CONSTRAINT fk_tokenisation_artefact_id_artefact FOREIGN KEY(artefact_id) REFERENCES artefact (id)
    )
    """,
    "CREATE INDEX ix_tokenisation_artefact_id ON tokenisation (artefact_id)",
    "CREATE INDEX ix_tokenisation_dataset_id ON tokenisation (dataset_id)",
    "CREATE INDEX ix_tokenisation_tokenizer_fingerprint ON tokenisation (tokenizer_fingerprint)",
    """
    CREATE TABLE sae (
        number INTEGER NOT NULL,
        id VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        author VARCHAR NOT NULL,
        architecture VARCHAR NOT NULL,
        hook_points JSON NOT NULL,
        hook_point_out VARCHAR,
        model VARCHAR NOT NULL,
        model_fingerprint VARCHAR NOT NULL,
        d_in INTEGER NOT NULL,
        d_sae INTEGER NOT NULL,
        k INTEGER,
        source VARCHAR NOT NULL,
        source_format VARCHAR NOT NULL,
        assumptions JSON NOT NULL,
        card JSON,
        details JSON NOT NULL,
        size INTEGER NOT NULL,
        path VARCHAR NOT NULL,
        artefact_id VARCHAR,
        job_id VARCHAR,
        tokenisation_id VARCHAR,
        step INTEGER,
        created_at TEXT NOT NULL,
        deleted_at TEXT,
        CONSTRAINT pk_sae PRIMARY KEY (number),
        CONSTRAINT uq_sae_id UNIQUE (id),
        CONSTRAINT fk_sae_artefact_id_artefact FOREIGN KEY(artefact_id) REFERENCES artefact (id),
        CONSTRAINT fk_sae_job_id_job FOREIGN KEY(job_id) REFERENCES job (id) ON DELETE SET NULL,
        CONSTRAINT fk_sae_tokenisation_id_tokenisation
            FOREIGN KEY(tokenisation_id) REFERENCES tokenisation (id) ON DELETE SET NULL
    )
    """,
    "CREATE INDEX ix_sae_architecture ON sae (architecture)",
    "CREATE INDEX ix_sae_artefact_id ON sae (artefact_id)",
    "CREATE INDEX ix_sae_job_id ON sae (job_id)",
    "CREATE INDEX ix_sae_model_fingerprint ON sae (model_fingerprint)",
    "CREATE INDEX ix_sae_tokenisation_id ON sae (tokenisation_id)",
)


def upgrade() -> None:
    """Create the tables and their indexes."""
    for statement in TABLES:
        op.execute(statement)
