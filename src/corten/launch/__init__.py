"""Launcher, monitor, and the messages between them and the engine."""
