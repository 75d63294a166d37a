"""Databases: operations, connections, transactions, dialects. Knows nothing of models."""
