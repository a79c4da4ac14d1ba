"""What the registry knows: repositories, tags, manifests, links to blobs, uploads. SQLAlchemy core; SQLite
or PostgreSQL."""
