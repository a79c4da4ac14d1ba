"""The engine's short forms serve here as well."""

from tests.system.engine.conftest import boat, engine, loop_runner

__all__ = ["boat", "engine", "loop_runner"]
