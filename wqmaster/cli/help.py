"""Help texts: the first sentence of each verb is printed whole, however narrow the terminal is."""

import click

# Longer than any first sentence of a help text.
_MAX_HELP_CHARACTERS = 1000


class Verbs(click.Group):
    """A command with verbs, whose help prints the first sentence of each whole."""

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the verbs; click itself cuts their sentences to the width of the terminal."""
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        with formatter.section("Commands"):
            formatter.write_dl(
                [
                    (name, verb.get_short_help_str(_MAX_HELP_CHARACTERS))
                    for name, verb in found
                    if verb
                ]
            )
