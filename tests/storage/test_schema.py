"""The schema: made by migrations, equal to the models, copied aside before it changes."""

import re
import shutil
import sqlite3
from contextlib import closing

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine

from loupe.storage.copies import copy_database
from loupe.storage.errors import CorruptDatabase, NewerSchema, StoreFailed
from loupe.storage.rows import Row
from loupe.storage.schema import KEPT_COPIES, SCRIPTS, current_revision, migrate

HEAD = ScriptDirectory(SCRIPTS).get_current_head()
NEXT = '''"""A later revision."""
from alembic import op
revision = "{revision}"
down_revision = "{before}"
branch_labels = depends_on = None
def upgrade():
    {body}
'''


@pytest.fixture
def later(tmp_path):
    """Migration scripts of a later version: a folder to which revisions can be added."""
    scripts = tmp_path / "scripts"
    shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
    last = [HEAD]

    def add(revision: str, body: str):
        source = NEXT.format(revision=revision, before=last[-1], body=body)
        (scripts / "versions" / f"{revision}.py").write_text(source)
        last.append(revision)
        return scripts

    return add


def execute(database, statement: str, *values):
    with closing(sqlite3.connect(database)) as connection, connection:
        return connection.execute(statement, values).fetchall()


def schema_of(database) -> list[tuple[str, str]]:
    rows = execute(database, "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL AND name <> 'alembic_version'")
    return sorted((name, re.sub(r"\s*([(),])\s*", r"\1", " ".join(sql.split()))) for name, sql in rows)


def insert_dataset(database) -> None:
    columns = "id, name, author, source, documents, characters, fingerprint, details, created_at"
    execute(database, f"INSERT INTO dataset ({columns}) VALUES ('d', '', '', '', 7, 0, '', '{{}}', '')")  # noqa: S608


def test_a_new_database_is_created_at_the_latest_revision(data_dir):
    assert migrate(data_dir) == (None, HEAD, None)
    assert current_revision(data_dir.database) == HEAD
    assert migrate(data_dir) == (HEAD, HEAD, None)
    assert list(data_dir.backups.iterdir()) == []


def test_what_the_migrations_make_is_what_the_models_say(data_dir, tmp_path):
    migrate(data_dir)
    engine = create_engine(f"sqlite:///{tmp_path / 'created.db'}")
    Row.metadata.create_all(engine)
    engine.dispose()
    assert schema_of(data_dir.database) == schema_of(tmp_path / "created.db")


def test_alembic_finds_nothing_left_to_migrate(data_dir):
    migrate(data_dir)
    engine = create_engine(f"sqlite:///{data_dir.database}")
    options = {"include_object": lambda thing, name, *_: not name.startswith("run_search"), "compare_type": True}
    with engine.connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection, opts=options), Row.metadata) == []
    engine.dispose()


def test_an_older_database_is_copied_aside_and_brought_up_to_date(data_dir, later):
    migrate(data_dir)
    insert_dataset(data_dir.database)
    scripts = later("9001", 'op.execute("ALTER TABLE dataset ADD COLUMN licence TEXT")')
    before, after, copy = migrate(data_dir, scripts)
    assert (before, after, copy.parent) == (HEAD, "9001", data_dir.backups)
    assert execute(data_dir.database, "SELECT documents, licence FROM dataset") == [(7, None)]
    assert current_revision(copy) == HEAD
    assert execute(copy, "SELECT documents FROM dataset") == [(7,)]


def test_a_migration_that_fails_half_way_leaves_the_database_as_it_was(data_dir, later):
    migrate(data_dir)
    insert_dataset(data_dir.database)
    before = schema_of(data_dir.database)
    later("9001", 'op.execute("ALTER TABLE dataset ADD COLUMN licence TEXT")')
    scripts = later("9002", 'op.execute("DROP TABLE job"); raise ZeroDivisionError')
    with pytest.raises(ZeroDivisionError):
        migrate(data_dir, scripts)
    assert schema_of(data_dir.database) == before
    assert current_revision(data_dir.database) == HEAD
    assert execute(data_dir.database, "SELECT documents FROM dataset") == [(7,)]
    assert migrate(data_dir) == (HEAD, HEAD, None)


def test_a_migration_that_would_break_references_is_undone(data_dir, later):
    migrate(data_dir)
    body = (
        "op.execute(\"INSERT INTO result (key, artefact_id, created_at, last_used_at) VALUES ('k', 'none', '', '')\")"
    )
    with pytest.raises(StoreFailed, match="break 1 references"):
        migrate(data_dir, later("9001", body))
    assert current_revision(data_dir.database) == HEAD
    assert execute(data_dir.database, "SELECT count(*) FROM result") == [(0,)]


def test_a_database_of_a_newer_version_is_refused_and_left_alone(data_dir, later):
    migrate(data_dir, later("9001", "pass"))
    contents = data_dir.database.read_bytes()
    with pytest.raises(NewerSchema, match="revision 9001, which this version"):
        migrate(data_dir)
    assert data_dir.database.read_bytes() == contents


def test_a_file_that_is_not_a_database_is_refused(data_dir):
    data_dir.database.write_bytes(b"once upon a time " * 500)
    with pytest.raises(CorruptDatabase, match="loupe restore"):
        migrate(data_dir)


def test_a_damaged_database_is_refused_at_the_start(data_dir):
    migrate(data_dir)
    execute(data_dir.database, "CREATE TABLE filler AS SELECT zeroblob(100000) AS x")
    contents = bytearray(data_dir.database.read_bytes())
    contents[4096 * 20 : 4096 * 24] = b"\xff" * 4096 * 4
    data_dir.database.write_bytes(contents)
    with pytest.raises(CorruptDatabase, match="damaged"):
        migrate(data_dir)


def test_somebody_else_s_database_is_refused(data_dir):
    execute(data_dir.database, "CREATE TABLE recipes (name TEXT)")
    with pytest.raises(CorruptDatabase, match="did not make"):
        migrate(data_dir)


def test_a_database_that_forgot_its_revision_is_refused(data_dir):
    migrate(data_dir)
    execute(data_dir.database, "DELETE FROM alembic_version")
    with pytest.raises(CorruptDatabase, match="does not say which version"):
        migrate(data_dir)


def test_an_empty_file_is_a_new_database(data_dir):
    data_dir.database.write_bytes(b"")
    assert migrate(data_dir).before is None


def test_only_the_latest_copies_are_kept(data_dir, later):
    migrate(data_dir)
    copies = []
    for number in range(2, KEPT_COPIES + 4):
        copies.append(migrate(data_dir, later(f"90{number:02}", "pass")).copy)
    assert sorted(data_dir.backups.iterdir()) == sorted(copies[-KEPT_COPIES:])


def test_a_path_with_a_percent_sign_is_no_trouble(tmp_path):
    from loupe.storage.paths import DataDir

    data_dir = DataDir.create(tmp_path / "100% mine")
    assert migrate(data_dir).after == HEAD


def test_a_copy_of_a_damaged_database_is_refused(data_dir, tmp_path):
    migrate(data_dir)
    execute(data_dir.database, "CREATE INDEX odd ON dataset (documents)")
    insert_dataset(data_dir.database)
    with closing(sqlite3.connect(data_dir.database)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = 'CREATE INDEX odd ON dataset (name)' WHERE name = 'odd'")
        connection.commit()
    with pytest.raises(CorruptDatabase, match="is damaged"):
        copy_database(data_dir.database, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
