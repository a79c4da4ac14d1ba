"""Checking the store: every digest, layer, reference and leftover; and mending what can be mended."""

from corten.image.fsck.checker import Checker
from corten.image.fsck.problem import ContainerUse, Problem, Step

__all__ = ["Checker", "ContainerUse", "Problem", "Step"]
