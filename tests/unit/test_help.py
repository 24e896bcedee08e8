"""The help texts that `wqmaster -h` and the commands print."""

from collections.abc import Iterator

import click
import pytest
from click.testing import CliRunner

from wqmaster.cli.main import main

MAX_SENTENCE_CHARACTERS = 60


def verbs(command: click.Command, *above: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each subcommand of a command, with the words that call it on the command line."""
    if not isinstance(command, click.Group):
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        verb = command.get_command(context, name)
        assert verb is not None
        yield (*above, name), verb
        yield from verbs(verb, *above, name)


VERBS = dict(verbs(main))


@pytest.mark.parametrize("words", VERBS, ids=" ".join)
def test_the_first_line_of_help_is_a_short_sentence(words: tuple[str, ...]) -> None:
    first, *further = (VERBS[words].help or "").strip().split("\n")
    assert first.endswith(".")
    assert len(first) <= MAX_SENTENCE_CHARACTERS
    assert not further or further[0] == ""


@pytest.mark.parametrize("columns", [40, 80])
@pytest.mark.parametrize("above", [(), ("db",), ("software",)], ids=" ".join)
def test_a_list_of_commands_truncates_no_sentence(above: tuple[str, ...], columns: int) -> None:
    found = CliRunner().invoke(main, [*above, "-h"], terminal_width=columns)
    listed = " ".join(found.output.partition("Commands:")[2].split())
    sentences = [
        f"{words[-1]} {(verb.help or '').strip().partition('.')[0]}"
        for words, verb in VERBS.items()
        if words[:-1] == above
    ]
    assert sentences
    for sentence in sentences:
        assert sentence in listed
    assert "..." not in listed


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["status", "--hosst"], "unknown option '--hosst'; did you mean '--hosts'?"),
        (["--nonsense"], "unknown option '--nonsense'"),
        (["db", "start", "--nonsense"], "unknown option '--nonsense'"),
        (["import"], "'CAMPAIGN'"),
        (["run", "--engine", "loop"], "'--engine'"),
        (["audit", "--sample", "0"], "0 is not between 1 and"),
        (["audit", "--seed", "-1"], "-1 is less than 0"),
        (["export", "--seed", "x"], "'x' is not a whole number"),
        (["adopt", "nowhere", "--program", "xtb"], "there is no folder 'nowhere'"),
        (["run", "--limit"], "'--limit'"),
    ],
)
def test_an_error_on_the_command_line_has_the_form_of_other_messages(
    words: list[str], part: str
) -> None:
    result = CliRunner().invoke(main, words)
    message = result.output.rpartition("Error: ")[2].removesuffix("\n")
    assert result.exit_code == 2
    assert part in message
    assert message[0].islower()
    assert not message.endswith(".")
    assert "\n" not in message


def test_a_missing_option_is_named_with_its_choices_in_one_sentence() -> None:
    found = CliRunner().invoke(main, ["adopt", "."])
    assert "missing option '--program'; choose from: orca, xtb" in " ".join(found.output.split())
