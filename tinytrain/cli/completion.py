"""`tinytrain completion`: what lets a shell complete commands and options."""

from __future__ import annotations

from typing import Annotated, Literal

import typer

HOW = {
    "bash": 'eval "$(tinytrain completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(tinytrain completion zsh)" in ~/.zshrc',
    "fish": "tinytrain completion fish > ~/.config/fish/completions/tinytrain.fish",
}


def completion(shell: Annotated[Literal["bash", "zsh", "fish"], typer.Argument(help="Which shell.")]) -> None:
    """Print a script for a shell: put `eval "$(tinytrain completion bash)"` into ~/.bashrc, or the like."""
    from typer.completion import get_completion_script

    typer.echo(f"# {HOW[shell]}")
    typer.echo(get_completion_script(prog_name="tinytrain", complete_var="_TINYTRAIN_COMPLETE", shell=shell))
