"""Run by Alembic, on the connection that :mod:`iskra.session_store.upgrade` hands over."""

from alembic import context

from iskra.session_store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
