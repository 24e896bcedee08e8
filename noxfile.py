"""`nox` runs the unit tests on each Python from 3.11 to 3.14 that is installed."""

import nox

nox.options.sessions = ["unit"]
# A missing Python is reported and skipped; with --error-on-missing-interpreters it is an error.
nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13", "3.14"])
def unit(session: nox.Session) -> None:
    """Run the unit tests; nox passes the arguments after `--` to pytest."""
    session.install(".[all,test]")
    session.run("pytest", "-n", "auto", "tests/unit", *session.posargs)
