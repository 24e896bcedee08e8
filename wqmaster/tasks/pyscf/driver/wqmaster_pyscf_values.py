# ruff: noqa: UP031, B905
"""The values of a PySCF calculation, and the versions of what computed them.

This file is sent to workers with `wqmaster_pyscf.py`; wqmaster never imports it.
"""

import contextlib
import sys


def plain(value):
    """`value` with NumPy's arrays and numbers as Python's lists and numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


class Values:
    """Collects the values of the converged density of `setup` in `found`, in atomic units."""

    def __init__(self, setup, found):
        self.setup, self.found = setup, found
        self.mol, self.mf = setup.mol, setup.mf
        self.scf_name, self.multiplicity = setup.scf_name, setup.multiplicity

    # --- values ----------------------------------------------------------------------------------

    def collect(self):
        """Collect all values."""
        import numpy

        mf, mol = self.mf, self.mol
        density = numpy.asarray(mf.make_rdm1())
        spins = density if density.ndim == 3 else numpy.array([density / 2, density / 2])
        total = spins.sum(axis=0)
        overlap = mol.intor_symmetric("int1e_ovlp")
        origin = numpy.zeros(3)
        charges, places = mol.atom_charges(), mol.atom_coords()
        with mol.with_common_origin(origin):
            first = mol.intor_symmetric("int1e_r", comp=3)
            second = mol.intor("int1e_rr", comp=9).reshape(3, 3, mol.nao, mol.nao)
        self.found["dipole"] = plain(charges @ places - numpy.einsum("xij,ji->x", first, total))
        self.found["quadrupole"] = plain(
            numpy.einsum("a,ax,ay->xy", charges, places, places)
            - numpy.einsum("xyij,ji->xy", second, total)
        )
        self.populations(spins, overlap)
        self.orbitals()
        ideal = (self.multiplicity - 1) / 2 * ((self.multiplicity - 1) / 2 + 1)
        value = float(mf.spin_square()[0]) if self.scf_name.startswith("U") else ideal
        self.found["s_squared"] = {"value": value, "ideal": ideal, "deviation": value - ideal}
        self.integrate(spins)
        self.energies(total)

    def populations(self, spins, overlap):
        """Collect atomic charges (e) and spin populations, shape (n,), by three definitions."""
        import numpy

        mol = self.mol
        slices = [(first, last) for _, _, first, last in mol.aoslice_by_atom()]

        def by_atom(values, parts=slices):
            return numpy.array([values[first:last].sum() for first, last in parts])

        def stated(name, up, down):
            self.found[name + "_charges"] = plain(mol.atom_charges() - up - down)
            if self.scf_name[0] != "R" or self.scf_name[1] == "O":
                self.found[name + "_spins"] = plain(up - down)

        stated(
            "mulliken",
            *(by_atom(numpy.einsum("ij,ji->i", density, overlap)) for density in spins),
        )
        values, vectors = numpy.linalg.eigh(overlap)
        root = (vectors * numpy.sqrt(numpy.clip(values, 0, None))) @ vectors.T
        stated("loewdin", *(by_atom(numpy.diag(root @ density @ root)) for density in spins))
        try:
            stated("iao", *self.iao(overlap, by_atom))
        except Exception as error:  # some elements have no minimal basis
            print("no IAO charges: %s" % error)

    def iao(self, overlap, by_atom):
        """Populations of each spin in intrinsic atomic orbitals (Knizia, doi 10.1021/ct400687b)."""
        import numpy
        from pyscf.lo import iao, orth

        mf = self.mf
        orbitals, occupations = numpy.asarray(mf.mo_coeff), numpy.asarray(mf.mo_occ)
        if occupations.ndim == 1:
            orbitals = (orbitals, orbitals)
            occupations = ((occupations > 0) * 1.0, (occupations > 1) * 1.0)
        minimal = iao.reference_mol(self.mol, "minao")
        parts = [(first, last) for _, _, first, last in minimal.aoslice_by_atom()]
        found = []
        for coefficients, filled in zip(orbitals, occupations):
            occupied = coefficients[:, filled > 0]
            if not occupied.shape[1]:
                found.append(numpy.zeros(self.mol.natm))
                continue
            basis = orth.vec_lowdin(iao.iao(self.mol, occupied), overlap)
            inner = basis.T @ overlap @ occupied
            found.append(by_atom((inner**2).sum(axis=1), parts))
        return found

    def orbitals(self):
        """Collect the orbital energies (Eh), the occupations, and the gaps (Eh)."""
        import numpy

        energies, filled = numpy.asarray(self.mf.mo_energy), numpy.asarray(self.mf.mo_occ)
        self.found["orbital_energies"] = plain(energies)
        self.found["orbital_occupations"] = plain(filled)
        if energies.ndim == 1:
            energies, filled = energies[None], filled[None]
        gaps = []
        for row, occupied in zip(energies, filled):
            if (occupied > 0).any() and (occupied == 0).any():
                gaps.append(row[occupied == 0].min() - row[occupied > 0].max())
        self.found["homo_lumo_gaps"] = plain(gaps)
        tops = [row[taken > 0].max() for row, taken in zip(energies, filled) if (taken > 0).any()]
        bottoms = [
            row[taken == 0].min() for row, taken in zip(energies, filled) if (taken == 0).any()
        ]
        if tops and bottoms:
            self.found["homo_lumo_gap"] = float(min(bottoms) - max(tops))

    def integrate(self, spins):
        """Collect the numbers of electrons that the grid gives for the density."""
        mf = self.mf
        if not self.scf_name.endswith("KS"):
            return
        numeric, grids = mf._numint, mf.grids
        if grids.coords is None:
            grids.build(with_non0tab=True)
        counts = [0.0, 0.0]
        for block in numeric.block_loop(self.mol, grids, self.mol.nao, deriv=0):
            values, mask, weights = block[0], block[1], block[2]
            for place, density in enumerate(spins):
                rho = numeric.eval_rho(self.mol, values, density, mask, xctype="LDA", hermi=1)
                counts[place] += float(rho @ weights)
        self.found["integrated_electrons"] = {
            "total": sum(counts),
            "alpha": counts[0],
            "beta": counts[1],
        }

    def energies(self, density):
        """Collect the energy and its parts (Eh)."""
        mf, summary = self.mf, self.mf.scf_summary
        self.found["energy"] = float(mf.e_tot)
        parts = {"nuclear": float(mf.energy_nuc())}
        names = {
            "e1": "one_electron",
            "coul": "coulomb",
            "exc": "xc",
            "e2": "two_electron",
            "dispersion": "dispersion",
            "e_solvent": "solvent",
            "e_cds": "solvent_cds",
        }
        for name, called in names.items():
            if name in summary:
                parts[called] = float(getattr(summary[name], "real", summary[name]))
        if self.scf_name.endswith("HF"):
            parts.pop("xc", None)
            parts.pop("coulomb", None)
        elif mf.do_nlc():
            numeric = mf._numint
            xc = mf.nlc if mf.nlc not in ("", None, True) else mf.xc
            if mf.nlcgrids.coords is None:
                mf.nlcgrids.build(with_non0tab=True)
            parts["nlc"] = float(numeric.nr_nlc_vxc(self.mol, mf.nlcgrids, xc, density)[1])
        self.found["energy_parts"] = parts


def versions():
    """The versions of PySCF and of the libraries that it uses."""
    found = {"python": sys.version.split()[0]}
    for name in ("pyscf", "numpy", "scipy", "h5py"):
        with contextlib.suppress(Exception):
            found[name] = __import__(name).__version__
    with contextlib.suppress(Exception):
        from pyscf.dft import libxc

        found["libxc"] = libxc.__version__
    with contextlib.suppress(Exception):
        from importlib import metadata

        for name in ("pyscf-dispersion", "geometric"):
            with contextlib.suppress(metadata.PackageNotFoundError):
                found[name] = metadata.version(name)
    return found
