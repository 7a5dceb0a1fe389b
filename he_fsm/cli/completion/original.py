"""
Completion of `hosted-engine`, which does not read its words by click.

The words that may follow are known beforehand, so the shell needs no process to complete them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from he_fsm.cli.hosted_engine import HELP, words_of
from he_fsm.runtime.config.ovirt.shared import TYPES

# What stands for a value in the words of a command, and the values that there are.
_VALUES: Mapping[str, Sequence[str]] = {"TYPE": TYPES}


def follow_ups() -> dict[str, list[str]]:
    """Return by command what may follow it; what ends with `=` takes a value of its own."""
    found = {name: _options(words) for name, words in words_of().items()}
    return {**found, HELP: [name.lstrip("-") for name in found]}


def _options(words: str) -> list[str]:
    """Return the options that the words of a command name, with their values where they are few."""
    found = []
    for option, value in re.findall(r"(--[a-z-]+)(=[^\]\s]+)?", words):
        name = value.lstrip("=")
        if name == "PASSWORD":
            # Every user of the host could read it.
            continue
        if name.startswith("<"):
            found += [f"{option}={each}" for each in name.strip("<>").split("|")]
        elif name in _VALUES:
            found += [f"{option}={each}" for each in _VALUES[name]]
        else:
            found.append(f"{option}=" if name else option)
    return found


def script_of(shell: str) -> str:
    """Return what completes `hosted-engine` in bash, zsh or fish."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell](follow_ups())


def _cases(after: Mapping[str, Sequence[str]], line: str) -> str:
    return "\n".join(
        line.format(name=name, words=" ".join(words)) for name, words in after.items() if words
    )


def _bash(after: Mapping[str, Sequence[str]]) -> str:
    return f"""\
_hosted_engine_completion() {{
    local IFS=$' \\t\\n' line=${{COMP_LINE:0:COMP_POINT}} words= current
    local typed=($line)
    current=
    [[ $line == *[[:space:]] ]] || current=${{typed[${{#typed[@]}}-1]}}
    if [[ ${{#typed[@]}} -eq 1 || ${{#typed[@]}} -eq 2 && -n $current ]]; then
        words='{" ".join(after)}'
    else
        case ${{typed[1]}} in
{_cases(after, "            {name}) words='{words}' ;;")}
        esac
    fi
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    # bash takes what follows = for a word of its own.
    if [[ $current == *=* && $COMP_WORDBREAKS == *=* ]]; then
        COMPREPLY=("${{COMPREPLY[@]#"${{current%%=*}}="}}")
        [[ $current == --vm-conf=* ]] && COMPREPLY=($(compgen -f -- "${{current#*=}}"))
    elif [[ ${{#COMPREPLY[@]}} -eq 1 && ${{COMPREPLY[0]}} == *= ]]; then
        compopt -o nospace
    fi
}}

complete -F _hosted_engine_completion hosted-engine
"""


def _zsh(after: Mapping[str, Sequence[str]]) -> str:
    return f"""\
#compdef hosted-engine

_hosted_engine_completion() {{
    local -a follow
    if (( CURRENT == 2 )); then
        follow=({" ".join(after)})
    else
        case $words[2] in
{_cases(after, "            {name}) follow=({words}) ;;")}
        esac
    fi
    if [[ $PREFIX == --vm-conf=* ]]; then
        compset -P 1 '*='
        _files
        return
    fi
    compadd -S '' -- ${{(M)follow:#*=}}
    compadd -- ${{follow:#*=}}
}}

if [[ $zsh_eval_context[-1] == (loadautofunc|shfunc) ]]; then
    _hosted_engine_completion "$@"
else
    compdef _hosted_engine_completion hosted-engine
fi
"""


_FISH_CASE = """\
        case {name}
            printf '%s\\n' {words}"""


def _fish(after: Mapping[str, Sequence[str]]) -> str:
    return f"""\
function _hosted_engine_completion
    set -l typed (commandline -opc)
    if test (count $typed) -eq 1
        printf '%s\\n' {" ".join(after)}
        return
    end
    switch $typed[2]
{_cases(after, _FISH_CASE)}
    end
end

complete --no-files --command hosted-engine --arguments "(_hosted_engine_completion)"
complete --force-files --command hosted-engine --condition \
'string match -q -- "--vm-conf=*" (commandline -ct)'
"""
