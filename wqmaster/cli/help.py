"""Help texts: each command's first sentence is printed in full, even on a narrow terminal."""

import difflib
from typing import Any

import click

from wqmaster.system.this_command import this_command

# Longer than the first sentence of any help text, so none is cut.
_MAX_HELP_CHARACTERS = 1000
# The key of click's `meta` that holds the words after the command's name.
WORDS_KEY = "wqmaster.words"


def plain(error: click.UsageError) -> click.UsageError:
    """An error on the command line with a message like those of wqmaster: one line, no period."""
    if isinstance(error, click.NoSuchOption):
        near = difflib.get_close_matches(error.option_name, error.possibilities or (), n=1)
        hint = f"; did you mean '{near[0]}'?" if near else ""
        text = f"unknown option '{error.option_name}'{hint}"
    elif isinstance(error, (click.BadParameter, click.BadOptionUsage)):
        text = " ".join(error.format_message().split()).removesuffix(".")
        text = text[:1].lower() + text[1:].replace(". Choose from:", "; choose from:")
    elif error.message.startswith("Got unexpected extra argument"):
        text = error.message[:1].lower() + error.message[1:]
    else:
        return error
    return click.UsageError(text, error.ctx)


class Verbs(click.Group):
    """A group of commands whose help prints the first sentence of each in full."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Make the context; usage messages name the command as the user called it."""
        if parent is None:
            info_name = this_command()
        return super().make_context(info_name, args, parent, **extra)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with full sentences, which click would cut to the terminal's width."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, verb.get_short_help_str(_MAX_HELP_CHARACTERS))
                    for name, verb in found
                    if verb
                ]
            )

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; an unknown one is answered with the nearest."""
        known = self.list_commands(ctx)
        if args and not args[0].startswith("-") and args[0] not in known:
            from wqmaster.campaign.models import nearest

            ctx.fail(f"unknown command '{args[0]}'; {nearest(args[0], known)}")
        ctx.meta[WORDS_KEY] = args[1:]
        return super().resolve_command(ctx, args)
