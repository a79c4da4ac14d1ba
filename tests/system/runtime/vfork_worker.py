"""Clones that share memory, in a bare interpreter as the launcher is one. Prints what came of each trial."""

import gc
import marshal
import os
import sys

sys.path.insert(0, sys.argv[1])

from corten.errors import CortenError
from corten.linux import prctl, signals, vfork
from corten.linux.namespace import CLONE_NEWPID
from corten.runtime import execute_child
from corten.runtime.execute import spawn
from corten.runtime.operations import Plan

TRUE = (b"/bin/true", [b"true"], [])


def clone(run=lambda: TRUE, failed=lambda number: None, flags=0):
    """The wait status of one clone."""
    pid, pidfd = vfork.Shared(run, failed).clone(flags)
    os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def memory():
    """Resident pages that are this process's own."""
    with open("/proc/self/statm") as file:
        resident, shared = file.read().split()[1:3]
    return int(resident) - int(shared)


def raising(error):
    def run():
        raise error

    return run


def inject(plan, stdio, error):
    """Let each operation of the child fail in turn: the sentences of the errors."""
    messages = []
    for index, (name, *_rest) in enumerate(plan.child):
        count = -1

        def wrap(original, index=index):
            def operation(*arguments):
                nonlocal count
                count += 1
                if count == index:
                    raise error
                return original(*arguments)

            return operation

        before = dict(execute_child.HANDLERS)
        execute_child.HANDLERS.update({key: wrap(value) for key, value in before.items()})
        try:
            spawn(plan, stdio=stdio)
            messages.append((name, "no error"))
        except CortenError as failure:
            messages.append((name, failure.message))
        finally:
            execute_child.HANDLERS.update(before)
    return messages


def basics(plan, stdio):
    seen = []
    signals.set_handler(15, lambda number, frame: seen.append(number))

    def signalled():
        os.kill(os.getpid(), 15)
        signals.pthread_sigmask(signals.SIG_SETMASK, ())
        return TRUE

    def other_user():
        os.setresuid(65534, 65534, 65534)
        return TRUE

    def deep(depth=0):
        return TRUE if depth > 150 else deep(depth + 1)

    told = []
    return {
        "usable": vfork.usable(),
        "plain": clone(),
        "raises": [clone(raising(error)) for error in (OSError(5, "x"), MemoryError(), KeyboardInterrupt())],
        "recursion": clone(raising(RecursionError())),
        "deep": clone(deep),
        "failed raises": clone(lambda: (b"/no/such", [b"x"], []), raising(OSError())),
        "failed": clone(lambda: (b"/no/such", [b"x"], []), told.append),
        "told": told,
        "none": clone(lambda: None),
        "signalled": clone(signalled, flags=CLONE_NEWPID),
        "seen": seen,
        "other user": clone(other_user),
        "dumpable": prctl.prctl(prctl.PR_GET_DUMPABLE),
        "collects": gc.isenabled(),
        "blocked": sorted(signals.pthread_sigmask(signals.SIG_BLOCK, ())),
    }


def endurance(plan, stdio):
    errors = (OSError(5, "injected"), MemoryError("injected"), KeyboardInterrupt("injected"))
    messages = [inject(plan, stdio, error) for error in errors]
    for _ in range(50):
        clone()
    gc.collect()
    pages, fds = memory(), len(os.listdir("/proc/self/fd"))
    statuses = {clone() for _ in range(1000)}
    for _ in range(20):
        spawned = spawn(plan, stdio=stdio)
        os.close(spawned.pidfd)
        statuses.add(os.waitstatus_to_exitcode(os.waitpid(spawned.pid, 0)[1]))
    again = inject(plan, stdio, errors[0])
    gc.collect()
    return {
        "messages": messages,
        "again": again == messages[0],
        "statuses": sorted(statuses),
        "pages": memory() - pages,
        "fds": len(os.listdir("/proc/self/fd")) - fds,
    }


def killed(plan, stdio):
    def run():
        os.kill(os.getpid(), 9)
        return TRUE

    clone(run)
    return {"alive": True}


def unusable(plan, stdio):
    import _thread

    answers = {"before": vfork.usable()}
    os.environ["CORTEN_VFORK"] = "0"
    answers["switched off"] = vfork.usable()
    del os.environ["CORTEN_VFORK"]
    sys.setprofile(lambda *arguments: None)
    answers["profiled"] = vfork.usable()
    sys.setprofile(None)
    lock = _thread.allocate_lock()
    lock.acquire()
    _thread.start_new_thread(lock.acquire, ())
    answers["threads"] = vfork.usable()
    spawned = spawn(plan, stdio=stdio)
    answers["forked"] = os.waitstatus_to_exitcode(os.waitpid(spawned.pid, 0)[1])
    lock.release()
    return answers


def main():
    plan = Plan.from_primitive(marshal.loads(sys.stdin.buffer.read()))
    null = os.open("/dev/null", os.O_RDWR)
    trial = globals()[sys.argv[2]]
    result = trial(plan, (null, null, null))
    sys.stdout.buffer.write(marshal.dumps(result))


main()
