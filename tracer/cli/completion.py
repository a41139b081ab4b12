"""Completion scripts for bash, zsh and fish, made of the table of options.

They hold all there is to complete, so that no Python runs while somebody types.
"""

from __future__ import annotations

from tracer.cli.options import COMMANDS, Command, Option, value_options


def script(shell: str) -> str:
    """The script for a shell, to be evaluated in its start-up file."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _words(option: Option) -> str | None:
    """What completes the value of an option: words, `files`, or nothing."""
    if isinstance(option.completes, tuple):
        return " ".join([str(word) for word in option.completes])
    return option.completes


# bash ---------------------------------------------------------------------------------------------


def _bash() -> str:
    names = " ".join([command.name for command in COMMANDS])
    cases = "\n".join([_bash_case(command) for command in COMMANDS])
    return f"""\
# eval "$(tracer completion bash)"
_tracer() {{
    local current="${{COMP_WORDS[COMP_CWORD]}}" previous="${{COMP_WORDS[COMP_CWORD-1]}}"
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{names} --help" -- "$current"))
        return
    fi
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
}}
complete -o default -F _tracer tracer"""


def _bash_case(command: Command) -> str:
    options = value_options(command)
    lines = [f"        {command.name})", '            case "$previous" in']
    for option in options:
        if option.takes_value:
            words = _words(option)
            reply = "return" if words in (None, "files") else _bash_reply(words) + "; return"
            lines.append(f"                {'|'.join(option.flags)}) {reply} ;;")
    lines.append("            esac")
    flags = " ".join([flag for option in options for flag in option.flags])
    lines.append('            if [[ "$current" == -* ]]; then')
    lines.append(f"                {_bash_reply(flags + ' --help')}")
    positional = [o for o in command.options if isinstance(o.completes, tuple) and o not in options]
    for option in positional:
        lines.append(f"            else\n                {_bash_reply(_words(option))}")
    lines.extend(["            fi", "            ;;"])
    return "\n".join(lines)


def _bash_reply(words: str | None) -> str:
    return f'COMPREPLY=($(compgen -W "{words}" -- "$current"))'


# zsh ----------------------------------------------------------------------------------------------


def _zsh() -> str:
    names = "\n".join([f"        {_quoted(f'{c.name}:{_escaped(c.summary)}')}" for c in COMMANDS])
    cases = "\n".join([_zsh_case(command) for command in COMMANDS])
    return f"""\
# eval "$(tracer completion zsh)"
_tracer() {{
    local -a commands
    commands=(
{names}
    )
    if (( CURRENT == 2 )); then
        _describe command commands
        return
    fi
    local command="$words[2]"
    shift words
    (( CURRENT-- ))
    case "$command" in
{cases}
    esac
}}
compdef _tracer tracer"""


def _zsh_case(command: Command) -> str:
    specs = [_zsh_spec(option) for option in (*command.options, *value_options(command)[-1:])]
    return f"        {command.name}) _arguments {' '.join(specs)} ;;"


def _zsh_spec(option: Option) -> str:
    words = _words(option)
    action = "_files" if words == "files" else f"({words})" if words else " "
    label = _escaped(option.help)
    if not option.flags[0].startswith("-"):
        optional = ":" if option.settings.get("nargs") == "?" else ""
        return _quoted(f":{optional}{label}:{action}")
    value = f":value:{action}" if option.takes_value else ""
    repeated = "*" if option.settings.get("action") == "append" else ""
    specs = [_quoted(f"{repeated}{flag}[{label}]{value}") for flag in option.flags]
    return " ".join(specs)


def _escaped(text: str) -> str:
    for char in "\\:[]":
        text = text.replace(char, "\\" + char)
    return text


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# fish ---------------------------------------------------------------------------------------------


def _fish() -> str:
    lines = ["# tracer completion fish | source"]
    for command in COMMANDS:
        lines.append(
            f"complete -c tracer -n __fish_use_subcommand -f -a {command.name} -d {_fish_quoted(command.summary)}"
        )
    for command in COMMANDS:
        seen = f"-n '__fish_seen_subcommand_from {command.name}'"
        for option in (*command.options, *value_options(command)[-1:]):
            words = _words(option)
            parts = ["complete -c tracer", seen]
            for flag in option.flags:
                if flag.startswith("--"):
                    parts.append(f"-l {flag[2:]}")
                elif flag.startswith("-"):
                    parts.append(f"-s {flag[1:]}")
            if not option.flags[0].startswith("-"):
                if words in (None, "files"):
                    continue
                parts.append(f"-f -a {_fish_quoted(words or '')}")
            elif option.takes_value:
                parts.append("-r" if words in (None, "files") else f"-x -a {_fish_quoted(words or '')}")
            parts.append(f"-d {_fish_quoted(option.help)}")
            lines.append(" ".join(parts))
    return "\n".join(lines)


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
