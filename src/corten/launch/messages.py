"""What the engine, the launcher and a monitor say to each other: tuples by marshal over SOCK_SEQPACKET.

One packet is one message; its first item is its kind. A message that would not fit into a packet travels in
a memfd whose descriptor comes along. marshal is enough because both ends are the same interpreter of the same
version, on one machine, and nobody else can reach an inherited or a 0600 socket; it needs no import.

Both the engine and the launcher load this module: it imports nothing but builtins.

Engine to launcher::

    (LAUNCH, settings: tuple)             settings: see SETTINGS; fds: control socket, stdio fds,
    attachments' fds
    (REHEARSE, plan)                      no fds: a container that does nothing, to warm up with
    (NEXT, namespaces: bool)              no fds: whether spares are to have new namespaces from now on

Engine to a spare, over the socket that the launcher gave it: LAUNCH, as to the launcher.

Spare to engine, over the same::

    (READY, pid)                          its starter's; it will sleep now

Engine to starter, over the control socket, which is the monitor's from then on::

    (PLAN, plan)                          what to make; the end instead: nothing

Engine to monitor::

    (START,)                              release a container that holds before its exec
    (ATTACH, handle, flags, detach_keys)  fd: the client's socket; flags: see ATTACH_*
    (DETACH, handle)                      drop a client
    (RESIZE, serial, rows, columns)
    (REOPEN, serial)                      rotate the log now
    (TAKE_CONSOLE, serial)                the terminal's master, to pass on to a client

Starter to monitor, in this order::

    (RUNNING, state, resources, cgroup)   what the monitor will own; see monitor.Monitor. fds: one for each of
    resources, and the attachments'. The process does not exist yet
    (MOUNTS,)                             from the process itself; fd: its mount namespace, if it is a new one
    (CREATED, pid)                        PID 1 holds; fds: its pidfd, the terminal's master if there is one
    (STARTED, started_at_ns, pid)         exec has happened; fds as with CREATED, if that was not sent
    (FAILED, error class, message)        instead of any of these: there will be no process

Launcher to engine::

    (READY, pid)                          it takes requests now
    (SPARE, namespaces: bool)             a monitor that waits for a request; fd: the socket to it

Monitor to engine::

    (HELLO, state: tuple)                 first message on a connection to monitor.sock; fd: the pidfd
    (CREATED, pid)                        PID 1 exists, and will hold; fd: its pidfd
    (STARTED, started_at_ns, pid)         exec has happened; fd: its pidfd, if CREATED was not sent
    (FAILED, error class, message)        it could not be started; nothing is left behind
    (DETACHED, handle, reason)            an attached client is gone: see DETACHED_*
    (REPLY, serial, error message or "")  TAKE_CONSOLE: fd: the master
    (EXITED, code, signal, oom_killed, finished_at_ns, error)
"""

from __future__ import annotations

LAUNCH = 1
START = 2
ATTACH = 3
DETACH = 4
RESIZE = 5
REOPEN = 6
TAKE_CONSOLE = 7

HELLO = 32
CREATED = 33
STARTED = 34
FAILED = 35
DETACHED = 36
REPLY = 37
EXITED = 38
READY = 39
RUNNING = 40
REHEARSE = 41
PLAN = 42
MOUNTS = 43
SPARE = 44
NEXT = 45

ATTACH_STDIN = 1
ATTACH_STDOUT = 2
ATTACH_STDERR = 4
ATTACH_MUX = 8

DETACHED_BY_KEYS = "keys"
DETACHED_CLOSED = "closed"  # the client went away, or the engine dropped it
DETACHED_EXITED = "exited"  # the container ended and all of its output was delivered

STDIO_MONITOR = 0
STDIO_FDS = 1
STDIO_NULL = 2

# A packet larger than this goes by memfd: SO_SNDBUF is 208 KiB by default, and a packet must fit into it
# whole.
PACKET_LIMIT = 96 * 1024
MAX_FDS = 250  # SCM_MAX_FD is 253

# The items of LAUNCH's settings, in order.
SETTINGS = (
    "container_id",
    "run_dir",
    "log_path",
    "stdio",
    "tty",
    "open_stdin",
    "stdin_once",
    "hold",
    "log_max_size",
    "log_max_file",
    "attachments",  # of (handle, flags, detach_keys), whose sockets are the last fds
    "files",  # (path, content) of what the process's mounts need
    "bound",  # it ends with the engine's connection, and its mounts with it
    "cgroup",  # directories that the plan will most likely need: made while it is waited for
    "joins",  # into a running container: it has its namespaces already
)
