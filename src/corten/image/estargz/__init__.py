"""Layers as eStargz: gzip that a lazy snapshotter can read file by file."""
