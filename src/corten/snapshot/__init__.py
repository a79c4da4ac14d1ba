"""Layers made mountable, and what containers changed in them."""

from corten.snapshot.overlay import OverlaySnapshotter
from corten.snapshot.snapshotter import Layer, Snapshotter, Usage

__all__ = ["Layer", "OverlaySnapshotter", "Snapshotter", "Usage"]
