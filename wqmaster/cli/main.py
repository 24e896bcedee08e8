"""The command line: one file per command; commands contain no logic.

Exit codes: 0 success, 1 finished with failed jobs, 2 the campaign file or command line is wrong, 3
a service (database, engine, program) is missing, 130 stopped by Ctrl-C.
"""

import errno
import importlib
import logging
import os
import signal
import sys
from typing import Any

import click

import wqmaster
from wqmaster.cli.help import Verbs, plain
from wqmaster.cli.output import asked_for
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import WqmasterError
from wqmaster.system.this_command import this_command

_FULL = {errno.ENOSPC, errno.EDQUOT}

# Verb -> its module, or MODULE:FUNCTION if one module has several.
VERBS = {
    "run": "run",
    "serve": "serve",
    "check": "check",
    "doctor": "doctor",
    "smoke": "smoke",
    "audit": "audit",
    "status": "status",
    "factory": "factory",
    "failures": "failures",
    "parse": "parse",
    "reparse": "reparse",
    "rerun": "rerun",
    "pause": "control:pause",
    "resume": "control:resume",
    "drain": "control:drain",
    "reload": "control:reload",
    "cancel": "jobs:cancel",
    "retry": "jobs:retry",
    "block": "control:block",
    "unblock": "control:unblock",
    "reproduce": "reproduce",
    "import": "import_",
    "export": "export",
    "adopt": "adopt",
    "db": "db",
    "software": "software",
}


class _Verbs(Verbs):
    """Imports a command's module when the command is called, and reports errors in one line."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        # Errors use this output until the command has read its own options.
        ctx.obj = asked_for(args)
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            raise plain(error) from error

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module, _, function = VERBS[cmd_name].partition(":")
        found = importlib.import_module(f"wqmaster.cli.{module}")
        command: click.Command = getattr(found, function or "command")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        # These signals must unwind the stack, as Ctrl-C does, rather than kill the process.
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda number, _: sys.exit(128 + number))
        try:
            return super().invoke(ctx)
        except click.UsageError as error:
            shown = plain(error)
            ctx.obj.error(shown.format_message(), ErrorCode.USAGE, said=True)
            raise shown from error
        except click.ClickException as error:
            ctx.obj.error(error.format_message(), ErrorCode.USAGE, said=True)
            raise
        except WqmasterError as error:
            if ctx.params.get("verbose"):
                logging.getLogger(__name__).exception("the command failed")
            ctx.obj.error(error.message, error.code)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            ctx.obj.error("stopped", ErrorCode.INTERRUPTED)
            ctx.exit(130)
        except BrokenPipeError:
            # The program that reads our output has exited, as `head` does.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except OSError as error:
            # The cause can be another user's folder or a full disk; a traceback explains neither.
            if ctx.params.get("verbose"):
                logging.getLogger(__name__).exception("the command failed")
            place = f"{error.filename}: " if error.filename is not None else ""
            again = f"for details, run it as '{this_command()} -v {ctx.invoked_subcommand} ...'"
            code = ErrorCode.DISK_FULL if error.errno in _FULL else ErrorCode.SYSTEM_CALL_FAILED
            ctx.obj.error(f"{place}{error.strerror or error}; {again}", code)
            ctx.exit(3)


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(wqmaster.__version__, prog_name="wqmaster")
@click.option("-v", "--verbose", is_flag=True, help="Show the traceback of an error.")
def main(verbose: bool) -> None:
    """Run campaigns of many short chemistry calculations on documents in MongoDB.

    CAMPAIGN is a campaign file. Where a command's help has it in brackets, it may be left out:
    then it is ./campaign.yaml.
    """
    if verbose:
        logging.basicConfig()
