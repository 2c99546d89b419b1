"""`crosstask completion bash|zsh`: a script for the shell, from the tables of commands and recipes."""

from crosstask.cli.arguments import CommandParser
from crosstask.cli.declared import architectures

BASH = """\
# crosstask completion for bash: eval "$(crosstask completion bash)"
_crosstask() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" command="${{COMP_WORDS[1]}}"
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{commands}" -- "$word"))
    elif [ "$COMP_CWORD" -eq 2 ]; then
        case "$command" in
            train|info) COMPREPLY=($(compgen -W "{recipes}" -- "$word") $(compgen -f -- "$word")) ;;
            completion) COMPREPLY=($(compgen -W "bash zsh" -- "$word")) ;;
            *) COMPREPLY=($(compgen -f -- "$word")) ;;
        esac
    else
        case "${{COMP_WORDS[COMP_CWORD-1]}}" in
            --architecture) COMPREPLY=($(compgen -W "{architectures}" -- "$word")) ;;
            *) COMPREPLY=($(compgen -f -- "$word")) ;;
        esac
    fi
}}
complete -o filenames -F _crosstask crosstask
"""
ZSH = """\
#compdef crosstask
# crosstask completion for zsh: eval "$(crosstask completion zsh)"
_crosstask() {{
    local -a commands recipes architectures
    commands=(
{described}
    )
    recipes=({recipes})
    architectures=({architectures})
    if (( CURRENT == 2 )); then
        _describe 'command' commands
    elif (( CURRENT == 3 )) && [[ $words[2] == (train|info) ]]; then
        compadd -a recipes
        _files
    elif (( CURRENT == 3 )) && [[ $words[2] == completion ]]; then
        compadd bash zsh
    elif [[ $words[CURRENT-1] == --architecture ]]; then
        compadd -a architectures
    else
        _files
    fi
}}
compdef _crosstask crosstask
"""


def script(shell: str) -> str:
    """The completion script of a shell ("bash" or "zsh"); static, so that completing is instant."""
    from crosstask.cli.main import COMMANDS
    from crosstask.recipes.catalogue import RECIPES

    described = "\n".join(
        f"        '{name}:{text.replace(chr(39), '').replace(':', ' ')}'"
        for name, (_, text) in COMMANDS.items()
    )
    return (BASH if shell == "bash" else ZSH).format(
        commands=" ".join(COMMANDS),
        described=described,
        recipes=" ".join(RECIPES),
        architectures=" ".join(architectures()),
    )


def main(argv: list[str]) -> int:
    parser = CommandParser(
        prog="crosstask completion",
        description='prints a completion script; put eval "$(crosstask completion bash)" into '
        "~/.bashrc, or the same with zsh into ~/.zshrc",
    )
    parser.add_argument("shell", choices=("bash", "zsh"))
    print(script(parser.parse_args(argv).shell), end="")
    return 0
