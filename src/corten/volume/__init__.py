"""Volumes: storage that outlives containers, behind one driver Protocol."""
