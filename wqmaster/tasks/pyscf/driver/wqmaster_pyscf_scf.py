# ruff: noqa: UP031, B905
"""Solve the SCF equations, by ordinary cycles or by the second-order method.

This file is sent to workers with `wqmaster_pyscf.py`; wqmaster never imports it.

A solution that a remedy for the SCF led to is stored only if it is internally stable: no rotation
of its orbitals within the same method (RKS, UKS, ...) lowers the energy. A restricted solution is
not replaced by an unrestricted one, which would be another level of theory. That a solution is
stable does not mean that it is the lowest one. The second-order method therefore starts from
several guesses if the method is unrestricted, and keeps the lowest stable solution; the lowest
of all can still be another one. Solutions of ordinary cycles without such a remedy, and of methods
for which PySCF has no stability analysis, are taken as PySCF finds them.
"""

import contextlib
import math
import time

from wqmaster_pyscf_setup import Refused, Setup

# How many ordinary cycles precede the second-order method, and how often it may find an unstable
# solution before it gives up.
FIRST_CYCLES = 5
MAX_INSTABILITIES = 10
# The guesses from which the second-order method also starts if the method is unrestricted, and by
# how much the solution of a later start must be lower to replace an earlier one. If an orbital can
# turn freely around the axis of a molecule, as in NO, the grid alone makes energies differ by 2e-7
# Eh.
GUESSES = ("minao", "atom", "huckel")
LOWER_EH = 3e-7
# Names of starts that are not guesses: a failed attempt's orbitals, and the lowest solution so far
# after the rotation of its frontier orbitals.
CHECKPOINT_START, MIXED = "checkpoint", "mixed"
# Rotation between the highest occupied and the lowest empty orbital, opposite for the two spins.
MIXING_RADIANS = math.pi / 4
# The lowest eigenvalue (Eh) of a stable solution, as in PySCF's scf/stability.py, and how many
# rotations of single orbitals the search for it starts from.
UNSTABLE = -1e-5
SEARCHED_ROTATIONS = 4
# Settings of remedies that can lead to another solution than ordinary cycles do.
OTHER_WAYS = ("damping", "level_shift", "newton", "guess", "max_cycle")


class Solver(Setup):
    """A calculation that can solve the SCF equations, and that records how it did so.

    `is_stable` is None if the solution was not analyzed. `starts` has the energy (Eh) that each
    start of the second-order method led to, None if it led to no stable solution; `start` names the
    one with the lowest energy.
    """

    def __init__(self, call):
        super().__init__(call)
        self.timings = {}
        self.is_stable, self.starts, self.start = None, {}, None

    @contextlib.contextmanager
    def timed(self, name):
        """Add the duration of a `with` block, in seconds, to the timings."""
        begun = time.time()
        try:
            yield
        finally:
            self.timings[name] = self.timings.get(name, 0.0) + time.time() - begun

    def restart_density(self):
        """The density in a failed attempt's checkpoint; None if there is none that fits.

        Only arrays are read, since PySCF's own reader can evaluate text in the file.
        """
        name = self.settings.get("checkpoint")
        if not name:
            return None
        import h5py
        import numpy

        try:
            with h5py.File(name, "r") as file:
                orbitals = numpy.asarray(file["scf/mo_coeff"][()], dtype=float)
                occupations = numpy.asarray(file["scf/mo_occ"][()], dtype=float)
        except Exception as error:
            print("the checkpoint %s is not used: %s" % (name, error))
            return None
        unrestricted = self.scf_name.startswith("U")
        if orbitals.ndim != (3 if unrestricted else 2) or orbitals.shape[-2] != self.mol.nao:
            print("the checkpoint %s is not used: it has other dimensions" % name)
            return None
        if not (numpy.isfinite(orbitals).all() and numpy.isfinite(occupations).all()):
            print("the checkpoint %s is not used: a number in it is not finite" % name)
            return None
        return self.mf.make_rdm1(orbitals, occupations)

    def run_scf(self, density=None):
        """Solve the equations at the molecule's present geometry.

        Raises:
            Refused: they did not converge, or a remedy led to no stable solution.
        """
        mf = self.mf
        self.is_stable, self.starts, self.start = None, {}, None
        with self.timed("scf"):
            if self.settings.get("newton"):
                self.solve_second_order(density)
            else:
                mf.kernel(dm0=density)
                self.cycles = mf.cycles
                if mf.converged and any(self.settings.get(name) for name in OTHER_WAYS):
                    self.leave_unstable()
        if not mf.converged:
            raise Refused(
                "scf_not_converged", "the SCF did not converge in %d cycles" % self.cycles
            )

    def leave_unstable(self):
        """If the solution of ordinary cycles is unstable, replace it by a stable one below it.

        Raises:
            Refused: no stable solution was found.
        """
        orbitals, self.is_stable = self.analyze(self.mf)
        if self.is_stable is False:
            self.adopt(self.descend(orbitals, self.mf.mo_occ))

    def solve_second_order(self, density):
        """Solve the equations by the second-order method; keep the lowest solution of its starts.

        Raises:
            Refused: no start led to a stable solution; the error is that of the first start.
        """
        self.cycles, lowest, first_error = 0, None, None
        for name in self.second_order_starts(density):
            if name == MIXED and lowest is None:
                break
            try:
                if name == MIXED:
                    found = self.descend(mixed(lowest.mo_coeff, lowest.mo_occ), lowest.mo_occ)
                else:
                    found = self.descend(*self.first_orbitals(name, density))
            except Refused as error:
                self.starts[name], first_error = None, first_error or error
                continue
            self.starts[name] = float(found.e_tot)
            if lowest is None or found.e_tot < lowest.e_tot - LOWER_EH:
                lowest, self.start = found, name
        if lowest is None:
            raise first_error
        self.adopt(lowest)

    def second_order_starts(self, density):
        """The names of the initial guesses for the second-order method, the usual one first."""
        first = self.mf.init_guess if density is None else CHECKPOINT_START
        if not self.scf_name.startswith("U"):
            return [first]
        return [first, *(guess for guess in GUESSES if guess != first), MIXED]

    def first_orbitals(self, start, density):
        """Orbitals and occupations after a few ordinary cycles.

        Raises:
            Refused: PySCF cannot make the guess for this molecule.
        """
        mf = self.mf
        if start != CHECKPOINT_START:
            density = None
            if start != mf.init_guess:
                try:
                    density = mf.get_init_guess(key=start)
                except Exception as error:  # of many kinds, such as for an element without data
                    message = "no guess '%s' for this molecule: %s" % (start, error)
                    raise Refused("scf_not_converged", message) from error
        cycles, mf.max_cycle = mf.max_cycle, min(FIRST_CYCLES, mf.max_cycle)
        mf.kernel(dm0=density)
        mf.max_cycle = cycles
        self.cycles += mf.cycles
        return mf.mo_coeff, mf.mo_occ

    def descend(self, orbitals, occupations):
        """The stable solution that the second-order method reaches from `orbitals`.

        The method can converge to a saddle point, whose energy other programs would not reproduce.
        So it is restarted along the unstable direction until there is none.

        Raises:
            Refused: it did not converge, or its solution is still unstable after many restarts.
        """
        second = self.mf.newton()
        for _ in range(MAX_INSTABILITIES):
            self.converge(second, orbitals, occupations)
            orbitals, is_stable = self.analyze(second)
            if is_stable is not False:
                self.is_stable = is_stable
                return second
            occupations = second.mo_occ
        raise Refused("scf_not_converged", "the second-order method found no stable solution")

    def converge(self, second, orbitals, occupations):
        """Converge the second-order method `second`.

        Raises:
            Refused: it did not converge.
        """
        second.kernel(orbitals, occupations)
        self.cycles += getattr(second, "cycles", None) or 0
        if not second.converged:
            message = "the second-order method did not converge in %d cycles" % second.max_cycle
            raise Refused("scf_not_converged", message)

    def adopt(self, second):
        """Make the solution of a second-order method that of the calculation.

        One more cycle makes everything that PySCF keeps from its last cycle belong to this
        solution: parts of the energy, the charges of a solvent, the checkpoint.

        Raises:
            Refused: that cycle did not converge.
        """
        mf = self.mf
        self.converge(second, second.mo_coeff, second.mo_occ)
        mf.mo_coeff, mf.mo_occ = second.mo_coeff, second.mo_occ
        mf.mo_energy, mf.e_tot = second.mo_energy, second.e_tot
        mf.converged, mf.scf_summary = second.converged, second.scf_summary

    def analyze(self, method):
        """The orbitals of a solution, rotated if it is unstable, and whether it is stable.

        The rotation is along the unstable direction. Instead of whether it is stable, None is
        returned if PySCF has no analysis for the method, or if the analysis did not converge.

        The eigenvalues are those of PySCF's own analysis (scf/stability.py), of the Hessian of
        orbital rotations. But PySCF starts its search from one vector of nearly equal elements,
        which missed an eigenvalue of -0.36 of ethylene twisted by 90 degrees, and that of stretched
        H2 which breaks the symmetry between the spins. This search starts from the rotations with
        the lowest diagonal elements, and from a random one, which has a share in every symmetry.
        """
        import numpy
        from pyscf import lib

        second = method if hasattr(method, "gen_g_hop") else method.newton()
        orbitals, occupations = method.mo_coeff, method.mo_occ
        solvent = getattr(method, "with_solvent", None)
        with contextlib.ExitStack() as stack:
            if solvent is not None:  # as in PySCF's own method (solvent/_attach_solvent.py)
                stack.enter_context(lib.temporary_env(solvent, equilibrium_solvation=True))
            try:
                _, apply, diagonal = second.gen_g_hop(orbitals, occupations)
            except NotImplementedError:
                return orbitals, None
            if not diagonal.size:
                return orbitals, True  # every orbital is occupied, or none is
            diagonal = 2 * diagonal
            places = numpy.argsort(diagonal)[:SEARCHED_ROTATIONS]
            starts = [numpy.zeros(diagonal.size) for _ in places]
            for start, place in zip(starts, places):
                start[place] = 1
            if diagonal.size > SEARCHED_ROTATIONS:
                starts.append(numpy.random.default_rng(1).normal(size=diagonal.size))

            def divided(residual, value, *_):
                distance = diagonal - value
                distance[abs(distance) < 1e-8] = 1e-8
                return residual / distance

            converged, values, vectors = lib.davidson1(
                lambda rotations: [2 * apply(one).real for one in rotations],
                starts,
                divided,
                tol=1e-4,
                nroots=min(3, diagonal.size),
            )
        if values[0] >= UNSTABLE:
            return orbitals, True if converged[0] else None
        turn = second.update_rotate_matrix(vectors[0], occupations, mo_coeff=orbitals)
        return second.rotate_mo(orbitals, turn), False


def mixed(orbitals, occupations):
    """Unrestricted orbitals with mixed frontier orbitals, in opposite ways for the two spins.

    The electrons of the two spins then prefer different places, as in a broken bond.
    """
    import numpy

    found = numpy.array(orbitals)
    for spin, angle in ((0, MIXING_RADIANS), (1, -MIXING_RADIANS)):
        filled = numpy.flatnonzero(occupations[spin] > 0)
        empty = numpy.flatnonzero(occupations[spin] == 0)
        if filled.size and empty.size:
            pair = [filled[-1], empty[0]]
            cosine, sine = math.cos(angle), math.sin(angle)
            turn = numpy.array([[cosine, -sine], [sine, cosine]])
            found[spin][:, pair] = found[spin][:, pair] @ turn
    return found
