"""How a connection to the database is set up."""

from sqlalchemy import Connection, Engine, event

BUSY_TIMEOUT_S = 5.0
# synchronous=FULL, although WAL would be consistent with NORMAL: with NORMAL the last commits are lost in a power
# cut, and a job that was shown as accepted is never forgotten.
PRAGMAS = (
    "journal_mode=WAL",
    "synchronous=FULL",
    "foreign_keys=ON",
    "temp_store=MEMORY",
    "cache_size=-65536",
)


def prepare(engine: Engine, pragmas: tuple[str, ...] = PRAGMAS, busy_timeout_s: float = BUSY_TIMEOUT_S) -> None:
    """Give every connection the pragmas, and begin every transaction ourselves.

    A writer begins IMMEDIATE: a deferred transaction that reads and then writes cannot wait for the lock, and the
    driver's own late BEGIN loses updates without an error.
    """

    @event.listens_for(engine, "connect")
    def set_pragmas(connection, record: object) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (*pragmas, f"busy_timeout={int(busy_timeout_s * 1000)}"):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        is_readonly = connection.get_execution_options().get("readonly", False)
        connection.exec_driver_sql("BEGIN" if is_readonly else "BEGIN IMMEDIATE")
