"""Storage that outlives containers: drivers."""
