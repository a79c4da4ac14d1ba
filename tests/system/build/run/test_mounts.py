"""RUN --mount: what is seen at the targets, and that nothing of it gets into the layer."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import subprocess
from pathlib import Path

import pytest

from corten.build.graph import BindMount, CacheMount, SecretMount, SshMount, TmpfsMount
from corten.build.solve.failure import BuildFailed
from tests.system.build.run.yard import BUSYBOX, Yard, context, copy, sh

pytestmark = pytest.mark.root


@pytest.fixture
def here(yard: Yard, tmp_path: Path) -> Path:
    directory = tmp_path / "context"
    (directory / "src" / "deep").mkdir(parents=True)
    (directory / "src" / "main.c").write_text("main")
    (directory / "src" / "deep" / "x.h").write_text("x")
    (directory / "other").write_text("other")
    os.chown(directory / "src" / "main.c", 1234, 1234)
    yard.contexts.paths["context"] = directory
    return directory


class TestBind:
    async def test_a_directory_of_the_context(self, yard: Yard, here: Path) -> None:
        script = "cd /mnt; find . | sort; cat main.c; stat -c %u main.c; ! touch x 2>/dev/null"
        target = sh(BUSYBOX, script, context(), mounts=(BindMount(1, "src", "/mnt"),))
        assert await yard.build(target) == {}
        assert yard.log.split() == [".", "./deep", "./deep/x.h", "./main.c", "main0"]

    async def test_a_file(self, yard: Yard, here: Path) -> None:
        target = sh(BUSYBOX, "cat /a/file", context(), mounts=(BindMount(1, "/src/main.c", "/a/file"),))
        assert await yard.build(target) == {}
        assert yard.log == "main"

    async def test_what_is_written_is_thrown_away(self, yard: Yard, here: Path) -> None:
        mounts = (BindMount(1, "/src", "/mnt", readonly=False),)
        script = "cd /mnt; echo new > new; rm main.c; echo changed > deep/x.h; ls; cp new /result"
        target = sh(BUSYBOX, script, context(), mounts=mounts)
        assert await yard.build(target) == {"result": "new\n"}
        assert yard.log.split() == ["deep", "new"]
        await yard.build(sh(BUSYBOX, "ls /mnt", context(), mounts=mounts))
        assert yard.log.split() == ["deep", "main.c"]
        assert (here / "src" / "main.c").read_text() == "main"

    async def test_of_several_layers_of_another_stage(self, yard: Yard) -> None:
        stage = sh(sh(BUSYBOX, "mkdir /out; echo 1 > /out/one; echo 2 > /out/two"), "rm /out/one")
        target = sh(
            BUSYBOX,
            "ls /mnt; ls /all/bin/sh",
            stage,
            stage,
            mounts=(BindMount(1, "/out", "/mnt"), BindMount(2, "/", "/all")),
        )
        assert await yard.build(target) == {}
        assert yard.log.split() == ["two", "/all/bin/sh"]

    async def test_of_copied_files(self, yard: Yard, here: Path) -> None:
        stage = copy(None, context(), "src", "/files")
        mounts = (BindMount(1, "files/deep", "/mnt"), BindMount(2, "/", "/rw", readonly=False))
        target = sh(BUSYBOX, "cat /mnt/x.h; touch /rw/new; ls /rw", stage, stage, mounts=mounts)
        assert await yard.build(target) == {}
        assert yard.log == "xfiles\nnew\n"

    async def test_of_nothing(self, yard: Yard) -> None:
        mounts = (BindMount(1, "/", "/mnt"),)
        target = sh(BUSYBOX, "ls -a /mnt | wc -l; ! touch /mnt/x 2>/dev/null", None, mounts=mounts)
        await yard.build(target)
        assert yard.log == "2\n"

    async def test_links_lead_nowhere_else(self, yard: Yard, here: Path) -> None:
        stage = sh(BUSYBOX, "mkdir /out; ln -s /etc/passwd /out/link; echo of the stage > /etc/passwd")
        target = sh(BUSYBOX, "cat /mnt", stage, mounts=(BindMount(1, "/out/link", "/mnt"),))
        await yard.build(target)
        assert yard.log == "of the stage\n"

    async def test_over_proc(self, yard: Yard) -> None:
        for target in ("/proc", "/a/../proc/1/attr"):
            step = sh(BUSYBOX, "true", mounts=(TmpfsMount(target),))
            with pytest.raises(BuildFailed, match="cannot be mounted because it is inside /proc"):
                await yard.build(step)

    async def test_what_is_not_there(self, yard: Yard, here: Path) -> None:
        target = sh(BUSYBOX, "true", context(), mounts=(BindMount(1, "/nowhere", "/mnt"),))
        with pytest.raises(BuildFailed, match="nowhere"):
            await yard.build(target)

    async def test_one_in_another(self, yard: Yard, here: Path) -> None:
        mounts = (CacheMount("outer", "/a"), BindMount(1, "/src", "/a/b"), TmpfsMount("/a/c"))
        target = sh(BUSYBOX, "ls /a /a/b; touch /a/c/x", context(), mounts=mounts)
        assert await yard.build(target) == {}
        assert yard.log.split() == ["/a:", "b", "c", "/a/b:", "deep", "main.c"]


class TestCache:
    async def test_it_outlives_the_build_and_is_in_no_layer(self, yard: Yard) -> None:
        mounts = (CacheMount("pip", "/root/.cache/pip", mode=0o711, uid=7, gid=8),)
        assert await yard.build(sh(BUSYBOX, "echo 1 > /root/.cache/pip/x", mounts=mounts)) == {}
        assert (
            await yard.build(
                sh(BUSYBOX, "cat /root/.cache/pip/x; stat -c '%a %u %g' /root/.cache/pip", mounts=mounts)
            )
            == {}
        )
        assert yard.log == "1\n711 7 8\n"

    async def test_read_only(self, yard: Yard) -> None:
        await yard.build(
            sh(BUSYBOX, "! touch /c/x 2>/dev/null", mounts=(CacheMount("ro", "/c", readonly=True),))
        )

    async def test_it_begins_as_a_directory_of_another_stage(self, yard: Yard) -> None:
        stage = sh(BUSYBOX, "mkdir -p /seed/a; echo s > /seed/a/f; chown 5 /seed/a/f")
        mounts = (CacheMount("seeded", "/c", input=1, selector="/seed"),)
        await yard.build(sh(BUSYBOX, "cat /c/a/f; stat -c %u /c/a/f; echo 2 > /c/a/f", stage, mounts=mounts))
        assert yard.log == "s\n5\n"
        await yard.build(sh(BUSYBOX, "cat /c/a/f #again", stage, mounts=mounts))
        assert yard.log == "2\n"

    async def test_locked_is_for_one_at_a_time(self, yard: Yard) -> None:
        mounts = (CacheMount("lock", "/c", sharing="locked"),)
        script = "! test -e /c/busy && touch /c/busy && sleep 0.3 && rm /c/busy; #"
        await asyncio.gather(*(yard.build(sh(BUSYBOX, f"{script}{n}", mounts=mounts)) for n in range(3)))

    async def test_shared_is_for_all_and_private_for_nobody_else(self, yard: Yard) -> None:
        def meet(sharing: str, name: str, wait: str) -> object:
            mounts = (CacheMount(f"{sharing}-meeting", "/c", sharing=sharing),)
            return yard.build(sh(BUSYBOX, f"touch /c/{name}; {wait}", mounts=mounts))

        wait = "n=0; until test -e /c/{}; do sleep 0.05; n=$((n+1)); test $n -lt 200; done"
        await asyncio.gather(
            meet("shared", "a", wait.format("b")),  # type: ignore[call-overload]
            meet("shared", "b", wait.format("a")),
        )
        await asyncio.gather(
            meet("private", "a", "sleep 0.3; ! test -e /c/b"),  # type: ignore[call-overload]
            meet("private", "b", "sleep 0.3; ! test -e /c/a"),
        )


async def test_tmpfs(yard: Yard) -> None:
    mounts = (TmpfsMount("/t", size=1 << 20),)
    script = "touch /t/x; grep ' /t ' /proc/mounts; ! dd if=/dev/zero of=/t/y bs=1M count=2 2>/dev/null"
    assert await yard.build(sh(BUSYBOX, script, mounts=mounts)) == {}
    assert "tmpfs" in yard.log
    assert "size=1024k" in yard.log


class TestSecrets:
    SECRET = b"hunter2-" + b"8f3a" * 4

    async def test_as_a_file(self, yard: Yard) -> None:
        yard.given.secrets["token"] = self.SECRET
        mounts = (SecretMount("token", "/run/secrets/token", mode=0o440, uid=3, gid=4),)
        script = (
            "md5sum /run/secrets/token | cut -c1-32; stat -c '%a %u %g' /run/secrets/token;"
            " ! echo x 2>/dev/null > /run/secrets/token; grep /run/secrets /proc/mounts | cut -d' ' -f3"
        )
        assert await yard.build(sh(BUSYBOX, script, mounts=mounts)) == {}
        assert yard.log.split() == [hashlib.md5(self.SECRET).hexdigest(), "440", "3", "4", "tmpfs"]

    async def test_as_a_variable(self, yard: Yard) -> None:
        yard.given.secrets["token"] = self.SECRET
        mounts = (SecretMount("token", environment="TOKEN"),)
        assert await yard.build(sh(BUSYBOX, "echo -n $TOKEN | md5sum", mounts=mounts)) == {}
        assert yard.log.split()[0] == hashlib.md5(self.SECRET).hexdigest()

    async def test_it_is_nowhere_afterwards(self, yard: Yard) -> None:
        yard.given.secrets["token"] = self.SECRET
        mounts = (SecretMount("token", "/s"), SecretMount("token", environment="T"))
        events = []
        with await yard.solver.solve(
            [sh(BUSYBOX, "cat /s > /dev/null # nowhere", mounts=mounts)],
            yard.inputs(scope="x", explain=True),
            events.append,
        ):
            pass
        place = yard.engine.paths.root.parent
        found = subprocess.run(["grep", "-rl", self.SECRET.decode(), place], capture_output=True, text=True)
        assert found.stdout == ""
        assert self.SECRET.decode() not in repr(events)

    async def test_another_value_is_no_other_result(self, yard: Yard) -> None:
        target = sh(BUSYBOX, "echo ran # value", mounts=(SecretMount("token", "/s"),))
        yard.given.secrets["token"] = b"one"
        await yard.build(target)
        yard.given.secrets["token"] = b"two"
        await yard.build(target)
        assert yard.log == ""

    async def test_missing(self, yard: Yard) -> None:
        yard.given.secrets.clear()
        optional = (SecretMount("no", "/s", environment="S"),)
        await yard.build(sh(BUSYBOX, "! test -e /s; test -z $S", mounts=optional))
        with pytest.raises(
            BuildFailed, match="the secret no is missing: give it with --secret id=no,src=FILE"
        ):
            await yard.build(sh(BUSYBOX, "true", mounts=(SecretMount("no", "/s", required=True),)))

    async def test_large_and_empty(self, yard: Yard) -> None:
        yard.given.secrets |= {"large": os.urandom(600_000), "empty": b""}
        mounts = (SecretMount("large", "/large"), SecretMount("empty", "/empty"))
        await yard.build(sh(BUSYBOX, "stat -c %s /large /empty", mounts=mounts))
        assert yard.log.split() == ["600000", "0"]


class TestSsh:
    MOUNTS = (SshMount("default", "/run/agent.sock", mode=0o620, uid=9), CacheMount("ssh-test", "/c"))
    SCRIPT = (
        "test -S $SSH_AUTH_SOCK; stat -c '%a %u' $SSH_AUTH_SOCK;"
        " touch /c/ready; until test -e /c/done; do sleep 0.05; done; rm /c/*"
    )

    async def ask(self, yard: Yard) -> bytes:
        """What comes back on the socket that a running step has, when a line is sent."""
        environment = ("PATH=/bin", "SSH_AUTH_SOCK=/run/agent.sock")
        step = sh(BUSYBOX, self.SCRIPT, mounts=self.MOUNTS, environment=environment, again=True)
        build = asyncio.create_task(yard.build(step))
        while not (ready := list(yard.mounts._root.glob("*/ready"))):
            await asyncio.wait({build}, timeout=0.02)
            assert not build.done(), await build
        (socket,) = yard.executor._running.glob("*/ssh-0")
        reader, writer = await asyncio.open_unix_connection(socket)
        answer = b""
        with contextlib.suppress(ConnectionError):
            writer.write(b"hello\n")
            answer = await reader.read()
        writer.close()
        ready[0].with_name("done").touch()
        assert await build == {}
        assert yard.log == "620 9\n"
        return answer

    async def test_the_agent(self, yard: Yard, short_tmp: Path) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"agent says " + await reader.readline())
            writer.close()

        server = await asyncio.start_unix_server(answer, short_tmp / "agent")
        yard.given.agents["default"] = str(short_tmp / "agent")
        try:
            assert await self.ask(yard) == b"agent says hello\n"
        finally:
            server.close()

    async def test_an_agent_that_does_not_answer(self, yard: Yard) -> None:
        yard.given.agents["default"] = "/nowhere"
        assert await self.ask(yard) == b""

    async def test_missing(self, yard: Yard) -> None:
        yard.given.agents.clear()
        await yard.build(sh(BUSYBOX, "! test -e /s", mounts=(SshMount("no", "/s"),)))
        with pytest.raises(BuildFailed, match="the ssh agent no is missing: give it with --ssh no"):
            await yard.build(sh(BUSYBOX, "true", mounts=(SshMount("no", "/s", required=True),)))


async def test_here_documents(yard: Yard) -> None:
    files = (("EOF", b"#!/bin/sh\necho from $0\n", 0o755), ("data", b"x", 0o644))
    target = sh(BUSYBOX, "/dev/pipes/EOF; cat /dev/pipes/data", here_documents=files)
    assert await yard.build(target) == {}
    assert yard.log == "from /dev/pipes/EOF\nx"


class TestDevices:
    ALLOWED = frozenset({"device"})

    @pytest.fixture
    def cdi(self, yard: Yard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        spec = {
            "cdiVersion": "0.6.0",
            "kind": "example.com/thing",
            "containerEdits": {"env": ["ALL=1"]},
            "devices": [
                {
                    "name": "one",
                    "containerEdits": {
                        "env": ["THING=one"],
                        "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/fuse"}],
                        "mounts": [{"hostPath": str(tmp_path), "containerPath": "/thing"}],
                    },
                },
                {"name": "hooked", "containerEdits": {"hooks": [{"hookName": "x", "path": "/bin/true"}]}},
            ],
        }
        (tmp_path / "thing.json").write_text(json.dumps(spec))
        monkeypatch.setattr(yard.executor, "device_directories", (tmp_path,))
        return tmp_path

    async def test_a_device(self, yard: Yard, cdi: Path) -> None:
        script = "echo $ALL $THING; test -c /dev/thing; : < /dev/thing; ls /thing"
        target = sh(BUSYBOX, script, devices=(("example.com/thing=one", True),))
        assert await yard.build(target, allowed=self.ALLOWED) == {}
        assert yard.log == "1 one\nthing.json\n"

    async def test_what_is_not_there(self, yard: Yard, cdi: Path) -> None:
        name = "example.com/thing=two"
        with pytest.raises(BuildFailed, match=f"there is no device {name} here: no specification in {cdi}"):
            await yard.build(sh(BUSYBOX, "true", devices=((name, True),)), allowed=self.ALLOWED)
        await yard.build(sh(BUSYBOX, "true", devices=((name, False),)), allowed=self.ALLOWED)
        assert yard.log == f"there is no device {name} here; it is not required\n"

    async def test_hooks_and_rights(self, yard: Yard, cdi: Path) -> None:
        hooked = sh(BUSYBOX, "true", devices=(("example.com/thing=hooked", True),))
        with pytest.raises(BuildFailed, match="needs hooks, which builds do not run"):
            await yard.build(hooked, allowed=self.ALLOWED)
        with pytest.raises(BuildFailed, match=r"--device=example\.com/thing=hooked is not allowed"):
            await yard.build(hooked)

    async def test_a_bad_specification(self, yard: Yard, cdi: Path) -> None:
        (cdi / "bad.json").write_text("{")
        target = sh(BUSYBOX, "true", devices=(("example.com/thing=one", True),))
        with pytest.raises(BuildFailed, match=r"cannot read the device specification .*bad.json"):
            await yard.build(target, allowed=self.ALLOWED)
