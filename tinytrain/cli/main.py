"""The `tinytrain` command: its commands, and the one place that turns errors into messages and exit codes.

Nothing heavy is imported here or at the top of a command's file, so that `--help` answers at once.
"""

from __future__ import annotations

import codecs
import io
import os
import select
import signal
import sys
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Annotated, Any

import typer

from tinytrain.cli import (
    check,
    compare,
    completion,
    config_schema,
    doctor,
    evaluate,
    export,
    finetune,
    grid,
    inspect_conv,
    listing,
    new,
    predict,
    selfcheck,
    sweep,
    train,
    verify,
)
from tinytrain.errors import Interrupted, StorageError, TinytrainError

OK, USAGE, INTERRUPTED = 0, 2, 130
READER_GONE = 141  # what a shell reports for a program that its pipe's reader left, as in `... | head`

COMPLETION = "_TINYTRAIN_COMPLETE"
"""The variable by which the scripts of `tinytrain completion` ask how a line could go on."""

# Typer's own copy of Click's class, whose place in Typer is private.
_CommandLineError: Any = typer.BadParameter.__base__


app = typer.Typer(
    name="tinytrain",
    help="Train, evaluate and compare small convolutional image classifiers from one YAML file.",
    epilog="KEY=VALUE overrides a key of the config by its dotted path, as in train.optimizer.lr=0.05.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _top(
    ctx: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an error too; works after a command as well.")
    ] = False,
) -> None:
    if version:
        from tinytrain import __version__

        typer.echo(__version__)
        raise typer.Exit
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


app.command("train")(train.train)
app.command("finetune")(finetune.finetune)
app.command("evaluate")(evaluate.evaluate)
app.command("predict")(predict.predict)
app.command("inspect-conv")(inspect_conv.inspect_conv)
app.command("export")(export.export)
app.command("compare")(compare.compare)
app.command("grid")(grid.grid)
app.command("check")(check.check)
app.command("sweep")(sweep.sweep)
app.command("verify-resume")(verify.verify_resume)
app.command("selfcheck")(selfcheck.selfcheck)
app.command("list")(listing.list_)
app.command("new")(new.new)
app.command("config-schema")(config_schema.config_schema)
app.command("completion")(completion.completion)
app.command("doctor")(doctor.doctor)


def main() -> None:
    """Run the command line on the program's arguments and leave with its exit code."""
    signal.signal(signal.SIGTERM, _stop)
    if COMPLETION in os.environ:
        _complete()
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code.

    An error that the user can mend becomes one line on stderr. Anything else is our bug and keeps its
    traceback.

    Args:
        arguments: without the program's name.

    Returns:
        0 done; 2 usage or config; 3 data or weights; 4 input or output; 130 interrupted, 143 terminated.
    """
    debug = "--debug" in arguments
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("as-can-be", _as_can_be)
        sys.stdout.reconfigure(errors="as-can-be")
    command = typer.main.get_command(app)
    try:
        with command.make_context("tinytrain", [a for a in arguments if a != "--debug"]) as context:
            command.invoke(context)
        sys.stdout.flush()
        return OK
    except typer.Exit as leaving:
        return leaving.exit_code
    except _CommandLineError as error:
        return _fail(" ".join(error.format_message().split()), USAGE, debug)
    except TinytrainError as error:
        return _fail(str(error), error.exit_code, debug)
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _has_no_reader():
            _let_go_of_stdout()
            return READER_GONE
        try:
            sys.stdout.flush()
        except OSError:
            _let_go_of_stdout()
        return _fail(_describe(error), StorageError.exit_code, debug)
    except MemoryError as error:
        from tinytrain.device import memory_message

        return _fail(memory_message(error), StorageError.exit_code, debug)
    except Interrupted as error:
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED


def _as_can_be(error: UnicodeError) -> tuple[bytes, int]:
    """Write a byte of a file's name that is no UTF-8 as it is, and a question mark for what the encoding lacks."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    character = ord(error.object[error.start])
    return bytes([character - 0xDC00]) if 0xDC80 <= character <= 0xDCFF else b"?", error.start + 1


def _complete() -> None:
    """Answer a shell that asks how a line could go on."""
    from typer.completion import completion_init

    completion_init()
    typer.main.get_command(app)(prog_name="tinytrain")


def _stop(number: int, frame: FrameType | None) -> None:
    """End as after Ctrl-C: what is half written is removed on the way."""
    raise Interrupted(number)


def _fail(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"error: {message}", file=sys.stderr)
    return code


def _describe(error: OSError) -> str:
    """Return a file's trouble as `place: reason`."""
    reason = error.strerror or str(error)
    place = error.filename2 or error.filename
    return reason if place is None else f"{os.fsdecode(place)}: {reason}"


def _has_no_reader() -> bool:
    """Return whether nobody reads any more what is written to stdout, as far as the system tells."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(sys.stdout.fileno(), 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _let_go_of_stdout() -> None:
    """Throw away what cannot be written, so that the interpreter does not complain when it flushes at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
