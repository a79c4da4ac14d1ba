"""The tables. A change here comes with a step in `migrations.py`.

    repositories ─┬─ tags ──────────────► manifests ─── manifest_references ──► (blobs, manifests)
                  ├─ manifests ─────────► manifest_payloads
                  ├─ repository_blobs ──► blobs ──► a location in the blob store
                  └─ uploads
    manifest_payloads: a manifest's bytes, once for all repositories
    uploads: sessions; a blob comes to be when one is finished
    candidates: what the collector has to look at
    doomed: locations whose bytes are being deleted
    leases: who does what only one may do

Times are milliseconds since 1970. Names and digests sort by their bytes.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
)

TABLES = MetaData()

_ID = BigInteger().with_variant(Integer, "sqlite")
# A tag list is in the order of bytes (distribution-spec, "Listing Tags": ASCIIbetical), whatever the
# database's locale.
_NAME = String(collation="C").with_variant(String(), "sqlite")

schema_version = Table("schema_version", TABLES, Column("version", Integer, primary_key=True))

repositories = Table(
    "repositories",
    TABLES,
    Column("id", _ID, primary_key=True, autoincrement=True),
    Column("name", _NAME, nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
)

blobs = Table(
    "blobs",
    TABLES,
    Column("digest", _NAME, primary_key=True),
    Column("size", BigInteger, nullable=False),
    Column("location", String, nullable=False, unique=True),
    Column("created", BigInteger, nullable=False),
)

repository_blobs = Table(
    "repository_blobs",
    TABLES,
    Column("repository", _ID, ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("digest", _NAME, ForeignKey("blobs.digest"), nullable=False),
    # When a push was last told that the blob is here (uploaded, mounted, HEAD), and whether a manifest has
    # come since.
    Column("touched", BigInteger, nullable=False),
    Column("settled", Boolean, nullable=False),
    PrimaryKeyConstraint("repository", "digest"),
    Index("repository_blobs_digest", "digest"),
)

manifest_payloads = Table(
    "manifest_payloads",
    TABLES,
    Column("digest", _NAME, primary_key=True),
    Column("payload", LargeBinary, nullable=False),
)

manifests = Table(
    "manifests",
    TABLES,
    Column("repository", _ID, ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("digest", _NAME, ForeignKey("manifest_payloads.digest"), nullable=False),
    Column("media_type", String, nullable=False),
    Column("artifact_type", String, nullable=False),
    Column("subject", _NAME, nullable=False),
    Column("annotations", Text, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("pushed", BigInteger, nullable=False),
    PrimaryKeyConstraint("repository", "digest"),
    Index("manifests_digest", "digest"),
    Index("manifests_subject", "repository", "subject"),
)

manifest_references = Table(
    "manifest_references",
    TABLES,
    Column("repository", _ID, nullable=False),
    Column("manifest", _NAME, nullable=False),
    Column("target", _NAME, nullable=False),
    Column("is_manifest", Boolean, nullable=False),
    PrimaryKeyConstraint("repository", "manifest", "target"),
    ForeignKeyConstraint(
        ["repository", "manifest"], ["manifests.repository", "manifests.digest"], ondelete="CASCADE"
    ),
    Index("manifest_references_target", "repository", "target"),
)

tags = Table(
    "tags",
    TABLES,
    Column("repository", _ID, nullable=False),
    Column("name", _NAME, nullable=False),
    Column("manifest", _NAME, nullable=False),
    Column("updated", BigInteger, nullable=False),
    PrimaryKeyConstraint("repository", "name"),
    ForeignKeyConstraint(
        ["repository", "manifest"], ["manifests.repository", "manifests.digest"], ondelete="CASCADE"
    ),
    Index("tags_manifest", "repository", "manifest"),
    Index("tags_updated", "repository", "updated", "name"),
)

uploads = Table(
    "uploads",
    TABLES,
    Column("id", String, primary_key=True),
    Column("repository", _ID, ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("algorithm", String, nullable=False),
    Column("offset", BigInteger, nullable=False),
    # The digest of the bytes up to `offset`, when it is known; "" when they have to be read again.
    Column("hash", String, nullable=False),
    # What the blob store needs to find the bytes again.
    Column("state", Text, nullable=False),
    # The digest that the upload is being finished with: its location may have been written already.
    Column("target", String, nullable=False),
    Column("started", BigInteger, nullable=False),
    Column("touched", BigInteger, nullable=False),
    Index("uploads_touched", "touched"),
    Index("uploads_repository", "repository", "touched"),
)

candidates = Table(
    "candidates",
    TABLES,
    Column("repository", _ID, ForeignKey("repositories.id", ondelete="CASCADE"), nullable=False),
    Column("digest", _NAME, nullable=False),
    Column("due", BigInteger, nullable=False),
    PrimaryKeyConstraint("repository", "digest"),
    Index("candidates_due", "due"),
)

doomed = Table(
    "doomed",
    TABLES,
    Column("location", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("due", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Index("doomed_due", "due"),
)

leases = Table(
    "leases",
    TABLES,
    Column("name", String, primary_key=True),
    Column("holder", String, nullable=False),
    Column("until", BigInteger, nullable=False),
)

# What came from upstream registries, and was not pushed here since (`upstreams.py`).
cached_manifests = Table(
    "cached_manifests",
    TABLES,
    Column("repository", _ID, nullable=False),
    Column("digest", _NAME, nullable=False),
    Column("upstream", String, nullable=False),
    Column("fetched", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    PrimaryKeyConstraint("repository", "digest"),
    ForeignKeyConstraint(
        ["repository", "digest"], ["manifests.repository", "manifests.digest"], ondelete="CASCADE"
    ),
    Index("cached_manifests_used", "used"),
)

cached_tags = Table(
    "cached_tags",
    TABLES,
    Column("repository", _ID, nullable=False),
    Column("name", _NAME, nullable=False),
    Column("etag", String, nullable=False),
    Column("checked", BigInteger, nullable=False),
    PrimaryKeyConstraint("repository", "name"),
    ForeignKeyConstraint(["repository", "name"], ["tags.repository", "tags.name"], ondelete="CASCADE"),
)

# What upstream has said of the manifests that refer to one which is here.
cached_referrers = Table(
    "cached_referrers",
    TABLES,
    Column("repository", _ID, nullable=False),
    Column("subject", _NAME, nullable=False),
    # JSON: a list of `records.Referrer`.
    Column("found", Text, nullable=False),
    Column("checked", BigInteger, nullable=False),
    PrimaryKeyConstraint("repository", "subject"),
    ForeignKeyConstraint(
        ["repository", "subject"], ["manifests.repository", "manifests.digest"], ondelete="CASCADE"
    ),
)

# One row: what this registry calls itself to upstreams (`upstream/hops.py`).
instance = Table(
    "instance",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False),
)

# Upstreams that have said not to be asked for a while.
upstream_pauses = Table(
    "upstream_pauses",
    TABLES,
    Column("upstream", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("until", BigInteger, nullable=False),
    Column("reason", Text, nullable=False),
    PrimaryKeyConstraint("upstream", "kind"),
)

# One row. Another generation after each change of what accounts may do: processes look whether theirs is old.
account_state = Table(
    "account_state",
    TABLES,
    Column("id", Integer, primary_key=True),
    Column("generation", BigInteger, nullable=False),
)

accounts = Table(
    "accounts",
    TABLES,
    Column("name", _NAME, primary_key=True),
    Column("kind", String, nullable=False),
    Column("secret", String, nullable=False),
    Column("stamp", String, nullable=False),
    Column("disabled", Boolean, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("expires", BigInteger, nullable=False),
)

account_permissions = Table(
    "account_permissions",
    TABLES,
    Column("account", _NAME, ForeignKey("accounts.name", ondelete="CASCADE"), nullable=False),
    Column("pattern", _NAME, nullable=False),
    Column("actions", String, nullable=False),
    PrimaryKeyConstraint("account", "pattern"),
)

refresh_tokens = Table(
    "refresh_tokens",
    TABLES,
    Column("hash", String, primary_key=True),
    Column("account", _NAME, ForeignKey("accounts.name", ondelete="CASCADE"), nullable=False),
    Column("client", String, nullable=False),
    Column("created", BigInteger, nullable=False),
    Column("used", BigInteger, nullable=False),
    Index("refresh_tokens_account", "account", "used"),
)

signing_keys = Table(
    "signing_keys",
    TABLES,
    Column("id", String, primary_key=True),
    Column("private", LargeBinary, nullable=False),
    Column("active", BigInteger, nullable=False),
)

# What the page tells and finds of a manifest (`page/facts.py`). It follows from the manifest's bytes and its
# config's, so it is kept once for all repositories; what is pushed waits in `undescribed_manifests` until
# somebody looks at the page.
manifest_facts = Table(
    "manifest_facts",
    TABLES,
    Column("digest", _NAME, ForeignKey("manifest_payloads.digest", ondelete="CASCADE"), primary_key=True),
    Column("kind", String, nullable=False),
    Column("platforms", Text, nullable=False),
    Column("bytes", BigInteger, nullable=False),
    Column("created", String, nullable=False),
    Column("summary", Text, nullable=False),
    # Labels and annotations, a line each, in lower case.
    Column("words", Text, nullable=False),
)

undescribed_manifests = Table("undescribed_manifests", TABLES, Column("digest", _NAME, primary_key=True))
