"""`state`: the state document of the specification."""

from __future__ import annotations

import json
import sys

from corten.runtime.command.container import load
from corten.runtime.command.options import Options

TYPE_CHECKING = False
if TYPE_CHECKING:
    from corten.runtime.command.main import Context


def run(context: Context, arguments: list[str]) -> int:
    parsed = Options("state ID").parse(arguments, count=(1, 1))
    container = load(context.root, parsed.words[0])
    state, record = container.state(), container.record
    document = {
        "ociVersion": state.oci_version,
        "id": state.id,
        "pid": state.pid,
        "status": state.status,
        "bundle": state.bundle,
        "rootfs": record.rootfs,
        "created": record.created,
        "annotations": state.annotations,
        "owner": record.owner,
    }
    sys.stdout.write(json.dumps(document, indent=2) + "\n")
    return 0
