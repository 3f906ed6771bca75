"""`aumer completion`: a script for shell completion of commands, options and choices.

The script is static: it contains the parsers of this installation and runs nothing at a key press.
It must be created again after an update or after installing a plugin with commands.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aumer.cli.console import Console
from aumer.errors import EXIT_OK

_EPILOG = """\
    aumer completion bash >> ~/.bashrc                                    then open a new shell
    aumer completion zsh > "${fpath[1]}/_aumer"                           a folder of zsh's $fpath
    aumer completion fish > ~/.config/fish/completions/aumer.fish

Options, commands and values of a fixed set are completed; everywhere else, file names. Create the
script again after an update of aumer.
"""


@dataclass(frozen=True)
class Word:
    """An option: names, help, and allowed values (empty: any; None: takes no value)."""

    names: tuple[str, ...]
    help: str
    values: tuple[str, ...] | None


@dataclass(frozen=True)
class CommandLevel:
    """What may follow a command such as ``bench score``.

    Attributes:
        path: the words of the command, joined by blanks; empty for `aumer` itself.
        commands: subcommands with their help.
        options: its options.
        choices: values of its first positional argument, if they are fixed.
    """

    path: str
    commands: dict[str, str]
    options: tuple[Word, ...]
    choices: tuple[str, ...]


def levels(parser: argparse.ArgumentParser, path: tuple[str, ...] = ()) -> Iterator[CommandLevel]:
    """The levels of a parser and its subcommands."""
    commands: dict[str, str] = {}
    below: list[Iterator[CommandLevel]] = []
    options: list[Word] = []
    choices: tuple[str, ...] = ()
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            help_of = {one.dest: _line(one.help) for one in action._choices_actions}
            for name, other in action._name_parser_map.items():
                commands[name] = help_of.get(name, "")
                below.append(levels(other, (*path, name)))
        elif action.option_strings:
            given = None if action.nargs == 0 else tuple(map(str, action.choices or ()))
            options.append(Word(tuple(action.option_strings), _line(action.help), given))
        elif not choices and action.choices is not None:
            choices = tuple(map(str, action.choices))
    yield CommandLevel(" ".join(path), commands, tuple(options), choices)
    for one in below:
        yield from one


def _line(text: str | None) -> str:
    return " ".join((text or "").replace("%%", "%").split())


def bash(found: list[CommandLevel]) -> str:
    """A script for bash 3.2 or newer."""
    return f"""\
# bash completion of aumer; made by `aumer completion bash`
{_shared(found)}
_aumer() {{
  local IFS=$'\\n' # names of files hold blanks
  local current="${{COMP_WORDS[COMP_CWORD]}}" previous="" path="" word="" index candidates
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word="${{COMP_WORDS[index]}}"
    if _aumer_is_command "${{path:+$path }}$word"; then path="${{path:+$path }}$word"; fi
  done
  previous="${{COMP_WORDS[COMP_CWORD - 1]}}"
  # bash takes --format=json for three words.
  if [[ $current == = ]]; then
    current=""
  elif [[ $previous == = ]]; then
    previous="${{COMP_WORDS[COMP_CWORD - 2]}}"
  fi
  if candidates="$(_aumer_values "$path" "$previous")"; then
    if [[ -z $candidates ]]; then
      COMPREPLY=($(compgen -f -- "$current"))
    else
      COMPREPLY=($(IFS=" " && compgen -W "$candidates" -- "$current"))
    fi
    return
  fi
  candidates="$(_aumer_words "$path")"
  if [[ $current == -* ]]; then
    COMPREPLY=($(IFS=" " && compgen -W "$(_aumer_options "$path")" -- "$current"))
  elif [[ -n $candidates ]]; then
    COMPREPLY=($(IFS=" " && compgen -W "$candidates" -- "$current"))
  else
    COMPREPLY=($(compgen -f -- "$current"))
  fi
}}
complete -o filenames -F _aumer aumer
"""


def zsh(found: list[CommandLevel]) -> str:
    """A script for zsh: a file in $fpath, or for `source`."""
    return f"""\
#compdef aumer
# zsh completion of aumer; made by `aumer completion zsh`
{_shared(found)}
_aumer() {{
  local path_="" word candidates previous="${{words[CURRENT - 1]}}"
  local -i index
  for ((index = 2; index < CURRENT; index++)); do
    word="${{words[index]}}"
    if _aumer_is_command "${{path_:+$path_ }}$word"; then path_="${{path_:+$path_ }}$word"; fi
  done
  if candidates="$(_aumer_values "$path_" "$previous")"; then
    if [[ -z $candidates ]]; then _files; else compadd -- ${{=candidates}}; fi
    return
  fi
  candidates="$(_aumer_words "$path_")"
  if [[ ${{words[CURRENT]}} == -* ]]; then
    compadd -- ${{=$(_aumer_options "$path_")}}
  elif [[ -n $candidates ]]; then
    compadd -- ${{=candidates}}
  else
    _files
  fi
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then _aumer "$@"; else compdef _aumer aumer; fi
"""


def _shared(found: list[CommandLevel]) -> str:
    """Functions for bash and zsh: what may follow the words of a command."""
    commands = " | ".join(shlex.quote(one.path) for one in found if one.path)
    lines = ["_aumer_is_command() {", '  case "$1" in', f"    {commands}) return 0 ;;"]
    lines += ["  esac", "  return 1", "}", "_aumer_words() {", '  case "$1" in']
    for one in found:
        if words := (*one.commands, *one.choices):
            lines.append(f"    {shlex.quote(one.path)}) echo {shlex.quote(' '.join(words))} ;;")
    lines += ["  esac", "}", "_aumer_options() {", '  case "$1" in']
    for one in found:
        names = " ".join(name for option in one.options for name in option.names)
        lines.append(f"    {shlex.quote(one.path)}) echo {shlex.quote(names)} ;;")
    # Fails if the previous word takes no value.
    lines += ["  esac", "}", "_aumer_values() {", '  case "$1 $2" in']
    for one in found:
        for option in one.options:
            if option.values is not None:
                keys = " | ".join(shlex.quote(f"{one.path} {name}") for name in option.names)
                lines.append(f"    {keys}) echo {shlex.quote(' '.join(option.values))} ;;")
    lines += ["    *) return 1 ;;", "  esac", "}"]
    return "\n".join(lines)


def fish(found: list[CommandLevel]) -> str:
    """A script for fish 3 or newer."""
    commands = " ".join(shlex.quote(one.path) for one in found if one.path)
    lines = [
        "# fish completion of aumer; made by `aumer completion fish`",
        "function __aumer_path",
        "  set -l path",
        "  for word in (commandline -opc)[2..-1]",
        '    set -l longer (string trim -- "$path $word")',
        f"    if contains -- $longer {commands}",
        "      set path $longer",
        "    end",
        "  end",
        "  echo $path",
        "end",
        "function __aumer_at",
        '  test "$argv" = (__aumer_path)',
        "end",
    ]
    for one in found:
        begin = f"complete -c aumer -n {_fish(f'__aumer_at {one.path}'.rstrip())}"
        for name, help_of in one.commands.items():
            lines.append(f"{begin} -f -a {_fish(name)} -d {_fish(help_of)}")
        for name in one.choices:
            lines.append(f"{begin} -f -a {_fish(name)}")
        for option in one.options:
            names = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in option.names
            )
            value = "" if option.values is None else " -r"
            if option.values:
                value += f" -f -a {_fish(' '.join(option.values))}"
            lines.append(f"{begin} {names}{value} -d {_fish(option.help)}")
    return "\n".join(lines) + "\n"


def _fish(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


SHELLS = {"bash": bash, "zsh": zsh, "fish": fish}


def add_parser(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add ``completion`` to the command's parsers."""
    parser = commands.add_parser(
        "completion",
        parents=[common],
        help="print a script for shell completion of commands and options",
        description="Prints a script that lets bash, zsh or fish complete the commands and "
        "options of this installation.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("shell", choices=tuple(SHELLS), help="the shell")
    parser.set_defaults(run=_run, parser=parser)


def _run(args: argparse.Namespace, console: Console) -> int:
    from aumer.cli import command_parser

    console.data(SHELLS[args.shell](list(levels(command_parser()))))
    return EXIT_OK
