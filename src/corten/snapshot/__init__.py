"""Layers made mountable, and what containers changed in them."""

from corten.snapshot.snapshotter import Layer, Snapshotter, Usage

__all__ = ["Layer", "Snapshotter", "Usage"]
