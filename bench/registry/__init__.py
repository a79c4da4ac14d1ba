"""The registry beside docker-registry 2.8 and distribution v3: requests, blobs, uploads, long lists,
memory."""
