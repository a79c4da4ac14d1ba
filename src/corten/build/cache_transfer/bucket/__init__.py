"""Caches in buckets: Amazon S3 and what speaks its protocol, Azure Blob Storage. By obstore."""
