"""Alembic migrations of the outbox; they travel inside the package."""
