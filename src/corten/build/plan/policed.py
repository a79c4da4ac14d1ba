"""What a plan asks, asked of the sources that the source policy has in place of others."""

from __future__ import annotations

from corten.build.graph import GitSource, HttpSource, LayoutSource, LocalSource
from corten.build.plan.model import ImageResolver, ResolvedImage, SourceTimes
from corten.build.source_policy.sources import SourcePolicy
from corten.oci.platform import Platform


class PolicedImages:
    """An ImageResolver. Denied, too."""

    def __init__(self, images: ImageResolver, policy: SourcePolicy) -> None:
        self._images = images
        self._policy = policy

    async def resolve(self, reference: str, platform: Platform) -> ResolvedImage:
        """See ImageResolver. The policy is asked before the look-up, and again with each digest that was
        found."""
        tried: set[str] = set()
        taken = self._policy.image(reference)
        while True:
            tried.add(taken)
            found = await self._images.resolve(taken, platform)
            taken = self._policy.image(found.reference)
            if taken == found.reference or taken in tried:
                return found

    async def resolve_layout(self, context: str, selector: str, platform: Platform) -> ResolvedImage:
        """See ImageResolver; the policy is asked by the source with its digest."""
        return await self._images.resolve_layout(context, selector, platform)


class PolicedTimes:
    """SourceTimes. Denied, too."""

    def __init__(self, times: SourceTimes, policy: SourcePolicy) -> None:
        self._times = times
        self._policy = policy

    async def time(self, source: LocalSource | GitSource | HttpSource) -> int | None:
        """See SourceTimes."""
        taken, _changed = self._policy.source(source)
        assert not isinstance(taken, LayoutSource)
        return await self._times.time(taken)
