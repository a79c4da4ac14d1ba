"""Containers, exec, events, health, restart policy, prune; spec generation; the SQLite store."""
