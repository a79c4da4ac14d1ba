"""`corten registry import DIR`: what Docker's registry (distribution 2.x and 3.x) keeps below a directory
comes into this registry, while that one may go on being read.

    layout.py       the directory: repositories, revisions, tags, and where a digest's bytes lie
    checking.py     processes (reading.py) that read files and compare digests
    importer.py     the order of things: blobs, then the manifests that need them, then tags
    command.py      what a person is told

Nothing is written down about how far it came: what is in the registry is skipped, so running it again goes on
where it was ended, however that was.
"""
