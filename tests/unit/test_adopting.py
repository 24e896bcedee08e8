"""What `wqmaster adopt` reads from outputs: settings, paths, contents and molecules."""

import gzip
import os
import tarfile
import zipfile
from pathlib import Path

import pytest

from wqmaster.offline.adopting import orca, xtb
from wqmaster.offline.adopting.base import Found, Reason, Taken, Unfit
from wqmaster.offline.adopting.content import content_of
from wqmaster.offline.adopting.finding import Walk, printable_path
from wqmaster.parsers.base import Output

BANNER = "                                 * O   R   C   A *\n"
XTB_BANNER = "     |                           x T B                           |     \n"


def echo(*lines: str) -> str:
    """An output of ORCA that echoes an input with these lines."""
    numbered = "".join(f"|{number:3d}> {line}\n" for number, line in enumerate(lines, start=1))
    end = f"|{len(lines) + 1:3d}>                          ****END OF INPUT****\n"
    return f"{BANNER}    INPUT FILE\n====\nNAME = job.inp\n{numbered}{end}====\n"


def walked(folder: Path) -> list[str]:
    found = Walk(str(folder), "orca").found()
    return [one.relative for one in found if isinstance(one, Found)]


def test_the_same_calculation_has_the_same_settings_however_it_is_written() -> None:
    echoed = echo(
        "# a comment",
        "! def2-SVP  b3lyp PAL4",
        "! EnGrad",
        "%maxcore 4000",
        "%pal nprocs 8 end",
        "%SCF MaxIter=250",
        "end",
        "* xyz -1 2",
        "O 0 0 0",
        "H 0 0 1",
        "*",
    )
    wanted = orca.settings("! B3LYP def2-SVP EnGrad\n%scf maxiter 250 end")
    assert orca.settings(orca.echoed_input(echoed)) == wanted
    assert wanted == {"keywords": "b3lyp def2-svp engrad", "blocks": {"scf": "maxiter 250 end"}}


@pytest.mark.parametrize(
    "other",
    [
        "! B3LYP def2-TZVP",
        "! B3LYP def2-SVP EnGrad",
        "! B3LYP def2-SVP\n%scf maxiter 9 end",
        '! B3LYP def2-SVP\n%basis newgto H "def2-TZVP" end end',
        "! B3LYP def2-SVP\n* xyz 0 1\nHe 0 0 0\n*\n$new_job\n! HF def2-SVP\n* xyz 0 1\nHe 0 0 0\n*",
    ],
)
def test_other_settings_differ(other: str) -> None:
    first, second = orca.settings("! B3LYP def2-SVP"), orca.settings(other)
    assert first != second
    assert list(orca.differences(second, {"route": "! B3LYP def2-SVP"}))
    assert not list(orca.differences(first, {"route": "! b3lyp DEF2-SVP"}))


def test_coordinates_in_a_block_or_a_file_are_not_part_of_the_settings() -> None:
    block = "! HF STO-3G\n%coords\n Ctyp xyz\n Charge 0\n Mult 1\n coords\n He 0 0 1.5\n end\nend\n"
    for text in (
        block,
        "! HF STO-3G\n* xyzfile 0 1 mol.xyz\n",
        "! HF STO-3G\n*xyz 0 1\nHe 0 0 1\n*",
    ):
        assert orca.settings(text) == {"keywords": "hf sto-3g", "blocks": {}}


def test_an_input_that_is_not_echoed_whole_or_twice_is_refused() -> None:
    whole = echo("! HF")
    for text in (BANNER, whole.replace("****END OF INPUT****", ""), whole + whole):
        with pytest.raises(Unfit) as caught:
            orca.echoed_input(text)
        assert caught.value.reason == Reason.RECIPE_UNKNOWN


def test_the_base_name_is_that_of_the_echoed_input() -> None:
    assert orca.base_name(echo("! HF")) == "job"
    assert orca.base_name("INPUT FILE\nNAME = C:\\runs\\water.opt.inp\n") == "water.opt"
    assert orca.base_name("nothing") is None


def test_outputs_are_found_by_content_in_order_and_links_and_hidden_files_are_not_followed(
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "far.out").write_text(BANNER)
    folder = tmp_path / "tree"
    for name in ("b", "a", ".hidden", "x.out"):
        (folder / name).mkdir(parents=True)
    (folder / "z.out").write_text("slurm says hello\n" + BANNER)
    (folder / "gaussian.log").write_text("Entering Gaussian System\n")
    (folder / "a" / "no-ending").write_text(BANNER)
    (folder / "b" / "packed.out.gz").write_bytes(gzip.compress(BANNER.encode()))
    (folder / "b" / "windows.out").write_bytes(BANNER.encode("utf-16"))
    (folder / ".hidden" / "c.out").write_text(BANNER)
    (folder / "x.out" / "in-a-folder.out").write_text(BANNER)
    (folder / "b" / "link").symlink_to(outside)
    (folder / "b" / "link.out").symlink_to(outside / "far.out")
    os.mkfifo(folder / "pipe.out")
    assert walked(folder) == [
        "z.out",
        "a/no-ending",
        "b/packed.out.gz",
        "b/windows.out",
        "x.out/in-a-folder.out",
    ]


def test_a_damaged_archive_is_refused_and_does_not_stop_the_walk(tmp_path: Path) -> None:
    (tmp_path / "a.out.gz").write_bytes(b"\x1f\x8b damaged")
    (tmp_path / "b.out").write_text(BANNER)
    refused, found = Walk(str(tmp_path), "orca").found()
    assert isinstance(refused, Taken)
    assert (refused.relative, refused.reason) == ("a.out.gz", Reason.UNREADABLE)
    assert isinstance(found, Found)


def test_an_archive_is_not_taken_for_the_output_in_it(tmp_path: Path) -> None:
    (tmp_path / "job.out").write_text(BANNER)
    (tmp_path / "notes.txt").write_text("none")
    for name, kind in (("a.tar", "w"), ("b.tar.gz", "w:gz")):
        with tarfile.open(tmp_path / name, kind) as file:
            file.add(tmp_path / "job.out", "job.out")
    with tarfile.open(tmp_path / "c.tar", "w") as file:
        file.add(tmp_path / "notes.txt", "notes.txt")
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as zipped:
        zipped.write(tmp_path / "job.out", "job.out")
    walk = Walk(str(tmp_path), "orca")
    *refused, found = walk.found()
    assert isinstance(found, Found)
    assert found.relative == "job.out"
    assert [(one.relative, one.reason) for one in refused if isinstance(one, Taken)] == [
        (name, Reason.UNREADABLE) for name in ("a.tar", "b.tar.gz", "d.zip")
    ]
    assert walk.skipped == {"archives": 1}


def test_any_path_has_an_id_that_can_be_stored_and_different_paths_differ() -> None:
    odd = os.fsdecode(b"br\xfb/new\nline%0A.out")
    assert printable_path(odd) == "br%FB/new%0Aline%250A.out"
    assert printable_path("Übung/wasser (1).out") == "Übung/wasser (1).out"
    assert printable_path("a%0Ab") != printable_path("a\nb")
    printable_path(odd).encode()


def test_the_content_has_unix_line_ends_and_the_sum_of_the_file_on_disk(tmp_path: Path) -> None:
    plain = tmp_path / "plain.out"
    plain.write_bytes(b"one\r\ntwo\r\n")
    packed = tmp_path / "packed.out.gz"
    packed.write_bytes(gzip.compress(b"one\r\ntwo\r\n"))
    wide = tmp_path / "wide.out"
    wide.write_bytes("one\r\ntwo\r\n".encode("utf-16"))
    found = [content_of(str(path), 1 << 20) for path in (plain, packed, wide)]
    assert {one.data for one in found} == {b"one\ntwo\n"}
    assert found[0].digest == found[1].digest
    assert found[0].sha256 != found[1].sha256
    assert found[1].size == packed.stat().st_size


def test_a_file_above_the_limit_is_refused_also_when_only_its_content_is(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.out.gz"
    bomb.write_bytes(gzip.compress(bytes(3 << 20)))
    huge = tmp_path / "huge.out"
    with huge.open("wb") as file:
        file.truncate(2 << 30)  # sparse
    for path in (bomb, huge):
        with pytest.raises(Unfit) as caught:
            content_of(str(path), 1 << 20)
        assert caught.value.reason == Reason.TOO_LARGE
    with pytest.raises(Unfit) as gone:
        content_of(str(tmp_path / "gone.out"), 1)
    assert gone.value.reason == Reason.UNREADABLE


# --- xtb ---------------------------------------------------------------------------------------


def called(words: str, table: str = "    1    8 O      1\n    2    1 H      2, 3\n") -> str:
    return (
        f"{XTB_BANNER}   * xtb version 6.7.1 (unknown) compiled by 'x' on 2025-03-30\n"
        f"   ID    Z sym.   atoms\n{table}\n"
        f"          program call               : xtb mol.xyz {words}\n"
        "          coordinate file            : mol.xyz\n"
        "          :  Hamiltonian                  GFN2-xTB          :\n"
    )


def recipe(words: str) -> dict[str, object]:
    return xtb.asked(Output({"stdout": called(words).encode()}), {"run.inp": "abc"})


def test_charge_spin_and_processes_are_not_part_of_an_xtb_recipe() -> None:
    first = recipe("--gfn 2 --chrg -1 --uhf 1 --parallel 4 --json")
    assert first == recipe("--chrg 0 --gfn 2")
    assert first["arguments"] == "--gfn 2"
    assert first != recipe("--gfn 2 --alpb water")


def test_the_detailed_input_of_xtb_is_part_of_the_recipe_or_the_recipe_is_unknown() -> None:
    assert recipe("--gfn 2 --input run.inp")["input"] == "abc"
    with pytest.raises(Unfit) as caught:
        recipe("--gfn 2 --input other.inp")
    assert caught.value.reason == Reason.RECIPE_UNKNOWN


@pytest.mark.parametrize(
    ("words", "function", "differs"),
    [
        ("--gfn 2 --grad", "singlepoint", False),
        ("--gfn 2 --opt tight", "optimize", False),
        ("--gfn 2 --opt", "singlepoint", True),
        ("--gfn 2", "hessian", True),
        ("--gfn 2 --vip", "singlepoint", True),
        ("--gfn 2 --input run.inp", "singlepoint", True),
    ],
)
def test_an_xtb_run_of_another_kind_differs_from_the_step(
    words: str, function: str, differs: bool
) -> None:
    assert bool(list(xtb.differences(recipe(words), f"wqmaster.tasks.xtb.{function}"))) == differs
