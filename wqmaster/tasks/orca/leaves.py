"""Which quantities and files ORCA produces with a given route.

This is based on the ORCA manual, versions 4.2 to 6.1, and was compared with the routes that public
outputs echo. If a route certainly does not produce something that is needed, that is an error; if
ORCA can still produce it, that is a warning. ORCA has more ways to ask for a quantity than are
known here, so doubtful routes pass, and a route with an unknown keyword causes only warnings.
"""

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from wqmaster.tasks.leaves import Lack, Leaves, no_such_file
from wqmaster.tasks.orca.keywords import basis_sets, nearest_keyword
from wqmaster.tasks.orca.route import Route, read

# The name of this quantity in the parsers' `needs`.
_OPTIMIZATION = "optimization"
# The keywords after "!" that ask for each quantity.
_PATTERN = {
    # EnGrad, EnergyGrad, NumGrad, all kinds of Opt, NEB, IRC, GOAT, MD, NMGrad, ...
    "gradient": r"(?!scfcheck).*grad|.*opt(ts|h|ts\(.*\))?|.*neb.*|idpp-ts|irc|scants|.*goat.*|md"
    r"|numfreq|.*numnac.*|nac(me)?|esd.*|qmmmopt.*|.*docker.*|dock\(.*|solvator|mecp.*|ci-.*|vpt2"
    r"|nearir|confscript|cregen|anmr|modetrajectory|(fc)?n(ormal)?m(ode)?scan|mtr?|.*dock",
    "hessian": r".*freq|nearir|vpt2|.*hess.*|optts.*|scants|.*-?neb-?ts|idpp-ts|irc|esd.*|goat-ts"
    r"|printthermochem|(fc)?n(ormal)?m(ode)?scan|.*-ts|eda|anmr|modetrajectory|mtr?(ajectory)?"
    r"|docker.*|solvator|.*3c-freq",
    _OPTIMIZATION: r".*opt(ts|h|ts\(.*\))?|optts.*|l-opth?|scants|.*neb.*|idpp-ts|.*goat.*|irc"
    r"|qmmmopt.*|.*docker.*|dock\(.*|solvator|md|cim|confscript|cregen|.*dock",
    "dispersion": r"(.*[-_])?(d|d[234].*|abc|popdisp)|.*-?3c|dftd3.*|d30|(no)?vdw.*|.*-gcp-d3.*"
    r"|.*d3bj|.*d4rev|.*-d[34].*|.*xtb.*|gfn.*|qm.*|mm|.*r2scan-?3c.*",
    "non-local correlation": r"nl|scnl.*|.*-nl|.*-v|.*m\(2\)",
    "hirshfeld": r"hirshfeld|allpop|densityanalysis|aim",
    "mbis": r"mbis|allpop|densityanalysis",
    "chelpg": r"chelpg.*|resp|allpop",
    "mp2": r".*mp2.*|.*mp3.*|.*mp4.*|.*plyp.*|.*-?dh|.*qidh|.*0dh|.*dsd.*|.*dod.*|.*pwpb95"
    r"|.*pbe0-2|.*wb97x-2.*|.*wb97m\(2\)|.*pp86|.*r2scan(50|69)|.*r2scan0-2|.*r2scan-cidh"
    r"|.*ep[123].*|.*pt2.*|.*cc.*|.*ci.*|.*eom.*|.*pno.*|.*b2.*|.*adc.*",
    "coupled cluster": r".*cc.*|.*ep[123].*|.*eom.*|hfld|.*cepa.*|.*cpf.*|.*ci.*|led|.*bcid.*"
    r"|.*qcc|mr.*|.*mrcc.*|.*adc.*",
    "triples": r".*\(t.*|.*ep[123].*|.*mrcc.*|.*eom.*|cc3|.*ccsdt.*|.*cc.*\[t\].*",
    "pairs": r".*pno.*|.*ep[123].*|hfld|led|cim|.*mrcc.*",
    "excitations": r".*eom.*|.*adc.*|esd.*|.*mr-?ci.*|mr.*|.*mrmp.*|.*sorc.*|.*pt2.*|.*cas.*"
    r"|dftmrci|.*ddci.*|.*mreom.*|.*zindo.*|.*roci.*|.*rpa.*|fic-.*|ic-.*|.*cis.*|.*ice.*|xes.*"
    r"|.*dmrg.*|.*cipsi.*|lft|deltascf|.*td-?dft.*|tda|.*qrohf.*|cc2|.*cc2",
    "polarizability": r"polar.*|.*raman.*",
}
_MATCHES = {name: re.compile(pattern) for name, pattern in _PATTERN.items()}
# With these keywords, the last energy and the last gradient belong to different evaluations.
_MOVES = re.compile(
    r".*opt(h|ts|ts\(.*\))?|l-opth?|scants|.*neb.*|idpp-ts|irc|.*goat.*|md|qmmmopt.*"
)
# Keywords for derivatives at the input's geometry. All others that ask for derivatives may move
# the atoms.
_STAYS = frozenset(
    ("engrad", "energygrad", "numgrad", "freq", "anfreq", "analfreq", "numfreq", "scanfreq")
)
# Blocks of runs that move the atoms, or that can turn the molecule (%sym).
_MOVING_BLOCKS = frozenset(
    ("geom", "md", "neb", "irc", "goat", "docker", "solvator", "compound", "sym", "mtr", "qmmm")
)
# Methods that another program computes for ORCA, and force fields. ORCA prints no orbitals for
# them.
_FOREIGN = re.compile(r"(native-)?(gfn.*|xtb.*)|mm|extopt|orcaext|surff")
# Methods whose final energy is, by default, the energy of the lowest root.
_ROOTS = re.compile(r"(?!ip|ea).*(eom|adc).*")
_LAYERS = re.compile(r"qm/.*|qmmm|.*oniom.*|ionic-crystal-qmmm|mol-crystal-qmmm")
_CASSCF = re.compile(r".*cas(scf|\().*")
_OPEN_SHELL = re.compile(r"u(hf|ks)|ro(hf|ks)|.*cas.*|uno|uco|.*brokensym.*|g-tensor|.*deltascf")
_CLOSED_SHELL = frozenset(("rhf", "rks"))
# Files that xtb and AutoDock Vina write.
_OTHERS = frozenset(
    (
        *("molecule.engrad", "xtbout.json", "xtbopt.xyz", "xtbopt.log", "vibspectrum", "xtb.trj"),
        *("gfnff_charges", "wbo", "g98.out", "out.pdbqt"),
    )
)
# Files from ORCA that are often kept. ORCA writes others too.
_WRITTEN = frozenset(
    (
        *("orca.gbw", "orca.xyz", "orca.inp", "orca.engrad", "orca.hess", "orca.opt", "orca.cis"),
        *("orca_trj.xyz", "orca.property.txt", "orca.property.json", "orca_property.txt"),
        *("orca.densities", "orca.densitiesinfo", "orca.cpcm", "orca.molden.input", "orca.scfp"),
        *("orca.bibtex", "orca.spectrum", "orca.json", "orca.carthess", "orca.mp2nat", "orca.uno"),
        *(
            "orca.nbo",
            "orca.47",
            "orca.loc",
            "orca.wfn",
            "orca.wfx",
            "orca.mkl",
            "orca.qro",
            "orca.nat",
        ),
    )
)
# Maps files to the quantities with which ORCA writes them.
_FILES = {
    "orca.engrad": "gradient",
    "orca.hess": "hessian",
    "orca_trj.xyz": _OPTIMIZATION,
    "orca.opt": _OPTIMIZATION,
    "orca.property.json": "property.json",
}
_KEYWORD = "to a line of '!' keywords"
_INSTEAD = {
    "gradient": f"add EnGrad (or NumGrad) {_KEYWORD}",
    "hessian": f"add Freq (or NumFreq) {_KEYWORD}",
    _OPTIMIZATION: f"add Opt {_KEYWORD}",
    "dispersion": f"add D4 or D3BJ {_KEYWORD}, or remove the parser",
    "dispersion gradient": "write '%output Print[P_DFTD_GRAD] 1 end'",
    "non-local correlation": "use a functional such as wB97M-V, or remove the parser",
    "hirshfeld": f"add Hirshfeld {_KEYWORD}",
    "mbis": f"add MBIS {_KEYWORD}",
    "chelpg": f"add CHELPG {_KEYWORD}",
    "mp2": "use a method such as RI-MP2 or a double hybrid, or remove the parser",
    "correlation": "use a method such as RI-MP2 or DLPNO-CCSD(T), or remove the parser",
    "coupled cluster": "use a method such as DLPNO-CCSD(T), or remove the parser",
    "triples": "use a method such as CCSD(T) or DLPNO-CCSD(T), or remove the parser",
    "pairs": "use a method such as DLPNO-CCSD(T), or remove the parser",
    "excitations": "write '%tddft nroots 5 end', or remove the parser",
    "polarizability": "write '%elprop Polar 1 end'",
    "quadrupole": "write '%elprop Quadrupole true end'",
    "property.json": "write '%output JsonPropFile true end' (ORCA 6)",
}


_ASKED_FOR = {
    "gradient": "a gradient (EnGrad, NumGrad, Opt, ...)",
    "hessian": "frequencies (Freq, AnFreq, NumFreq, ...)",
    _OPTIMIZATION: "an optimization (Opt, OptTS, ...)",
    "dispersion": "a dispersion correction (D3BJ, D4, a functional that has one, ...)",
    "dispersion gradient": "the gradient of the dispersion correction to be printed",
    "non-local correlation": "non-local correlation (NL, SCNL, a functional such as wB97M-V)",
    "hirshfeld": "Hirshfeld charges",
    "mbis": "MBIS charges",
    "chelpg": "CHELPG charges",
    "mp2": "MP2 or a double hybrid",
    "correlation": "a correlated method",
    "coupled cluster": "coupled cluster",
    "triples": "perturbative triples",
    "pairs": "a local correlation method (DLPNO, LPNO)",
    "excitations": "excited states (%tddft, %cis, EOM-CCSD, ...)",
    "polarizability": "a polarizability",
    "quadrupole": "a quadrupole moment",
    "property.json": "the file orca.property.json",
}
# Quantities that a step can produce although its route does not ask for them: orca.property.json if
# the command in `software:` calls orca_2json, and the dispersion gradient in optimizations with
# ORCA 6.
_UNSURE = frozenset(("dispersion gradient", "property.json"))
# With MiniPrint, ORCA 4 omits coordinates, orbital energies and the dipole; ORCA 5 prints them.
_LITTLE = Lack(
    "the route reduces what is printed (MiniPrint)",
    "remove that, or ask for it with '%output Print[FLAG] 1 end'",
    certain=False,
)


def _blocks_ask(route: Route) -> Mapping[str, bool]:
    """Whether a block of the route asks, or possibly asks, for each quantity."""
    method = route.block("method")
    output = route.block("output")
    geom = route.block("geom")
    elprop = route.block("elprop")
    # Print[37] selects a flag by its number, and the numbers are not known here.
    numbered = bool(re.search(r"\bprint \d", output))
    runs = bool(re.search(r"\bruntyp\b", method))
    hybrid = bool(re.search(r"\b(domp2|functional|exchange|correlation|scal\w*|method)\b", method))
    excited = route.has_block("tddft", "cis")
    return {
        "gradient": runs
        or "grad" in route.block("tddft", "cis", "casscf")
        or bool(re.search(r"\bnumfreq (true|1|yes|on)\b", route.block("freq"))),
        "hessian": runs
        or route.has_block("freq", "vpt2", "rr", "esd", "mtr", "irc")
        or bool(re.search(r"hess", geom)),
        _OPTIMIZATION: runs,
        "dispersion": bool(re.search(r"d3|d4|dft?d|vdw|dftdopt", method)) or hybrid,
        "dispersion gradient": numbered or "p_dftd_grad" in output,
        "non-local correlation": "nl" in method or hybrid,
        "hirshfeld": numbered or "hirsh" in output or "hirsh" in method,
        "mbis": numbered or "mbis" in output or "mbis" in method,
        "chelpg": numbered or route.has_block("chelpg"),
        "mp2": hybrid or route.has_block("mp2", "mdci", "autoci", "mrcc", "casscf"),
        "coupled cluster": hybrid or route.has_block("mdci", "autoci", "mrcc"),
        "triples": hybrid or route.has_block("mdci", "autoci", "mrcc"),
        "pairs": hybrid or route.has_block("mdci", "mp2", "dlpnocc", "cim"),
        "excitations": excited
        or route.has_block("rocis", "casscf", "mrci", "dftmrci", "mcrpa", "xes", "lft", "autoci")
        or route.has_block("mdci", "esd", "ice", "iceci", "cipsi", "mrcc", "ci", "conical"),
        "polarizability": "polar" in elprop
        or "hyperpol" in elprop
        or "raman" in route.block("freq")
        or route.has_block("mcrpa"),
        "quadrupole": bool(re.search(r"quad\w* (true|1|yes|on)\b", elprop)),
        "property.json": "json" in output,
    }


@dataclass(frozen=True)
class _Reader:
    """Finds the quantities that a route does not produce."""

    route: Route

    def asks(self, quantity: str) -> bool:
        pattern = _MATCHES.get(quantity)
        words = self.route.words - basis_sets()  # "cc" in cc-pVTZ does not mean coupled cluster
        return pattern is not None and any(pattern.fullmatch(word) for word in words)

    @property
    def vibrates(self) -> bool:
        """Whether the route asks for frequencies, which ORCA can compute from gradients."""
        return self.route.has_block("freq") or any("freq" in word for word in self.route.words)

    @property
    def prints_little(self) -> bool:
        """Whether the route reduces ORCA's output."""
        output = self.route.block("output")
        little = re.search(r"\bprintlevel (mini|nothing)\b", output)
        return "miniprint" in self.route.words or bool(little)

    def lacks(self) -> Iterator[tuple[str, Lack]]:
        """The quantities that the route does not ask for, each with the reason."""
        blocks = _blocks_ask(self.route)
        missing = {name for name, asked in blocks.items() if not asked and not self.asks(name)}
        if {"mp2", "coupled cluster"} <= missing:
            missing.add("correlation")
        for name in sorted(missing):
            yield (
                name,
                Lack(
                    f"the route does not ask for {_ASKED_FOR[name]}",
                    _INSTEAD[name],
                    certain=name not in _UNSURE and not (name == "gradient" and self.vibrates),
                ),
            )
        yield from self._final_gradient()
        yield from self._populations()
        yield from self._dipole()
        yield from self._shells()
        yield from self._states()
        yield from self._scf()

    def _final_gradient(self) -> Iterator[tuple[str, Lack]]:
        moves = sorted(word for word in self.route.words if _MOVES.fullmatch(word))
        if moves:
            yield (
                "final gradient",
                Lack(
                    f"after '{moves[0]}' the last gradient belongs to the last cycle, not to the "
                    "energy and geometry that are printed last",
                    "use the parser 'frames', or compute the gradient in a further step with "
                    "'geometry: STEP'",
                    certain=False,
                ),
            )

    def _populations(self) -> Iterator[tuple[str, Lack]]:
        words, output = self.route.words, self.route.block("output")
        for name in ("mulliken", "loewdin", "mayer"):
            flag = re.search(rf"\bp?_?{name}\w* (\d)", output)
            if name in words or "allpop" in words or (flag and flag[1] != "0"):
                continue
            off = words & {f"no{name}", "nopop"}
            if off:
                yield name, Lack(f"'{min(off)}' turns it off", f"remove '{min(off)}'")
            elif self.prints_little or flag:
                yield name, replace(_LITTLE, instead=f"add {name.capitalize()} {_KEYWORD}")
        if self.prints_little:
            yield "coordinates", _LITTLE
            yield "orbitals", _LITTLE

    def _dipole(self) -> Iterator[tuple[str, Lack]]:
        asked = re.search(r"\bdipole (\w+)", self.route.block("elprop"))
        if asked and asked[1] in ("false", "0", "no", "off"):
            yield "dipole", Lack("%elprop turns it off", "write '%elprop Dipole true end'")
        elif self.prints_little and not asked:
            yield "dipole", replace(_LITTLE, instead="write '%elprop Dipole true end'")

    def _states(self) -> Iterator[tuple[str, Lack]]:
        """Quantities that belong to a different state or subsystem than the final energy does."""
        words = self.route.words
        layers = sorted(word for word in words if _LAYERS.fullmatch(word))
        if layers:
            reason = f"with '{layers[0]}' this is a value of one layer, but the energy is of all"
            for name in ("density", "all layers"):
                yield name, Lack(reason, "remove the parser", certain=False)
        roots = [f"%{name}" for name in ("tddft", "cis") if self.route.has_block(name)]
        roots += sorted(word for word in words if _ROOTS.fullmatch(word))
        if not roots:
            return
        excited = f"with '{roots[0]}' ORCA's final energy is that of an excited state"
        yield (
            "density",
            Lack(
                f"{excited}, but this value is that of the SCF",
                "use 'scf_energy' with it, or compute it in a separate step",
                certain=False,
            ),
        )
        # A user who asks for a gradient here wants the excited state.
        if not self.asks("gradient"):
            instead = "use 'scf_energy' if you want that of the ground state"
            reason = f"{excited} (by default the first)"
            yield "ground state", Lack(reason, instead, certain=False)
            # Canonical EOM-CCSD in ORCA 6 ends with the energy of the ground state.
            certain = roots[0].startswith("%") and not self._has_root_0()
            instead = "use 'scf_energy' for the ground state or 'total_energy' for the excited one"
            reason = f"{reason}, while other values are those of the SCF"
            yield "one state", Lack(reason, instead, certain=certain)

    def _has_root_0(self) -> bool:
        """Whether a block asks for the energy of the SCF state."""
        blocks = (self.route.block(name) for name in ("tddft", "cis"))
        return any(re.search(r"\biroot 0\b", block) for block in blocks)

    def _scf(self) -> Iterator[tuple[str, Lack]]:
        words = self.route.words
        if self.route.has_block("casscf") or any(_CASSCF.fullmatch(word) for word in words):
            reason = "ORCA does not count the cycles of a CASSCF as those of an SCF"
            yield "scf cycles", Lack(reason, "remove the parser", certain=False)

    def _shells(self) -> Iterator[tuple[str, Lack]]:
        words = self.route.words
        if not any(_OPEN_SHELL.fullmatch(word) for word in words):
            closed = sorted(words & _CLOSED_SHELL)
            says = f"with '{closed[0]}'" if closed else "with multiplicity 1"
            yield (
                "spins",
                Lack(
                    f"{says} the shell is closed, so ORCA prints no spins",
                    "add UKS or UHF, or restrict the query to open shells",
                    certain=False,
                ),
            )
        foreign = sorted(word for word in words if _FOREIGN.fullmatch(word))
        if foreign:
            for name in ("orbitals", "mulliken", "loewdin", "mayer"):
                yield (
                    name,
                    Lack(
                        f"with '{foreign[0]}' ORCA prints no orbitals or populations",
                        "remove the parser",
                        certain=False,
                    ),
                )


def leaves(options: Any) -> Leaves:
    """The quantities and files that a step of `sequential` does not produce."""
    route = read(options.route)
    lacks = dict(_Reader(route).lacks())
    # An unknown keyword can ask for anything, unless it resembles the name of a basis set.
    if any(nearest_keyword(keyword.word) not in basis_sets() for keyword in route.unknown()):
        lacks = {name: replace(lack, certain=False) for name, lack in lacks.items()}
    return Leaves(lacks, lambda name: _file_lack(name, route, lacks))


def keeps_geometry(options: Any) -> bool:
    """Whether all values of a step of `sequential` certainly belong to the geometry it starts from.

    It is not certain if the route contains a keyword that is not known here, asks for anything that
    moves the atoms, or uses symmetry, for which ORCA can turn the molecule.
    """
    route = read(options.route)
    if any(route.unknown()) or any(word.startswith("usesym") for word in route.words):
        return False
    if route.has_block(*_MOVING_BLOCKS):
        return False
    return not any(
        _MATCHES[name].fullmatch(word)
        for word in route.words - _STAYS
        for name in ("gradient", "hessian")
    )


def _file_lack(name: str, route: Route, lacks: Mapping[str, Lack]) -> Lack | None:
    """Why ORCA does not write the file `name`; None if it can write it."""
    if name in _FILES:
        return lacks.get(_FILES[name])
    if name == "orca.xyz" and _OPTIMIZATION in lacks and "xyzfile" not in route.words:
        return replace(lacks[_OPTIMIZATION], certain=False)
    if any(token.text.strip('"') == name for block in route.blocks for token in block.tokens):
        return None
    foreign = any(_FOREIGN.fullmatch(word) for word in route.words)
    if name in _OTHERS and not foreign:
        return Lack("it is a file of another program", "ORCA's files are named orca.*")
    if not name.startswith("orca"):
        return None
    like = difflib.get_close_matches(name, _WRITTEN, n=1, cutoff=0.8)
    if name in _WRITTEN or not (like or name in ("orca.out", "orca.log")):
        return None
    return no_such_file("ORCA", name, _WRITTEN)
