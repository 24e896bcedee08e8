"""Reading ORCA routes: keywords, blocks, and errors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wqmaster.tasks.leaves import Remark
from wqmaster.tasks.orca.keywords import is_known, nearest_keyword
from wqmaster.tasks.orca.route import read, remarks
from wqmaster.tasks.orca.task import Step


def said(route: str) -> list[Remark]:
    return list(remarks(Step(route=route)))


GOOD = [
    "! HF def2-SVP",
    "!HF DEF2-SVP\n!EnGrad",
    "! wB97M-V def2-TZVPP def2/J RIJCOSX TightSCF DefGrid3 EnGrad\n%scf maxiter 256 end",
    "%pal nprocs 4 end %maxcore 2000\n! PBE def2-SVP PAL4",
    "! HF def2-SVP # a comment that names %scf and ! words\n# B3LYP\n",
    "! HF # closed # def2-SVP\n%scf # maxiter\n  maxiter 300 # end\nend",
    "! B3LYP def2-SVP Opt\n%geom\n  Constraints\n    {B 0 1 1.4 C}\n  end\n  MaxIter 50\nend",
    "! B3LYP def2-SVP Opt\n%geom Scan B 0 1 = 1.0, 2.0, 5 end end",
    '! HF def2-SVP\n%basis\n  NewGTO H "cc-pVTZ" end\n  NewECP Fe "SDD" end\nend',
    '! HF STO-3G\n%plots\n  ElDens("the end.cube");\nend',
    "! DLPNO-CCSD(T) Extrapolate(2/3,cc) autoaux TightPNO",
    "! B3LYP/G 6-31++G(d,p) CPCM(water) SMD(1-octanol) GCP(DFT/SVP)",
    "! CPCM(acetic acid) HF def2-SV(P)",
    "! PAL8(2x4) ScfConv9 HF 6-311G(2df,2pd) UKS AUTOCI-CCSD(T)",
    "! PBE def2-SVP\n%casscf\n  nel 2\n  norb 2\n  PTSettings\n    TSMult 1\n  end\nend",
    '! HF def2-SVP moread\n%moinp "first.gbw"\n%pointcharges "charges.pc"',
    "!  PBE0 def2-TZVP\n%elprop Quadrupole true Polar 1 end\n%output Print[P_MBIS] 1 END",
]


@pytest.mark.parametrize("route", GOOD)
def test_a_good_route_gets_no_remark(route: str) -> None:
    assert said(route) == []


@pytest.mark.parametrize(
    ("route", "line", "words"),
    [
        ("B3LYP def2-SVP", 1, "did you mean '! B3LYP def2-SVP'?"),
        ("! B3LYP\ndef2-SVP TightSCF", 2, "did you mean '! def2-SVP TightSCF'?"),
        ("%pal nprocs 2 end\nB3LYP def2-SVP", 2, "did you mean"),
        ("! HF\n%maxcore 2000\nEnGrad", 3, "did you mean '! EnGrad'?"),
        ("! HF\nscf maxiter 300 end", 2, "did you mean '%scf maxiter 300 end'?"),
        ("maxcore 2000\n! HF", 1, "did you mean '%maxcore 2000'?"),
        ("! HF\nnprocs 4", 2, "keywords go after '!'"),
        ("! HF\n%scf maxiter 3 end\nend\n", 3, None),
        ("! HF\n%scf maxiter 300\n! TightSCF", 2, "%scf has no 'end'"),
        ("! HF\n%scf maxiter 300\n%pal nprocs 2 end", 2, "%scf has no 'end'"),
        ('! HF\n%plots ElDens("end");', 2, "%plots has no 'end'"),
        ("! HF\n\n%tddft nroots 5", 3, "%tddft has no 'end'"),
        ("! HF\n%geom Scan B 0 1 = 1, 2, 5 end", 2, "%geom has 1 'end' but needs 2"),
        ('! HF\n%basis NewGTO H "SVP" end', 2, "one for each of newgto"),
    ],
)
def test_a_route_that_orca_cannot_read_is_an_error_with_its_line(
    route: str, line: int, words: str | None
) -> None:
    wrong = [remark for remark in said(route) if remark.certain]
    if words is None:  # an extra "end" could close a block that is not recognized as one
        assert wrong == []
        return
    (remark,) = wrong
    assert (remark.key, remark.line) == ("route", line)
    assert words in remark.message


@pytest.mark.parametrize(
    ("route", "words"),
    [
        ("! B3LYPP def2-SVP", "did you mean 'b3lyp'?"),
        ("! B3LYP def2-SVPP", "did you mean 'def2-"),
        ("! HF def2-SVP EnGrda", "did you mean 'engrad'?"),
        ("! HF CPMC(water)", "did you mean 'cpcm(water)'?"),
        ("! HF qqqqqqqqq", "see the keywords in ORCA's manual"),
        ("! HF\n%sfc maxiter 3 end", "did you mean '%scf'?"),
        ("%method Method HF end\n%basis Basis def2-SVP end", "has no line of keywords"),
    ],
)
def test_an_unknown_word_is_a_warning_with_the_nearest_known_one(route: str, words: str) -> None:
    (remark,) = said(route)
    assert not remark.certain
    assert words in remark.message


@given(st.text(alphabet='!%#"()[]{}=,;$* \nend scfgeomHF03/-', max_size=200))
def test_any_text_can_be_read(text: str) -> None:
    route = read(text)
    assert all(keyword.word == keyword.word.lower() for keyword in route.keywords)
    lines = text.count("\n") + 1
    assert all(1 <= stray.line <= lines for stray in route.strays)


def test_a_long_damaged_route_is_read_quickly() -> None:
    read("! " + "(" * 20_000)
    read('%plots "' + "x" * 20_000 + "%scf" * 2000)


def test_keywords_are_read_in_any_case_on_several_lines_and_without_a_blank() -> None:
    route = read("!PBE0\n! def2-TZVP   ENGRAD\n%scf MaxIter 5 End")
    assert route.words == {"pbe0", "def2-tzvp", "engrad"}
    assert route.block("scf") == "maxiter 5 end"
    assert [keyword.line for keyword in route.keywords] == [1, 2, 2]


@pytest.mark.parametrize(
    "word",
    [
        *("RIJCOSX", "Grid5", "FinalGrid6", "def2/JK", "SARC/J", "wB97X-3c", "NEB-TS", "XTB2"),
        *("revDSD-PBEP86-D4/2021", "STEOM-DLPNO-CCSD", "ZORA-def2-TZVP", "D3BJ", "GOAT"),
    ],
)
def test_keywords_of_orca_4_to_6_are_known(word: str) -> None:
    assert is_known(word)


def test_a_word_unlike_any_keyword_has_no_nearest_keyword() -> None:
    assert nearest_keyword("xyzzyplugh") is None
