"""Completion scripts. Commands and flags are in the script; names of containers and the like are asked
for."""

from __future__ import annotations

from corten.cli import commands

# What the positional arguments of a command are: how the script asks for them.
_CONTAINERS = (
    *("attach", "commit", "cp", "diff", "export", "inspect", "container_inspect", "logs", "port", "rename"),
    *("restart", "rm", "start", "unpause", "update", "wait"),
)
_RUNNING = ("attach", "exec", "kill", "pause", "stop", "top", "stats")
_IMAGES = ("run", "create", "history", "images", "rmi", "save", "tag", "image_inspect")
_VOLUMES = ("volume_inspect", "volume_rm")
_NETWORKS = ("network_inspect", "network_rm", "network_connect", "network_disconnect")
_BUILDS = tuple(f"builder_history_{verb}" for verb in ("inspect", "logs", "rm", "trace"))
_QUERIES = {
    "containers": "ps -a --format '{{.Names}}'",
    "running": "ps --format '{{.Names}}'",
    "images": "images --format '{{.Repository}}:{{.Tag}}'",
    "volumes": "volume ls -q",
    "networks": "network ls --format '{{.Name}}'",
    "builds": "builder history ls --format '{{.Ref}}'",
}


def _kind(module: str) -> str:
    """The kind of object that a command's arguments are; empty for files or nothing."""
    for kind, modules in (
        ("running", _RUNNING),
        ("containers", _CONTAINERS),
        ("images", _IMAGES),
        ("volumes", _VOLUMES),
        ("networks", _NETWORKS),
        ("builds", _BUILDS),
    ):
        if module in modules:
            return kind
    return ""


def _every() -> list[tuple[str, str, str]]:
    """(words, module, summary) of every command."""
    found = []
    for _title, members in commands.GROUPS:
        for name, module, summary in members:
            found += [(name, module, summary)] if module else _every_in(name)
    return found


def _every_in(group: str) -> list[tuple[str, str, str]]:
    found = []
    for sub, module, summary in commands.SUBCOMMANDS[group]:
        name = f"{group} {sub}"
        found += [(name, module, summary)] if module else _every_in(name)
    return found


def _flags(module: str) -> list[tuple[str, str, str, str]]:
    """(long, short, kind, help) of a command's flags."""
    table = __import__(f"corten.cli.command.{module}", fromlist=("OPTIONS",)).OPTIONS
    flags = [(long, short, kind, text) for long, short, kind, _metavar, text in table]
    return [flag for flag in flags if not flag[3].startswith("(hidden)")] + [
        ("help", "", "bool", "Show this help")
    ]


def _flag_words(module: str) -> str:
    return " ".join(
        word
        for long, short, _kind, _text in _flags(module)
        for word in (f"--{long}", *((f"-{short}",) if short else ()))
    )


def _valued(module: str) -> str:
    """The flags that take a value: the word after one is not a positional."""
    return " ".join(
        word
        for long, short, kind, _text in _flags(module)
        if kind != "bool"
        for word in (f"--{long}", *((f"-{short}",) if short else ()))
    )


def bash() -> str:
    """The script for bash."""
    top = " ".join(name for _title, members in commands.GROUPS for name, _module, _summary in members)
    lines = ["# bash completion for corten", "", "_corten_flags() {", '    case "$1" in']
    lines += [f'        "{words}") echo "{_flag_words(module)}" ;;' for words, module, _text in _every()]
    lines += ["    esac", "}", "", "_corten_valued() {", '    case "$1" in']
    lines += [f'        "{words}") echo " {_valued(module)} " ;;' for words, module, _text in _every()]
    lines += ["    esac", "}", "", "_corten_names() {", '    case "$1" in']
    for words, module, _text in _every():
        if kind := _kind(module):
            lines.append(f'        "{words}") corten {_QUERIES[kind]} 2>/dev/null ;;')
    lines += ["    esac", "}", "", "_corten_sub() {", '    case "$1" in']
    for group, members in commands.SUBCOMMANDS.items():
        lines.append(f'        "{group}") echo "{" ".join(name for name, _module, _summary in members)}" ;;')
    return "\n".join([*lines, "    esac", "}", ""]) + _BASH.replace("@TOP@", top)


_BASH = r"""
_corten() {
    local current=${COMP_WORDS[COMP_CWORD]} command="" group="" positionals=0 index=1 word valued=""
    COMPREPLY=()
    while ((index < COMP_CWORD)); do
        word=${COMP_WORDS[index]}
        if [[ $word == -* ]]; then
            if [[ -z $command ]]; then
                [[ $word == -H || $word == --host ]] && ((index++))
            elif [[ $valued == *" $word "* ]]; then
                ((index++))
            fi
        elif [[ -z $command ]]; then
            if [[ -n $(_corten_sub "${group:+$group }$word") ]]; then
                group=${group:+$group }$word
            else
                command=${group:+$group }$word
                valued=$(_corten_valued "$command")
            fi
        else
            ((positionals++))
        fi
        ((index++))
    done
    if [[ -z $command && -n $group ]]; then
        COMPREPLY=($(compgen -W "$(_corten_sub "$group")" -- "$current"))
    elif [[ -z $command ]]; then
        COMPREPLY=($(compgen -W "@TOP@ --help --host --version" -- "$current"))
    elif [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$(_corten_flags "$command")" -- "$current"))
    elif [[ $valued == *" ${COMP_WORDS[COMP_CWORD-1]} "* ]]; then
        COMPREPLY=($(compgen -f -- "$current"))
    else
        case "$command" in
            run|exec|create|"container run"|"container exec"|"container create")
                ((positionals > 0)) && { COMPREPLY=($(compgen -f -- "$current")); return; } ;;
            completion) COMPREPLY=($(compgen -W "bash zsh fish" -- "$current")); return ;;
            "image bootstrap") COMPREPLY=($(compgen -W "busybox debian" -- "$current")); return ;;
        esac
        local IFS=$'\n'
        COMPREPLY=($(compgen -W "$(_corten_names "$command")" -- "$current"))
        [[ ${#COMPREPLY[@]} -eq 0 ]] && COMPREPLY=($(compgen -f -- "$current"))
    fi
    declare -F __ltrim_colon_completions >/dev/null && __ltrim_colon_completions "$current"
}
complete -o bashdefault -o default -F _corten corten
"""


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def zsh() -> str:
    """The script for zsh."""
    lines = ["#compdef corten", "# zsh completion for corten", "", "_corten_top=("]
    for _title, members in commands.GROUPS:
        lines += [
            f"    {_quoted(f'{name}:{summary}'.replace('`', ''))}" for name, _module, summary in members
        ]
    lines += [")", "", "_corten_arguments() {", '    case "$1" in']
    for words, module, _text in _every():
        specs = []
        for long, short, kind, text in _flags(module):
            star = "*" if kind == "list" else ""
            equals, value = ("", "") if kind == "bool" else ("=", ":value:_files")
            text = text.replace("[", "(").replace("]", ")").replace(":", " -")
            specs.append(_quoted(f"{star}--{long}{equals}[{text}]{value}"))
            if short:
                specs.append(_quoted(f"{star}-{short}[{text}]{value}"))
        action = f"_corten_{_kind(module)}" if _kind(module) else "_files"
        specs.append(_quoted(f"*:argument:{action}"))
        lines.append(f'        "{words}") _arguments -s {" ".join(specs)} ;;')
    lines += ["    esac", "}", ""]
    for kind, query in _QUERIES.items():
        lines += [
            f"_corten_{kind}() {{",
            f'    local -a names; names=(${{(f)"$(corten {query} 2>/dev/null)"}})',
            "    compadd -a names",
            "}",
        ]
    lines.append(_ZSH_HEAD)
    for group, members in commands.SUBCOMMANDS.items():
        if " " not in group:
            lines += _zsh_group(group, members)
    lines += ["    esac", '    case "${group}${words[2]}" in']
    for group, members in commands.SUBCOMMANDS.items():
        if " " in group:
            lines += _zsh_group(group, members)
    lines.append(_ZSH_TAIL)
    return "\n".join(lines)


def _zsh_group(group: str, members: tuple[tuple[str, str, str], ...]) -> list[str]:
    subs = " ".join(_quoted(f"{name}:{summary}") for name, _module, summary in members)
    return [
        f'        "{group}")',
        f"            subs=({subs})",
        "            if ((CURRENT == 3)); then _describe command subs; return; fi",
        '            group="$group${words[2]} "; shift words; ((CURRENT--)) ;;',
    ]


_ZSH_HEAD = """
_corten() {
    local group
    local -a subs
    if ((CURRENT == 2)); then _describe command _corten_top; return; fi
    case "${words[2]}" in"""
_ZSH_TAIL = """    esac
    local command="${group}${words[2]}"
    shift words; ((CURRENT--))
    _corten_arguments "$command"
}

_corten "$@"
"""


def fish() -> str:
    """The script for fish."""
    lines = ["# fish completion for corten", "complete -c corten -f"]
    names = [name for _title, members in commands.GROUPS for name, _module, _summary in members]
    lines.append(f"set -l commands {' '.join(names)}")
    for _title, members in commands.GROUPS:
        for name, _module, summary in members:
            lines.append(
                f"complete -c corten -n 'not __fish_seen_subcommand_from {' '.join(names)}' -a {name}"
                f" -d {_quoted(summary)}"
            )
    for group, members in commands.SUBCOMMANDS.items():
        subs = " ".join(name for name, _module, _summary in members)
        seen = "; and ".join(f"__fish_seen_subcommand_from {part}" for part in group.split(" "))
        for name, _module, summary in members:
            lines.append(
                f"complete -c corten -n '{seen};"
                f" and not __fish_seen_subcommand_from {subs}' -a {name} -d {_quoted(summary)}"
            )
    for words, module, _text in _every():
        parts = words.split(" ")
        condition = "; and ".join(f"__fish_seen_subcommand_from {part}" for part in parts)
        for long, short, kind, text in _flags(module):
            line = f"complete -c corten -n '{condition}' -l {long}"
            if short:
                line += f" -s {short}"
            if kind != "bool":
                line += " -r -F"
            lines.append(f"{line} -d {_quoted(text)}")
        if kind_name := _kind(module):
            query = _QUERIES[kind_name].replace("'", '"')
            lines.append(f"complete -c corten -n '{condition}' -a '(corten {query} 2>/dev/null)'")
    return "\n".join([*lines, ""])
