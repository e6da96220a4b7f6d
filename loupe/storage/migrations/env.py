"""Alembic's entry point; `loupe.storage.schema` hands it the open connection, and the whole upgrade one transaction."""

from alembic import context

from loupe.storage.rows import Row

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Row.metadata,
    render_as_batch=True,
    compare_type=True,
    transactional_ddl=True,
    include_object=lambda thing, name, type_, reflected, compare_to: not (name or "").startswith("run_search"),
)
with context.begin_transaction():
    context.run_migrations()
