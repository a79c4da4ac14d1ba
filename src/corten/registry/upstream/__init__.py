"""Other registries behind this one: what is asked for and not here is fetched, kept and handed out (a
pull-through cache), in the same name space that takes pushes.

    settings.py    what is configured; naming.py   which upstream a repository comes from
    client.py      requests to one upstream, by the project's own registry client (`corten.image.registry`)
    limits.py      how long an upstream is not to be asked: Retry-After, RateLimit-Remaining
    hops.py        which caches a request has come through; a ring of caches
    manifests.py   manifests: fresh, checked again, stale, fetched
    referrers.py   what refers to a manifest there
    blobs.py, fetch.py   blobs: fetched once for everybody, handed out while they come in
    turns.py       one at a time, of the tasks of a process and of all replicas
    eviction.py    which copies go when there are too many, or nobody uses them
    cache.py       all of it, as the handlers use it

What came from upstream is ordinary content with a row in `cached_manifests` or `cached_tags` beside it
(`metadata/upstreams.py`). A push takes these rows away: what was pushed is no copy, is never checked
against upstream, and never evicted. What upstream says of referrers is kept as it was told, beside them.
"""
