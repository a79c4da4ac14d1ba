"""The stand-in for msgspec gives the same values, the same JSON and the same refusals as msgspec itself."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from corten.errors import InvalidArgument
from corten.oci import runtime_spec, struct
from corten.runtime.command.spec import default_spec

SOURCE = Path(__file__).parents[3] / "src"
# Reads a JSON list of documents, prints what came of each: [JSON again, or null; the message of the error].
WORKER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import corten.oci.light_struct
from corten.errors import InvalidArgument
from corten.oci import runtime_spec, struct
answers = []
for text in json.load(sys.stdin):
    try:
        spec = runtime_spec.decode(text.encode("latin-1"), "x")
        again = runtime_spec.decode(runtime_spec.encode(spec), "x")
        same = spec == again and hash(spec.root) == hash(again.root)
        answers.append([runtime_spec.encode(spec).decode() if same else "unequal", ""])
    except InvalidArgument as error:
        answers.append([None, error.message])
changed = struct.replace(runtime_spec.User(uid=5), gid=7)
builtins = struct.to_builtins(runtime_spec.State(id="a", status="running", bundle="/b"))
assert "msgspec" not in sys.modules and "typing" not in sys.modules
json.dump([answers, [changed.uid, changed.gid, changed.username], builtins], sys.stdout)
"""

FULL = runtime_spec.encode(default_spec()).decode()
VALID = [
    "{}",
    '{"ociVersion":"1.0.2","unknown":{"a":[1,2.5,null,true]}}',
    '  {"ociVersion" : "1.1.0", "process": {"args": ["a", "b"], "env": null, "user": {"uid": 3}}}\n',
    '{"process":{"oomScoreAdj":-5,"consoleSize":{"height":1,"width":2}},"annotations":{"a/b":"\\u00e9\\ud83d\\ude00"}}',
    '{"linux":{"resources":{"memory":{"limit":9223372036854775807,"kernelTCP":1,"disableOOMKiller":true}}}}',
    '{"linux":{"uidMappings":[{"containerID":0,"hostID":1,"size":2}],"sysctl":{"net.x":"1"},"timeOffsets":{"b":{"secs":1}}}}',
    '{"root":{"path":"a"},"root":{"path":"b","readonly":true}}',
    '{"process":{"ioPriority":{"class":"IOPRIO_CLASS_BE"},"user":{"gid":1,"additionalGids":[1,2]}}}',
    '{"linux":{"seccomp":{"defaultAction":"A","syscalls":[{"names":["x"],"action":"B","args":[{"index":0,"value":18446744073709551615}]}]}}}',
    '{"hooks":{"prestart":[{"path":"/x","timeout":3}]},"mounts":[]}',
    FULL,
]
INVALID = [
    "",
    "nonsense",
    "[]",
    "null",
    "{",
    '{"a":1} x',
    '{"ociVersion":1}',
    '{"ociVersion":"2.0"}',
    '{"process":[]}',
    '{"process":{"args":["a",1]}}',
    '{"process":{"args":"a"}}',
    '{"process":{"terminal":1}}',
    '{"process":{"user":{"uid":"0"}}}',
    '{"process":{"user":{"uid":1.5}}}',
    '{"process":{"user":{"uid":true}}}',
    '{"process":{"consoleSize":{"height":1.0}}}',
    '{"process":{"user":null}}',
    '{"mounts":[{"type":"x"}]}',
    '{"mounts":[null]}',
    '{"annotations":{"a":1}}',
    '{"annotations":[]}',
    '{"linux":{"uidMappings":[{"hostID":1,"size":2}]}}',
    '{"hostname":"\\ud800"}',
    '{"hostname":"\x01"}',
    '{"hostname":"\xff"}',
    '{"hostname":NaN}',
    '{"process":{"oomScoreAdj":Infinity}}',
    "{'a':1}",
    '{"a":1,}',
    '{"a":' + "[" * 100_000,
]


@pytest.fixture(scope="module")
def light():
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", WORKER, str(SOURCE)],
        input=json.dumps([*VALID, *INVALID]),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("index", range(len(VALID)))
def test_same_values(light, index):
    text, error = light[0][index]
    assert error == ""
    spec = runtime_spec.decode(VALID[index].encode("latin-1"), "x")
    assert json.loads(text) == json.loads(runtime_spec.encode(spec))
    assert runtime_spec.decode(text.encode()) == spec


@pytest.mark.parametrize("index", range(len(INVALID)))
def test_same_refusals(light, index):
    text, message = light[0][len(VALID) + index]
    assert text is None
    with pytest.raises((InvalidArgument, RecursionError)) as failure:
        runtime_spec.decode(INVALID[index].encode("latin-1"), "x")
    if "`" in str(failure.value):  # where a type is wrong, the place is told in the same words
        assert message == str(failure.value)
    else:
        assert message.startswith("cannot read x: ") or message == str(failure.value)


def test_replace_and_to_builtins(light):
    changed = struct.replace(runtime_spec.User(uid=5), gid=7)
    assert light[1] == [changed.uid, changed.gid, changed.username]
    assert light[2] == struct.to_builtins(runtime_spec.State(id="a", status="running", bundle="/b"))
