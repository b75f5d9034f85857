"""Alembic's entry: runs on the connection that `monitor/outbox/database.py` hands over."""

from alembic import context

from monitor.outbox.schema import VERSION_TABLE, metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite can roll back DDL too, once BEGIN is ours (see database.py): a crash leaves no half-made schema.
    transactional_ddl=True,
)
context.run_migrations()
