"""`he-fsm completion`: what completes command lines in bash, zsh and fish, as click writes it."""

from __future__ import annotations

from typing import Final, Optional

import click
from click.shell_completion import ShellComplete, get_completion_class

from he_fsm.cli.completion.original import script_of
from he_fsm.cli.running import variable_of
from he_fsm.errors import HeFsmError

SHELLS: Final = ("bash", "zsh", "fish")
# By click, which asks the program itself with each key; all else of them is at hand already.
_OWN: Final = ("he-fsm", "he-fsm-agent", "he-fsm-broker")
# zsh runs a file of its `fpath` with each Tab, and says `loadautofunc` with the first one alone: by
# click's own words, the second Tab completes nothing. Source: click 8.1.8 with zsh 5.9.
_FIRST_CALL: Final = "$zsh_eval_context[-1] == loadautofunc"
_EACH_CALL: Final = "$zsh_eval_context[-1] == (loadautofunc|shfunc)"
# Its options are not click's: all its words are in the script.
_ORIGINAL: Final = "hosted-engine"
PROGRAMS: Final = (*_OWN, _ORIGINAL)


_BY_HAND: Final = """\b
By hand:
bash: source <(he-fsm completion bash), in ~/.bashrc
zsh:  source <(he-fsm completion zsh), in ~/.zshrc, after compinit
fish: he-fsm completion fish > ~/.config/fish/completions/he-fsm.fish
"""


@click.command(epilog=_BY_HAND)
@click.argument("shell", type=click.Choice(SHELLS))
@click.argument("program", type=click.Choice(PROGRAMS), required=False)
def completion(shell: str, program: Optional[str]) -> None:
    """
    Print what completes command lines in a shell: commands, options, files, host ids.

    Without PROGRAM, of all of he_fsm's own commands; hosted-engine has to be named, since a host
    may have the original one. Packages bring these files, so that nothing has to be done.
    """
    programs = _OWN if program is None else (program,)
    click.echo("\n".join(source_of(shell, each) for each in programs), nl=False)


def source_of(shell: str, program: str) -> str:
    """
    Return what completes one program in a shell; zsh loads it also from a file of its `fpath`.

    Raises:
        HeFsmError: click knows no such shell.
    """
    if program == _ORIGINAL:
        return script_of(shell)
    kind = get_completion_class(shell)
    if kind is None:
        msg = f"no completion is known for {shell}; known: {', '.join(SHELLS)}"
        raise HeFsmError(msg)
    made = kind(click.Command(program), {}, program, variable_of(program))
    # As of all shells: that of bash asks the bash of this machine for its version first.
    script = ShellComplete.source(made).strip()
    return f"{script.replace(_FIRST_CALL, _EACH_CALL)}\n"
