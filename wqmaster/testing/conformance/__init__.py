"""A test suite that checks any program against the contract in `docs/adding-a-program.md`.

from wqmaster.testing import Sample, check_program

def test_my_program_keeps_the_contract():
    check_program(PROGRAM, [Sample(count, files={"stdout": OUTPUT}, values={"energy": -1.5})])
"""

from wqmaster.testing.conformance.sample import Sample
from wqmaster.testing.conformance.suite import check_program

__all__ = ["Sample", "check_program"]
