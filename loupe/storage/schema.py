"""Bringing the database to the schema of this version: at every start, after a copy of it was put aside.

The whole way is one transaction, so a step that fails leaves the database as it was. A database written by a newer
Loupe is refused rather than guessed at.
"""

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import NullPool, create_engine

from loupe.storage.complaints import understood
from loupe.storage.connection import PRAGMAS, prepare
from loupe.storage.copies import check, copy_database
from loupe.storage.errors import CorruptDatabase, NewerSchema, StoreFailed
from loupe.storage.paths import DataDir

SCRIPTS = Path(__file__).parent / "migrations"
KEPT_COPIES = 5


class Migration(NamedTuple):
    """What `migrate` did: revisions before (None: a new database) and after, and the copy made first, if any."""

    before: str | None
    after: str
    copy: Path | None


def migrate(data_dir: DataDir, scripts: Path = SCRIPTS) -> Migration:
    """Create the database, or bring an older one up to date. Call it under the data directory's lock.

    Raises NewerSchema, CorruptDatabase, or whatever a failing step raised (the database is then unchanged).
    """
    config = _config(scripts)
    directory = ScriptDirectory.from_config(config)
    head = directory.get_current_head()
    assert head is not None, "there are no migrations"
    with understood(data_dir.database):
        before = current_revision(data_dir.database)
        if before == head:
            return Migration(before, head, None)
        _check_known(before, directory, data_dir.database)
        copy = _put_copy_aside(data_dir, head) if before else None
        _upgrade(data_dir.database, config)
    return Migration(before, head, copy)


def current_revision(database: Path) -> str | None:
    """The revision a database is at; None for a file that does not exist or has no table yet.

    Raises CorruptDatabase for a damaged file, and for tables that Loupe did not make.
    """
    if not database.exists():
        return None
    with closing(sqlite3.connect(database)) as connection:
        check(connection, database)
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if not tables:
            return None
        if "alembic_version" not in tables:
            raise CorruptDatabase(f"{database} holds tables that Loupe did not make; choose another LOUPE_HOME.")
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    if row is None:
        raise CorruptDatabase(f"{database} does not say which version wrote it. Run `loupe restore`.")
    return row[0]


def _config(scripts: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    return config


def _check_known(revision: str | None, directory: ScriptDirectory, database: Path) -> None:
    known = {script.revision for script in directory.walk_revisions()}
    if revision is not None and revision not in known:
        raise NewerSchema(
            f"{database} is at revision {revision}, which this version of Loupe does not know. "
            "Start the newer version that wrote it, or restore a backup made before it."
        )


def _put_copy_aside(data_dir: DataDir, head: str) -> Path:
    moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
    copy = data_dir.backups / f"{moment}-before-{head}.db"
    copy_database(data_dir.database, copy)
    for old in sorted(data_dir.backups.glob("*-before-*.db"))[:-KEPT_COPIES]:
        old.unlink()
    return copy


def _upgrade(database: Path, config: Config) -> None:
    # Foreign keys are off while tables are rebuilt, and checked before the transaction ends.
    pragmas = tuple(pragma.replace("foreign_keys=ON", "foreign_keys=OFF") for pragma in PRAGMAS)
    engine = create_engine(f"sqlite:///{database}", poolclass=NullPool)
    prepare(engine, pragmas)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
            if broken := connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall():
                raise StoreFailed(f"The migration of {database} would break {len(broken)} references; it was undone.")
    finally:
        engine.dispose()
