"""`spawn` as the launcher calls it: overlay roots, user and time namespaces, init, hold, failures."""

from __future__ import annotations

import marshal
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from corten.oci import runtime_spec as s
from corten.runtime.plan import Directory, Overlay, compile_plan

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("corten_only")]
WORKER = Path(__file__).with_name("spawn_worker.py")
SOURCE = Path(__file__).parents[3] / "src"
INTERPRETERS = [sys.executable]


class Spawner:
    """Compiles a bundle's config and spawns it in a worker."""

    def __init__(self, bundle: Any) -> None:
        self.bundle = bundle
        self.root: Directory | Overlay = Directory(path=str(bundle.rootfs))

    def overlay(self, lowers: int = 1, **fields: Any) -> None:
        base = self.bundle.directory
        names = []
        for number in range(lowers - 1):
            layer = base / f"layer{number}"
            (layer / "layers").mkdir(parents=True)
            (layer / f"layers/{number}").touch()
            names.append(str(layer))
        for name in ("upper", "work"):
            (base / name).mkdir()
        lowers_ = (*names, str(self.bundle.rootfs))
        self.root = Overlay(lowers=lowers_, upper=str(base / "upper"), work=str(base / "work"), **fields)

    def plan(self, **options: Any) -> Any:
        self.bundle.write()
        spec = s.decode((self.bundle.directory / "config.json").read_bytes())
        return compile_plan(
            spec,
            root=self.root,
            container_id=self.bundle.id,
            bundle=str(self.bundle.directory),
            **options,
        )

    def spawn(
        self, script: str | None = None, worker: dict[str, Any] | None = None, **options: Any
    ) -> dict[str, Any]:
        if script is not None:
            self.bundle.script(script)
        job = marshal.dumps((self.plan(**options).to_primitive(), worker or {}))
        done = subprocess.run(
            [sys.executable, "-I", "-S", str(WORKER), str(SOURCE)],
            input=job,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        result: dict[str, Any] = marshal.loads(done.stdout)
        assert result["leaked"] == []
        assert result["children"] is False
        assert result["modules"] == []
        return result


@pytest.fixture
def spawner(bundle) -> Spawner:
    return Spawner(bundle)


def test_shares_memory_and_leaves_nothing(spawner):
    plan = spawner.plan()
    assert plan.settings["shares"] is True
    result = spawner.spawn("echo hello; exit 3")
    assert (result["status"], result["output"]) == (3, b"hello\n")
    assert result["created"] is True


def test_hold(spawner):
    result = spawner.spawn("echo started", worker={"hold": True}, hold=True)
    assert result["held"] is True
    assert result["output"] == b"started\n"


def test_hold_while_memory_is_shared(spawner):
    worker = {"hold": True, "shared": True}
    result = spawner.spawn("echo started; exit 4", worker=worker, hold=True)
    assert (result["created"], result["told"], result["held"]) == (True, True, False)
    assert (result["status"], result["output"]) == (4, b"started\n")
    spawner.bundle.process["args"] = ["nothing"]
    assert spawner.spawn(worker=worker, hold=True)["error"][0] == "CommandNotFound"
    spawner.bundle.mount("/x", type="nosuchfs", source="x")
    assert spawner.spawn(worker=worker, hold=True)["error"][0] == "StartError"


@pytest.mark.parametrize("hold", [False, True])
@pytest.mark.parametrize(
    ("args", "kind"),
    [
        (["nothing"], "CommandNotFound"),
        (["/etc/passwd"], "CommandNotExecutable"),
        (["/etc/bad"], "CommandNotFound"),
    ],
)
def test_failures(spawner, hold, args, kind):
    bad = spawner.bundle.rootfs / "etc/bad"
    bad.write_text("#!/no/such/interpreter\n")
    bad.chmod(0o755)
    spawner.bundle.process["args"] = args
    result = spawner.spawn(worker={"hold": hold}, hold=hold)
    assert result["error"][0] == kind


def test_error_names_the_step(spawner):
    spawner.bundle.mount("/x", type="nosuchfs", source="x")
    kind, message = spawner.spawn()["error"]
    assert kind == "StartError"
    assert message.startswith("cannot mount x: No such device")


def test_overlay(spawner):
    spawner.overlay()
    result = spawner.spawn("echo new > /etc/new; rm /etc/passwd; grep ' / ' /proc/mounts")
    assert b"overlay" in result["output"]
    upper = spawner.bundle.directory / "upper"
    assert (upper / "etc/new").read_text() == "new\n"
    assert os.major((upper / "etc/passwd").stat().st_rdev) == 0
    assert (spawner.bundle.rootfs / "etc/passwd").exists()
    assert not (spawner.bundle.rootfs / "etc/new").exists()


def test_overlay_of_many_layers(spawner):
    spawner.overlay(lowers=150)
    assert spawner.spawn("ls /layers | wc -l")["output"].strip() == b"149"


def test_overlay_options(spawner):
    spawner.overlay(volatile=True, readonly=True)
    text = spawner.spawn("grep ' / ' /proc/mounts; touch /x || echo refused")["output"].decode()
    # Linux 6.13 and later show volatile as fsync=volatile or volatile.
    assert "volatile" in text
    assert "refused" in text


def test_user_namespace(spawner):
    bundle = spawner.bundle
    mapping = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    bundle.linux.update(uidMappings=mapping, gidMappings=mapping)
    bundle.linux["namespaces"].append({"type": "user"})
    subprocess.run(["chown", "-R", "100000:100000", bundle.rootfs], check=True)
    for directory in (bundle.directory, *bundle.directory.parents[:4]):
        directory.chmod(directory.stat().st_mode | 0o111)
    text = spawner.spawn(
        "cat /proc/self/uid_map; id -u; touch /tmp/x; echo > /dev/null && echo null; stat -c %u /dev/pts"
    )
    assert text["output"].split() == [b"0", b"100000", b"65536", b"0", b"null", b"0"]
    assert (bundle.rootfs / "tmp/x").stat().st_uid == 100000


def test_time_namespace(spawner):
    spawner.bundle.linux["namespaces"].append({"type": "time"})
    spawner.bundle.linux["timeOffsets"] = {"boottime": {"secs": 10_000_000, "nanosecs": 0}}
    result = spawner.spawn("cat /proc/uptime")
    assert float(result["output"].split()[0]) > 10_000_000


def test_init_reaps_forwards_and_ends_as_its_command(spawner):
    script = "(sleep 0.1 &) ; sleep 0.3; cat /proc/1/comm; ps -o stat,comm | grep -c ^Z; exit 7"
    result = spawner.spawn(script, init=True)
    assert result["output"].split() == [b"corten-init", b"0"]
    assert result["status"] == 7


def test_init_forwards_signals(spawner):
    script = "trap 'exit 8' TERM; echo r; while true; do sleep 0.02; done"
    assert spawner.spawn(script, worker={"signal": int(signal.SIGTERM)}, init=True)["status"] == 8


def test_init_hides_the_host(spawner):
    result = spawner.spawn("readlink /proc/1/exe; cat /proc/1/environ; ls /proc/1/fd; exit 0", init=True)
    text = result["output"].decode()
    assert "python" not in text
    assert "ermission denied" in text


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("www", "33 33 33 44 /var/www"),
        ("www:log", "33 44 44 /var/www"),
        ("33", "33 33 33 44 /var/www"),
        ("1234", "1234 0 0 /"),
        ("1234:55", "1234 55 55 /"),
        ("0", "0 0 0 /root"),
    ],
)
def test_user_names(spawner, user, expected):
    spawner.bundle.process["user"] = {"uid": 0, "gid": 0, "username": user}
    output = spawner.spawn("echo $(id -u) $(id -g) $(id -G) $HOME")["output"].decode().split()
    assert sorted(output) == sorted(expected.split())


@pytest.mark.parametrize(
    ("user", "words"),
    [
        ("ghost", "unable to find user ghost: no matching entries in passwd file"),
        ("www:ghosts", "unable to find group ghosts: no matching entries in group file"),
    ],
)
def test_unknown_names(spawner, user, words):
    spawner.bundle.process["user"] = {"uid": 0, "gid": 0, "username": user}
    assert words in spawner.spawn("true")["error"][1]


def test_describe(spawner):
    lines = spawner.plan().describe()
    assert lines[0].startswith("clone")
    assert "pivot" in lines
    assert any(line.startswith("mount proc proc") for line in lines)


def test_thread_safe_fallback(spawner):
    """With hooks or a user namespace the child is a fork: memory is not shared."""
    spawner.bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
    assert spawner.plan().settings["shares"] is False
    spec = s.decode((spawner.bundle.directory / "config.json").read_bytes())
    assert msgspec.json.decode(s.encode(spec))["hooks"]["createRuntime"][0]["path"] == "/bin/true"
