"""Every command: its module in `corten.cli.command`, and its line in the help. Constants only: this is start-
up."""

from __future__ import annotations

# group: (command, module, summary)
GROUPS: tuple[tuple[str, tuple[tuple[str, str, str], ...]], ...] = (
    (
        "Run containers",
        (
            ("run", "run", "Create a container from an image and run a command in it"),
            ("exec", "exec", "Run a command in a running container"),
            ("create", "create", "Create a container without starting it"),
            ("start", "start", "Start stopped containers"),
            ("stop", "stop", "Stop containers: ask, wait, kill"),
            ("restart", "restart", "Stop and start containers"),
            ("kill", "kill", "Send a signal to containers"),
            ("pause", "pause", "Freeze every process of containers"),
            ("unpause", "unpause", "Thaw paused containers"),
            ("wait", "wait", "Wait until containers stop, then print their exit codes"),
            ("attach", "attach", "Attach the terminal to a running container"),
            ("rm", "rm", "Remove containers"),
        ),
    ),
    (
        "Look at containers",
        (
            ("ps", "ps", "List containers"),
            ("logs", "logs", "Show the output of a container"),
            ("inspect", "inspect", "Show everything about containers, images, volumes and networks"),
            ("top", "top", "Show the processes of a container"),
            ("stats", "stats", "Show what containers use: CPU, memory, network, disk"),
            ("port", "port", "Show the published ports of a container"),
            ("diff", "diff", "Show what a container changed in its file system"),
            ("events", "events", "Show what happens in the engine, as it happens"),
        ),
    ),
    (
        "Change containers",
        (
            ("cp", "cp", "Copy files between a container and the host"),
            ("rename", "rename", "Rename a container"),
            ("update", "update", "Change the limits of running containers"),
            ("export", "export", "Write a container's file system as a tar archive"),
            ("commit", "commit", "Make an image from a container's changes"),
        ),
    ),
    (
        "Images",
        (
            ("images", "images", "List images"),
            ("build", "build", "Build an image from a Dockerfile"),
            ("pull", "pull", "Download an image from a registry"),
            ("push", "push", "Upload an image to a registry"),
            ("image", "", "Manage images (bootstrap makes one without internet)"),
            ("load", "load", "Load images from an archive"),
            ("save", "save", "Save images to an archive"),
            ("import", "import_", "Make an image from a root file system tar"),
            ("tag", "tag", "Give an image another name"),
            ("rmi", "rmi", "Remove images"),
            ("history", "history", "Show the layers of an image and how they were made"),
            ("builder", "", "Manage the build cache, look at past builds"),
        ),
    ),
    (
        "Registries",
        (
            ("login", "login", "Log in to a registry"),
            ("logout", "logout", "Log out from a registry"),
            ("search", "search", "Search a registry for images"),
            ("copy", "copy", "Copy images between registries, archives and layouts"),
            ("manifest", "", "Look at manifests, and make lists of several platforms"),
            ("registry", "", "Run a registry, and look after it"),
        ),
    ),
    (
        "Storage and networks",
        (
            ("volume", "", "Manage volumes"),
            ("network", "", "Manage networks"),
        ),
    ),
    (
        "The engine and this host",
        (
            ("info", "info", "Show the engine and the host"),
            ("version", "version", "Show the versions of client and engine"),
            ("system", "", "Disk usage, clean-up, events"),
            ("engine", "", "Run, stop and look at the engine"),
            ("doctor", "doctor", "Find what the host lacks, and how to mend it"),
            ("container", "", "Manage containers (the same commands, grouped as Docker has them)"),
            ("completion", "completion", "Print the completion script for a shell"),
        ),
    ),
)

# command: ((sub command, module, summary), ...); a sub command without a module is a group itself.
SUBCOMMANDS: dict[str, tuple[tuple[str, str, str], ...]] = {
    "container": (
        ("attach", "attach", "Attach the terminal to a running container"),
        ("commit", "commit", "Make an image from a container's changes"),
        ("cp", "cp", "Copy files between a container and the host"),
        ("create", "create", "Create a container without starting it"),
        ("diff", "diff", "Show what a container changed in its file system"),
        ("exec", "exec", "Run a command in a running container"),
        ("export", "export", "Write a container's file system as a tar archive"),
        ("inspect", "container_inspect", "Show everything about containers"),
        ("kill", "kill", "Send a signal to containers"),
        ("logs", "logs", "Show the output of a container"),
        ("ls", "ps", "List containers"),
        ("pause", "pause", "Freeze every process of containers"),
        ("port", "port", "Show the published ports of a container"),
        ("prune", "container_prune", "Remove all stopped containers"),
        ("rename", "rename", "Rename a container"),
        ("restart", "restart", "Stop and start containers"),
        ("rm", "rm", "Remove containers"),
        ("run", "run", "Create a container from an image and run a command in it"),
        ("start", "start", "Start stopped containers"),
        ("stats", "stats", "Show what containers use: CPU, memory, network, disk"),
        ("stop", "stop", "Stop containers: ask, wait, kill"),
        ("top", "top", "Show the processes of a container"),
        ("unpause", "unpause", "Thaw paused containers"),
        ("update", "update", "Change the limits of running containers"),
        ("wait", "wait", "Wait until containers stop, then print their exit codes"),
    ),
    "builder": (
        ("build", "build", "Build an image from a Dockerfile"),
        ("du", "builder_du", "Show what the build cache takes on disk"),
        ("history", "", "Look at builds that have ended: what they did, wrote and made"),
        ("prune", "builder_prune", "Remove what is in the build cache and not in use"),
    ),
    "builder history": (
        ("inspect", "builder_history_inspect", "Show everything about a build that has ended"),
        ("logs", "builder_history_logs", "Show what a build has told"),
        ("ls", "builder_history_ls", "List the builds that have ended"),
        ("rm", "builder_history_rm", "Forget builds"),
        ("trace", "builder_history_trace", "Write a build's steps as an OpenTelemetry trace"),
    ),
    "image": (
        ("bootstrap", "image_bootstrap", "Make a base image from the distribution's own packages"),
        ("build", "build", "Build an image from a Dockerfile"),
        ("browse", "image_browse", "Show the files of an image, and the layer each comes from"),
        ("history", "history", "Show the layers of an image and how they were made"),
        ("import", "import_", "Make an image from a root file system tar"),
        ("inspect", "image_inspect", "Show everything about images"),
        ("load", "load", "Load images from an archive"),
        ("ls", "images", "List images"),
        ("mount", "image_mount", "Show an image's files at a directory, read-only; or list such mounts"),
        ("prune", "image_prune", "Remove images that nothing uses"),
        ("pull", "pull", "Download an image from a registry"),
        ("push", "push", "Upload an image to a registry"),
        ("rm", "rmi", "Remove images"),
        ("save", "save", "Save images to an archive"),
        ("tag", "tag", "Give an image another name"),
        ("unmount", "image_unmount", "Take away what 'image mount' made"),
    ),
    "manifest": (
        ("annotate", "manifest_annotate", "Say which platform a manifest of a list is for"),
        ("create", "manifest_create", "Make a list of manifests, to be pushed"),
        ("inspect", "manifest_inspect", "Show a manifest or list, of a registry or of this host's lists"),
        ("push", "manifest_push", "Upload a list of manifests"),
        ("rm", "manifest_rm", "Remove lists of manifests from this host"),
    ),
    "registry": (
        ("backup", "registry_backup", "Write all that a registry knows to a file"),
        ("check", "registry_check", "Compare what a registry knows with what it stores"),
        ("gc", "registry_gc", "Delete what no image in a registry needs any more"),
        ("import", "registry_import", "Take over the storage directory of Docker's registry"),
        ("restore", "registry_restore", "Bring back what a backup holds"),
        ("serve", "registry_serve", "Run a registry in the foreground"),
        ("token", "", "Manage tokens for robots, and sign-ins that clients keep"),
        ("user", "", "Manage the users of a registry, and what they may do"),
    ),
    "registry token": (
        ("create", "registry_token_create", "Make a token for a robot, such as a CI job"),
        ("list", "registry_token_list", "List tokens, and sign-ins that clients keep"),
        ("rm", "registry_token_rm", "Revoke tokens, or end sign-ins"),
    ),
    "registry user": (
        ("add", "registry_user_add", "Add a user; the first one closes the registry to everybody else"),
        ("disable", "registry_user_disable", "Keep users from signing in, for now"),
        ("enable", "registry_user_enable", "Let disabled users sign in again"),
        ("grant", "registry_user_grant", "Allow a user (or everybody) more"),
        ("import", "registry_user_import", "Add the users of an htpasswd file"),
        ("list", "registry_user_list", "List users, and what they may do"),
        ("passwd", "registry_user_passwd", "Change a user's password"),
        ("revoke", "registry_user_revoke", "Allow a user (or everybody) less"),
        ("rm", "registry_user_rm", "Remove users"),
    ),
    "volume": (
        ("create", "volume_create", "Create a volume"),
        ("inspect", "volume_inspect", "Show everything about volumes"),
        ("ls", "volume_ls", "List volumes"),
        ("prune", "volume_prune", "Remove volumes that no container uses"),
        ("rm", "volume_rm", "Remove volumes"),
    ),
    "network": (
        ("connect", "network_connect", "Connect a container to a network"),
        ("create", "network_create", "Create a network"),
        ("disconnect", "network_disconnect", "Disconnect a container from a network"),
        ("inspect", "network_inspect", "Show everything about networks"),
        ("ls", "network_ls", "List networks"),
        ("prune", "network_prune", "Remove networks that no container uses"),
        ("rm", "network_rm", "Remove networks"),
    ),
    "system": (
        ("df", "system_df", "Show what images, containers and volumes take on disk"),
        ("events", "events", "Show what happens in the engine, as it happens"),
        ("fsck", "system_fsck", "Check everything that is stored, and repair it"),
        ("info", "info", "Show the engine and the host"),
        ("prune", "system_prune", "Remove everything that nothing uses"),
    ),
    "engine": (
        ("serve", "engine_serve", "Run the engine in the foreground"),
        ("start", "engine_start", "Start the engine in the background, if none runs"),
        ("status", "engine_status", "Tell whether the engine runs, where, and what it costs"),
        ("stop", "engine_stop", "Stop the engine; containers go on"),
    ),
}

# Other names that Docker's users type.
ALIASES: dict[str, dict[str, str]] = {
    "builder history": {"list": "ls", "remove": "rm"},
    "container": {"list": "ls", "ps": "ls", "remove": "rm"},
    "image": {"list": "ls", "remove": "rm"},
    "volume": {"list": "ls", "remove": "rm"},
    "network": {"list": "ls", "remove": "rm"},
    "registry token": {"ls": "list", "remove": "rm"},
    "registry user": {"ls": "list", "remove": "rm"},
}


def find(name: str) -> str | None:
    """The module of a top-level command; empty for a group of sub commands; None when there is no such
    command."""
    for _title, commands in GROUPS:
        for command, module, _summary in commands:
            if command == name:
                return module
    return None


def find_sub(group: str, name: str) -> str | None:
    """The module of a sub command; empty for a group; None when there is no such command."""
    name = ALIASES.get(group, {}).get(name, name)
    for command, module, _summary in SUBCOMMANDS[group]:
        if command == name:
            return module
    return None
