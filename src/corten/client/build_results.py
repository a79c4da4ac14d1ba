"""What a build tells its caller: events, and how it ended."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from corten.api.build import (
    BuildAnswer,
    BuildFailure,
    BuildPlanned,
    BuildResult,
    CredentialQuery,
    FileOffer,
    ShellOffer,
)
from corten.build.progress import VertexFinished, VertexLog, VertexStarted, VertexStatus, Warning
from corten.errors import CortenError

BuildEvent = VertexStarted | VertexLog | VertexStatus | VertexFinished | Warning | BuildPlanned

BuildReport = Callable[[BuildEvent], None]
"""Called with each event of a build, in order."""

AnyLine = BuildEvent | CredentialQuery | FileOffer | ShellOffer | BuildAnswer | BuildResult | BuildFailure

decode_line = msgspec.json.Decoder(AnyLine).decode


class BuildFailed(CortenError):
    """A build that failed; `failure` says where, with the step's last output."""

    def __init__(self, failure: BuildFailure) -> None:
        super().__init__(failure.message)
        self.failure = failure
