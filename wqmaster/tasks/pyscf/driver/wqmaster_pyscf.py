# ruff: noqa: PTH100, PTH105, PTH120, PTH123, UP031
"""Run one PySCF calculation on a worker: `python3 wqmaster_pyscf.py INPUT.json`.

This file and its neighbors are sent to workers; wqmaster never imports them. They need Python
3.8 or newer with PySCF, pyscf-dispersion for D3 and D4, and geomeTRIC for optimizations.

INPUT.json holds what to compute (`task`, `options`), the molecule, a file with another geometry,
and `settings` for a remedy. All results, or an error, are written to pyscf.json by one rename at
the end. Values are in atomic units, geometries in Angstrom.
"""

import json
import os
import sys
import traceback

# This file can be a link into another folder, where Python would look for the other modules.
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from wqmaster_pyscf_scf import Solver
from wqmaster_pyscf_setup import CHECKPOINT, Refused, write_xyz
from wqmaster_pyscf_values import Values, plain, versions

RESULT = "pyscf.json"
FINAL_GEOMETRY = "pyscf.xyz"
LAST_GEOMETRY = "pyscf.last.xyz"
VERSION = 1  # of the format of RESULT
MAX_TEXT_CHARACTERS = 2000
# Solutions of the SCF whose energies differ by more are different ones.
OTHER_SOLUTION_EH = 1e-5


class Calculation(Solver):
    """One calculation with its results."""

    def __init__(self, call):
        super().__init__(call)
        self.found = {}
        self.frames = []

    def gradient(self):
        """The gradient of the energy at the molecule's present geometry (Eh/a0)."""
        with self.timed("gradient"):
            return self.mf.nuc_grad_method().kernel()

    # --- the tasks -------------------------------------------------------------------------------

    def run(self):
        """Compute what was asked for; the results are in `found`."""
        with self.timed("total"):
            with self.timed("setup"):
                self.build_molecule()
                self.build_method()
            density = self.restart_density()
            if self.task == "optimize":
                self.optimize(density)
                density = self.mf.make_rdm1() if self.mf.mo_coeff is not None else None
                self.coordinates = plain(self.mol.atom_coords(unit="Angstrom"))
            self.run_scf(density)
            if self.task == "optimize":
                self.require_same_solution()
            if self.task != "singlepoint" or self.options["gradient"]:
                self.found["gradient"] = plain(self.gradient())
            if self.task == "hessian":
                self.hessian()
            with self.timed("properties"):
                Values(self, self.found).collect()
        if self.task == "optimize":
            write_xyz(FINAL_GEOMETRY, self.symbols, self.coordinates)

    def optimize(self, density):
        """Move the molecule to the nearest minimum, with geomeTRIC."""
        try:
            from pyscf.geomopt import geometric_solver
        except ImportError as error:
            raise Refused("library_missing", "geomeTRIC is missing: %s" % error) from error
        self.run_scf(density)  # so that the restart and the second-order method are used here too
        scanner = self.mf.nuc_grad_method().as_scanner()

        def note(found):
            coordinates = plain(found["coords"] * self.angstrom_per_bohr())
            self.frames.append(
                {
                    "energy": float(found["energy"]),
                    "gradient": plain(found["gradients"]),
                    "geometry": coordinates,
                    "converged": bool(scanner.converged),
                }
            )
            if scanner.converged:
                write_xyz(LAST_GEOMETRY, self.symbols, coordinates)

        with self.timed("optimization"):
            try:
                converged, mol = geometric_solver.kernel(
                    scanner,
                    assert_convergence=True,
                    callback=note,
                    maxsteps=max(self.options["cycles"], self.settings.get("cycles") or 0),
                    convergence_set=self.options["convergence"].upper(),
                )
            except RuntimeError as error:
                if scanner.converged:
                    raise
                message = "the SCF did not converge in cycle %d of the optimization" % (
                    len(self.frames)
                )
                raise Refused("scf_not_converged", message) from error
        if not converged:
            raise Refused(
                "opt_not_converged",
                "the optimization did not converge in %d cycles" % len(self.frames),
            )
        self.mol.set_geom_(mol.atom_coords(), unit="Bohr")
        self.mf.reset(self.mol)
        self.mf.chkfile = CHECKPOINT

    def require_same_solution(self):
        """Refuse an optimization if the SCF finds a lower solution at its final geometry.

        The checkpoint then holds the lower solution, so that a restart follows it.

        Raises:
            Refused: it does (class `opt_not_converged`).
        """
        below = self.frames[-1]["energy"] - self.mf.e_tot
        if below > max(OTHER_SOLUTION_EH, 10 * self.options["conv_tol"]):
            raise Refused(
                "opt_not_converged",
                "the SCF has a solution %.1e Eh below that of the optimization" % below,
            )

    @staticmethod
    def angstrom_per_bohr():
        """PySCF's own conversion (CODATA 2010)."""
        from pyscf import lib

        return lib.param.BOHR

    def hessian(self):
        """Compute the second derivatives and the harmonic frequencies.

        The Hessian is in Eh/a0^2, shape (3n, 3n); the frequencies are in 1/cm, imaginary ones
        negative.
        """
        from pyscf.hessian import thermo

        with self.timed("hessian"):
            matrix = self.mf.Hessian().kernel()
        atoms = self.mol.natm
        self.found["hessian"] = plain(matrix.transpose(0, 2, 1, 3).reshape(3 * atoms, 3 * atoms))
        if atoms == 1:
            self.found["frequencies"] = []
            return
        waves = thermo.harmonic_analysis(self.mol, matrix)["freq_wavenumber"]
        self.found["frequencies"] = sorted(
            float(wave.real) if abs(wave.imag) < 1e-10 else -abs(float(wave.imag))
            for wave in waves.astype(complex)
        )

    # --- the report ------------------------------------------------------------------------------

    def report(self):
        """What was computed and how, for pyscf.json."""
        found = {
            "task": self.task,
            "options": self.options,
            "settings": self.settings,
            "molecule": {"symbols": self.symbols, "geometry": self.coordinates},
            "frames": self.frames,
            "values": self.found,
            "timings": self.timings,
        }
        mol, mf = getattr(self, "mol", None), getattr(self, "mf", None)
        if mol is not None:
            found["molecule"].update(
                natoms=mol.natm,
                charge=int(mol.charge),
                multiplicity=int(mol.spin) + 1,
                electrons=int(mol.nelectron),
                core_electrons=int(sum(mol.atom_nelec_core(n) for n in range(mol.natm))),
                ecp=self.ecp_names,
            )
            found["basis"] = {"names": self.basis_names, "functions": int(mol.nao)}
        if mf is not None:
            found["method"] = self.method()
            found["scf"] = {
                "converged": bool(mf.converged),
                "cycles": getattr(self, "cycles", None),
                "max_cycle": mf.max_cycle,
                "conv_tol": mf.conv_tol,
                "guess": mf.init_guess,
                "level_shift": float(self.settings.get("level_shift") or 0.0),
                "damping": float(self.settings.get("damping") or 0.0),
                "newton": bool(self.settings.get("newton")),
                "stable": self.is_stable,
                "starts": self.starts,
                "start": self.start,
            }
            if mf.mo_coeff is not None:
                found["basis"]["orbitals"] = int(mf.mo_coeff[0].shape[-1])
                if self.scf_name[0] != "U":
                    found["basis"]["orbitals"] = int(mf.mo_coeff.shape[-1])
        return found

    def method(self):
        """The method as PySCF has it, to be compared with what was asked for."""
        mf = self.mf
        found = {"scf": self.scf_name, "xc": "hf"}
        if self.scf_name.endswith("KS"):
            found.update(
                xc=mf.xc,
                nlc=mf.nlc,
                grid=mf.grids.level,
                nlc_grid=mf.nlcgrids.level,
                nonlocal_correlation=bool(mf.do_nlc()),
            )
        found["dispersion"] = None
        if mf.do_disp():
            from pyscf.scf.dispersion import parse_disp

            name, version, three = parse_disp(
                mf.xc if self.scf_name.endswith("KS") else "hf", getattr(mf, "disp", None)
            )
            found["dispersion"] = {"version": version, "parameters": name, "three_body": three}
        fitted = getattr(mf, "with_df", None)
        found["density_fit"] = bool(fitted)
        if fitted:
            found["auxbasis"] = plain(fitted.auxbasis)
            if fitted.auxmol is not None:
                found["auxiliary_functions"] = int(fitted.auxmol.nao)
        solvent = getattr(mf, "with_solvent", None)
        found["solvent"] = None
        if solvent is not None:
            found["solvent"] = {"model": solvent.method, "epsilon": plain(solvent.eps)}
            if hasattr(solvent, "solvent"):
                found["solvent"]["name"] = solvent.solvent
        return found


def failure(error):
    """The description of an error: its failure class (None if unknown), type and message."""
    kind = getattr(error, "kind", None)
    message = str(error)[:MAX_TEXT_CHARACTERS]
    if kind is None:
        if isinstance(error, MemoryError) or "not enough memory" in message.lower():
            kind = "memory"
        elif isinstance(error, ImportError):
            top = (getattr(error, "name", None) or "").partition(".")[0]
            kind = "program_missing" if top in ("pyscf", "numpy") else "library_missing"
        elif isinstance(error, OSError) and error.errno in (28, 122):
            kind = "disk_full"
        elif isinstance(error, NotImplementedError):
            kind = "input_error"
        elif type(error).__name__ == "LinAlgError":
            kind = "input_basis"
            message = "the basis is linearly dependent: %s" % message
        elif type(error).__name__ == "BasisNotFoundError":
            kind = "input_basis"
        elif isinstance(error, KeyError) and "LibXCFunctional" in message:
            kind = "input_keyword"
    return {"kind": kind, "type": type(error).__name__, "message": message}


def main(path):
    """Run the calculation that the file at `path` describes, and write its result.

    Returns the exit code.
    """
    with open(path, encoding="utf-8") as file:
        call = json.load(file)
    found = {"wqmaster": VERSION, "threads": int(os.environ.get("OMP_NUM_THREADS", "1"))}
    calculation, code = None, 0
    try:
        calculation = Calculation(call)
        calculation.run()
    except Refused as error:
        print("%s: %s" % (error.kind, error), file=sys.stderr)
        found["error"] = failure(error)
        code = 1
    except BaseException as error:  # otherwise there would be no result and no reason
        traceback.print_exc()
        found["error"] = failure(error)
        code = 1
    if calculation is not None:
        try:
            found.update(calculation.report())
        except Exception as error:
            traceback.print_exc()
            found.setdefault("error", failure(error))
            code = 1
    found["versions"] = versions()
    found["finished"] = "error" not in found
    sys.stdout.flush()
    text = json.dumps(plain(found))
    with open(RESULT + ".part", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(RESULT + ".part", RESULT)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
