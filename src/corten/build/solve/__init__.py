"""Running a graph: the scheduler, the cache, the layers that builds make."""
