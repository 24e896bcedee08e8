# ruff: noqa: PTH123, PTH105, UP031, B905
"""The molecule and the mean-field method of a PySCF calculation, from its description.

This file is sent to workers with `wqmaster_pyscf.py`; wqmaster never imports it.
"""

import contextlib
import math
import os

CHECKPOINT = "pyscf.chk"
# Two atoms closer than this make every integral meaningless.
COINCIDENT_ANGSTROM = 1e-3


class Refused(Exception):
    """The calculation cannot give a result; `kind` is the name of a failure class."""

    def __init__(self, kind, message):
        super().__init__(message)
        self.kind = kind


def read_xyz(name, symbols):
    """The coordinates (Angstrom) in an XYZ file, whose atoms must be `symbols`.

    Raises:
        Refused: the file cannot be read, has other atoms, or has a number that is not finite.
    """
    try:
        with open(name, encoding="utf-8", errors="replace") as file:
            lines = file.read().splitlines()
    except OSError as error:
        raise Refused("missing_output", "there is no geometry to start from: %s" % error) from error
    try:
        count = int(lines[0])
        rows = [line.split() for line in lines[2 : 2 + count]]
        found = [row[0].capitalize() for row in rows]
        # Fortran can print 0.1D+01.
        coordinates = [[float(word.upper().replace("D", "E")) for word in row[1:4]] for row in rows]
    except (ValueError, IndexError) as error:
        raise Refused("input_error", "%s is not an XYZ file: %s" % (name, error)) from error
    if found != list(symbols) or any(len(row) != 3 for row in coordinates):
        raise Refused("atom_count", "the atoms in %s are not those of the document" % name)
    if not all(math.isfinite(value) for row in coordinates for value in row):
        raise Refused("not_finite", "%s has a coordinate that is not finite" % name)
    return coordinates


def write_xyz(name, symbols, coordinates, comment=""):
    """Write an XYZ file (coordinates in Angstrom), which a rename puts in its place."""
    lines = [str(len(symbols)), comment]
    for symbol, (x, y, z) in zip(symbols, coordinates):
        lines.append("%-2s %.14f %.14f %.14f" % (symbol, x, y, z))
    with open(name + ".part", "w", encoding="utf-8") as file:
        file.write("\n".join(lines) + "\n")
    os.replace(name + ".part", name)


def by_element(given, symbols):
    """The entry for each element: `given` is one for all, or a mapping with a "default"."""
    if not isinstance(given, dict):
        return dict.fromkeys(symbols, given)
    low = {key.lower(): value for key, value in given.items()}
    return {symbol: low.get(symbol.lower(), low.get("default")) for symbol in symbols}


def has_core_potential(name, symbol):
    """Whether PySCF has an effective core potential with this name for an element."""
    from pyscf import gto

    with contextlib.suppress(Exception):  # PySCF raises various exceptions if there is none
        return bool(gto.basis.load_ecp(name, symbol))
    return False


class Setup:
    """A calculation: its molecule (`mol`) and method (`mf`), made from its description `call`."""

    def __init__(self, call):
        self.call = call
        self.task = call["task"]
        self.options = call["options"]
        self.settings = call["settings"]
        molecule = call["molecule"]
        self.symbols = molecule["symbols"]
        self.charge = molecule["charge"]
        self.multiplicity = molecule["multiplicity"]
        self.coordinates = molecule["coordinates"]
        if call["geometry_file"]:
            self.coordinates = read_xyz(call["geometry_file"], self.symbols)
        elif call["start"] is not None:
            self.coordinates = call["start"]

    # --- the molecule ----------------------------------------------------------------------------

    def build_molecule(self):
        """Make the molecule, with its basis sets and effective core potentials.

        Raises:
            Refused: atoms coincide, an element has no basis functions or lacks a core potential, or
                the multiplicity does not fit the electrons or the basis.
        """
        from pyscf import gto
        from pyscf.gto.basis import BasisNotFoundError

        self.refuse_coincident()
        elements = sorted(set(self.symbols))
        named = by_element(self.options["basis"], elements)
        missing = [symbol for symbol in elements if named[symbol] is None]
        if missing:
            raise Refused("input_basis", "no basis is named for %s" % ", ".join(missing))
        for symbol in elements:
            try:
                gto.basis.load(named[symbol], symbol)
            except (BasisNotFoundError, KeyError, RuntimeError) as error:
                message = "the basis %s has no functions for %s" % (named[symbol], symbol)
                raise Refused("input_basis", message) from error
        self.ecp_names = self.core_potentials(elements, named)
        mol = gto.Mole()
        mol.atom = [(symbol, tuple(place)) for symbol, place in zip(self.symbols, self.coordinates)]
        mol.unit = "Angstrom"
        # Names, not functions: PySCF finds the auxiliary basis of a set by its name.
        mol.basis = named
        mol.ecp = self.ecp_names
        mol.charge = self.charge
        mol.spin = None  # set below, where a wrong multiplicity gets a clear message
        mol.symmetry = False
        mol.verbose = 4
        mol.max_memory = self.call["max_memory"]
        mol.build(dump_input=False, parse_arg=False)
        electrons = mol.tot_electrons()
        unpaired = self.multiplicity - 1
        if electrons < 1:
            raise Refused("charge_multiplicity", "the molecule has no electrons")
        if unpaired > electrons or (electrons - unpaired) % 2:
            raise Refused(
                "charge_multiplicity",
                "%d electrons cannot have the multiplicity %d" % (electrons, self.multiplicity),
            )
        mol.spin = unpaired
        mol.build(dump_input=False, parse_arg=False)
        if max(mol.nelec) > mol.nao:
            raise Refused(
                "charge_multiplicity",
                "with the multiplicity %d, %d electrons of one spin do not fit into %d functions"
                % (self.multiplicity, max(mol.nelec), mol.nao),
            )
        self.mol = mol
        self.basis_names = named

    def refuse_coincident(self):
        """Refuse two atoms in one place, for which PySCF divides by zero."""
        for one, first in enumerate(self.coordinates):
            for two in range(one):
                apart = math.dist(first, self.coordinates[two])
                if apart < COINCIDENT_ANGSTROM:
                    message = "atoms %d and %d are %.1e Angstrom apart" % (two + 1, one + 1, apart)
                    raise Refused("coincident_atoms", message)

    def core_potentials(self, elements, basis):
        """The name of each element's effective core potential; elements without one are left out.

        PySCF uses none unless it is named. Its basis sets for heavy elements (def2, LANL2DZ,
        cc-pVnZ-PP) describe the valence shells alone and need the potential of the same name.
        Without it, all electrons would be in functions for the valence shells: the energy of HI in
        def2-SVP would be -2000 Eh instead of -298.

        Raises:
            Refused: a basis needs a potential, but `ecp` names none that has the element.
        """
        given = self.options["ecp"]
        named = basis if given == "auto" else by_element(given, elements)
        found = {}
        for symbol in elements:
            name = named[symbol]
            if name not in (None, "none") and has_core_potential(name, symbol):
                found[symbol] = name
            elif given != "auto" and has_core_potential(basis[symbol], symbol):
                raise Refused(
                    "input_basis",
                    "the basis %s of %s needs a core potential, but 'ecp' names none for it; "
                    "'ecp: auto' takes that of the basis" % (basis[symbol], symbol),
                )
        return found

    # --- the method ------------------------------------------------------------------------------

    def build_method(self):
        """Make the mean-field method that the options describe.

        Raises:
            Refused: a dispersion correction, auxiliary basis, solvent or guess cannot be used.
        """
        from pyscf import dft, scf

        options, mol = self.options, self.mol
        xc = options["xc"]
        restricted = options["restricted"]
        if restricted is None:
            restricted = mol.spin == 0
        kind = ("R" if mol.spin == 0 else "RO") if restricted else "U"
        if xc.lower() == "hf":
            mf = getattr(scf, kind + "HF")(mol)
        else:
            mf = getattr(dft, kind + "KS")(mol, xc=xc)
            mf.grids.level = options["grid"]
            mf.nlcgrids.level = options["nlc_grid"]
            if options["nlc"] is not None:
                mf.nlc = options["nlc"]
        self.scf_name = kind + ("HF" if xc.lower() == "hf" else "KS")
        if options["dispersion"] is not None:
            mf.disp = options["dispersion"]
        self.require_dispersion(mf)
        if options["density_fit"]:
            mf = mf.density_fit(auxbasis=self.auxiliary())
        mf = self.solvated(mf)
        if options["guess"] == "vsap" and self.ecp_names:
            raise Refused("input_keyword", "the guess 'vsap' does not know core potentials")
        mf.conv_tol = options["conv_tol"]
        mf.max_cycle = max(options["max_cycle"], self.settings.get("max_cycle") or 0)
        mf.init_guess = self.settings.get("guess") or options["guess"]
        if self.settings.get("level_shift"):
            mf.level_shift = self.settings["level_shift"]
        if self.settings.get("damping"):
            mf.damp = self.settings["damping"]
        mf.chkfile = CHECKPOINT
        self.mf = mf

    def auxiliary(self):
        """The basis for density fitting: a name, or one for each element; None: PySCF's choice.

        Raises:
            Refused: an element has none; PySCF would fit without functions at its atoms.
        """
        given = self.options["auxbasis"]
        if not isinstance(given, dict):
            return given
        found = by_element(given, sorted(set(self.symbols)))
        missing = [symbol for symbol, name in found.items() if name is None]
        if missing:
            message = "no auxiliary basis is named for %s" % ", ".join(missing)
            raise Refused("input_basis", message)
        return found

    def require_dispersion(self, mf):
        """Check that the library and parameters of the dispersion correction are there.

        Raises:
            Refused: they are missing.
        """
        from pyscf.scf import dispersion

        if not mf.do_disp():
            return
        if dispersion.dispersion is None:
            raise Refused("library_missing", "the Python package pyscf-dispersion is missing")
        try:
            dispersion.get_dispersion(mf)
        except RuntimeError as error:
            raise Refused("input_keyword", "dispersion: %s" % error) from error

    def solvated(self, mf):
        """The method in the solvent that the options name, if they name one.

        Raises:
            Refused: PySCF does not have the solvent.
        """
        name, model = self.options["solvent"], self.options["solvation"]
        if name is None:
            return mf
        from pyscf.solvent.smd import solvent_db

        if name not in solvent_db:
            raise Refused("input_keyword", "this PySCF has no solvent named %s" % name)
        if model == "smd":
            mf = mf.SMD()
            mf.with_solvent.solvent = name
        else:
            mf = mf.PCM()
            mf.with_solvent.method = {
                "c-pcm": "C-PCM",
                "ief-pcm": "IEF-PCM",
                "cosmo": "COSMO",
                "ss(v)pe": "SS(V)PE",
            }[model]
            mf.with_solvent.eps = solvent_db[name][5]
        return mf
