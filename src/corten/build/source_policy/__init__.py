"""Source policies: which sources a build may have, and what is taken in their place (BuildKit's format)."""
