"""The first schema: artefacts, runs and their search index, jobs, the result cache, models.

Revision 0001, before it nothing.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = (
    """
    CREATE TABLE artefact (
        number INTEGER NOT NULL,
        id VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        size INTEGER NOT NULL,
        manifest_sha256 VARCHAR NOT NULL,
        created_at TEXT NOT NULL,
        CONSTRAINT pk_artefact PRIMARY KEY (number),
        CONSTRAINT uq_artefact_id UNIQUE (id)
    )
    """,
    "CREATE INDEX ix_artefact_kind ON artefact (kind)",
    """
    CREATE TABLE model (
        number INTEGER NOT NULL,
        id VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        path VARCHAR NOT NULL,
        source VARCHAR NOT NULL,
        revision VARCHAR NOT NULL,
        fingerprint VARCHAR NOT NULL,
        size INTEGER NOT NULL,
        details JSON NOT NULL,
        created_at TEXT NOT NULL,
        last_used_at TEXT NOT NULL,
        CONSTRAINT pk_model PRIMARY KEY (number),
        CONSTRAINT uq_model_id UNIQUE (id)
    )
    """,
    "CREATE INDEX ix_model_fingerprint ON model (fingerprint)",
    "CREATE INDEX ix_model_kind ON model (kind)",
    """
    CREATE TABLE result (
        number INTEGER NOT NULL,
        "key" VARCHAR NOT NULL,
        artefact_id VARCHAR NOT NULL,
        created_at TEXT NOT NULL,
        last_used_at TEXT NOT NULL,
        CONSTRAINT pk_result PRIMARY KEY (number),
        CONSTRAINT uq_result_key UNIQUE ("key"),
        CONSTRAINT fk_result_artefact_id_artefact FOREIGN KEY(artefact_id) REFERENCES artefact (id)
    )
    """,
    "CREATE INDEX ix_result_artefact_id ON result (artefact_id)",
    """
    CREATE TABLE run (
        number INTEGER NOT NULL,
        id VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        author VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        text VARCHAR NOT NULL,
        model VARCHAR NOT NULL,
        layer INTEGER,
        seed INTEGER NOT NULL,
        device VARCHAR NOT NULL,
        dtype VARCHAR NOT NULL,
        token_ids JSON NOT NULL,
        request JSON NOT NULL,
        fingerprints JSON NOT NULL,
        versions JSON NOT NULL,
        summary JSON,
        error_code VARCHAR,
        error_message VARCHAR,
        artefact_id VARCHAR,
        repeat_of VARCHAR,
        created_at TEXT NOT NULL,
        started_at TEXT,
        finished_at TEXT,
        CONSTRAINT pk_run PRIMARY KEY (number),
        CONSTRAINT ck_run_state CHECK (state IN (
            'queued', 'running', 'paused', 'done', 'failed', 'cancelled', 'interrupted', 'parked')),
        CONSTRAINT uq_run_id UNIQUE (id),
        CONSTRAINT fk_run_artefact_id_artefact FOREIGN KEY(artefact_id) REFERENCES artefact (id),
        CONSTRAINT fk_run_repeat_of_run FOREIGN KEY(repeat_of) REFERENCES run (id) ON DELETE SET NULL
    )
    """,
    "CREATE INDEX ix_run_artefact_id ON run (artefact_id)",
    "CREATE INDEX ix_run_kind ON run (kind)",
    "CREATE INDEX ix_run_repeat_of ON run (repeat_of)",
    "CREATE INDEX ix_run_state ON run (state)",
    """
    CREATE TABLE job (
        number INTEGER NOT NULL,
        id VARCHAR NOT NULL,
        kind VARCHAR NOT NULL,
        name VARCHAR NOT NULL,
        author VARCHAR NOT NULL,
        state VARCHAR NOT NULL,
        priority INTEGER NOT NULL,
        seed INTEGER NOT NULL,
        request JSON NOT NULL,
        done INTEGER NOT NULL,
        total INTEGER,
        message VARCHAR NOT NULL,
        attempts INTEGER NOT NULL,
        error_code VARCHAR,
        error_message VARCHAR,
        run_id VARCHAR,
        checkpoint_id VARCHAR,
        created_at TEXT NOT NULL,
        started_at TEXT,
        finished_at TEXT,
        CONSTRAINT pk_job PRIMARY KEY (number),
        CONSTRAINT ck_job_state CHECK (state IN (
            'queued', 'running', 'paused', 'done', 'failed', 'cancelled', 'interrupted', 'parked')),
        CONSTRAINT uq_job_id UNIQUE (id),
        CONSTRAINT fk_job_run_id_run FOREIGN KEY(run_id) REFERENCES run (id) ON DELETE CASCADE,
        CONSTRAINT fk_job_checkpoint_id_artefact FOREIGN KEY(checkpoint_id) REFERENCES artefact (id)
    )
    """,
    "CREATE INDEX ix_job_checkpoint_id ON job (checkpoint_id)",
    "CREATE INDEX ix_job_kind ON job (kind)",
    "CREATE INDEX ix_job_run_id ON job (run_id)",
    "CREATE INDEX ix_job_state ON job (state)",
)

RUN_SEARCH = (
    """
    CREATE VIRTUAL TABLE run_search USING fts5(name, text, model, content='run', content_rowid='number')
    """,
    """
    CREATE TRIGGER run_search_insert AFTER INSERT ON run BEGIN
    INSERT INTO run_search(rowid, name, text, model)
    VALUES (new.number, new.name, new.text, new.model);
    END
    """,
    """
    CREATE TRIGGER run_search_delete AFTER DELETE ON run BEGIN
    INSERT INTO run_search(run_search, rowid, name, text, model)
    VALUES ('delete', old.number, old.name, old.text, old.model);
    END
    """,
    """
    CREATE TRIGGER run_search_update AFTER UPDATE OF name, text, model ON run BEGIN
    INSERT INTO run_search(run_search, rowid, name, text, model)
    VALUES ('delete', old.number, old.name, old.text, old.model);
    INSERT INTO run_search(rowid, name, text, model)
    VALUES (new.number, new.name, new.text, new.model);
    END
    """,
)


def upgrade() -> None:
    """Create everything."""
    for statement in TABLES + RUN_SEARCH:
        op.execute(statement)
