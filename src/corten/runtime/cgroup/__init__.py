"""Control groups: layouts v1, v2 and hybrid, limits that are read back, statistics, freezing, killing.

Import the modules themselves, this package re-exports nothing: the launcher loads `apply` alone, and anything
imported here would be paid for in every container's memory.

- `layout`: which hierarchies this host has, found in mountinfo.
- `compile`: resources of the OCI specification to a `CgroupPlan` (engine side).
- `apply`: a plan carried out (launcher side): create, enter, verify, count OOM kills, remove.
- `control`: `Cgroup`, the handle on a cgroup that exists: statistics, update, freeze, kill, delete.
"""
