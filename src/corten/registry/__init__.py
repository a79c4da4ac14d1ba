"""The registry: stores images and hands them out, by the OCI distribution specification 1.1 (`corten
registry`).

A request falls through the package from top to bottom:

    process.py      one program: the listening socket, worker processes forked by cores, signals
    worker.py       one process's event loop: aiohttp's server, the application, the collector
    app.py          what every request meets: route, access, handler, errors to the specification's codes, log
    routing.py      paths to resources; repository names may contain slashes
    access.py       who may do what: a Protocol that is asked before every handler
    handlers/       one file per resource: manifests, blobs, uploads, tags, catalog, referrers, health
    uploads.py      bodies into blobs: receiving, hashing, resuming, finishing
    manifest.py     what a pushed manifest says: its references, checked before anything is stored
    collect.py      garbage collection while pushes go on
    check.py        `corten registry check`: compares metadata with storage, and repairs
    backup.py       all metadata in one file, and back
    importing/      the storage directory of Docker's registry, taken over
    metadata/       repositories, tags, manifests, links to blobs, uploads; on SQLite or PostgreSQL
    blobs/          bytes by location: local files, or an object store by obstore
    config.py       what is configured; errors.py, names.py: the specification's codes and grammar

Three rules keep it safe under load, in any number of processes on any number of machines:

- **Metadata is the truth.** A manifest lives in the database, whole; a blob is a row that names its
  location. What is
  acknowledged is committed (and its file fsynced) before the answer is written.
- **Locations are used once.** Each upload gets a location of its own, so the deletion of a blob can
  never meet the
  upload of the same digest: no lock is needed, and none is held.
- **What a push has been told exists stays** for a while (`collect.py`): a blob that was uploaded,
  mounted or answered for
  (HEAD) is kept until a manifest refers to it or the grace is over.
"""
