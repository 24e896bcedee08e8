import sys

import numpy as np
import pytest

from tests.unit.molecules_of_rdkit import built, turned
from wqmaster.datasets import canonical as canonical_module
from wqmaster.datasets import graphs
from wqmaster.datasets.canonical import canonical
from wqmaster.datasets.graphs import graph_key, perceived
from wqmaster.error_codes import ErrorCode
from wqmaster.errors import ServiceError


def key_of(smiles, charge=0, multiplicity=1, with_smiles=False):
    numbers, (places, *_) = built(smiles)
    return graph_key(numbers, places, charge, multiplicity, smiles if with_smiles else None)


def mixed(labels, bonds, random):
    """The same graph with its vertices in another order."""
    order = random.permutation(len(labels)).tolist()
    new = [0] * len(labels)
    for place, label in zip(order, labels, strict=True):
        new[place] = label
    pairs = [(order[one], order[other])[:: random.choice([-1, 1])] for one, other in bonds]
    random.shuffle(pairs)
    return new, pairs


ORGANIC = [
    "C", "O", "N#N", "[H][H]", "CC(=O)O", "c1ccccc1", "C1CC2CCC1C2", "CC(C)(C)C", "S=C=S",
    "OCC1OC(O)C(O)C(O)C1O", "C12C3C4C1C5C2C3C45", "C1C2CC12", "C12CC1C2", "CS(=O)(=O)N",
    "OP(=O)(O)O", "FC(F)(F)Br", "C[Si](C)(C)C", "c1ccc2c(c1)[nH]c1ccccc12", "O=C1CSC1",
    "Ic1ccccc1",
]  # fmt: skip


@pytest.mark.parametrize("smiles", ORGANIC)
def test_all_conformers_have_the_key_of_their_smiles(smiles):
    numbers, conformers = built(smiles, 5)
    wanted = graph_key(numbers, conformers[0], 0, 1, smiles)
    assert {graph_key(numbers, places, 0, 1) for places in conformers} == {wanted}


@pytest.mark.parametrize("smiles", ["CC(N)C(=O)OCc1ccccc1", "CC(C)(C)C", "C1CC2CCC1C2"])
def test_the_order_of_atoms_and_the_orientation_do_not_matter(smiles):
    numbers, (places, *_) = built(smiles)
    random = np.random.default_rng(1)
    wanted = graph_key(numbers, places, 0, 1)
    for _ in range(10):
        order = random.permutation(len(numbers))
        other = (places @ turned(random))[order] + 3
        assert graph_key(numbers[order].tolist(), other.tolist(), 0, 1) == wanted


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O"),  # enantiomers
        ("C[C@H](O)[C@H](C)N", "C[C@H](O)[C@@H](C)N"),  # diastereomers
        ("F/C=C/F", "F/C=C\\F"),
    ],
)
def test_stereoisomers_have_one_key(one, other):
    assert key_of(one) == key_of(other)
    assert key_of(one, with_smiles=True) == key_of(other, with_smiles=True)


def test_resonance_forms_have_one_key():
    forms = ("C[N+](=O)[O-]", "CN(=O)=O", "C[N+]([O-])=O")
    numbers, (places, *_) = built(forms[0])
    assert len({graph_key(numbers, places, 0, 1, form) for form in forms}) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("CC(=O)C", "CC(O)=C"),  # tautomers
        ("Oc1ccccn1", "O=c1cccc[nH]1"),
        ("[NH3+]CC(=O)[O-]", "NCC(=O)O"),  # zwitterion
        ("CCO", "COC"),
        ("C1CCC2CCCCC2C1", "C1CCCCC1C1CCCC1"),
        ("C1CC1C1CC1", "C1CCC=CC1"),
    ],
)
def test_isomers_with_other_bonds_have_different_keys(one, other):
    assert key_of(one) != key_of(other)
    assert key_of(one, with_smiles=True) != key_of(other, with_smiles=True)


def test_two_triangles_and_a_hexagon_differ_though_all_their_vertices_look_alike():
    ring = [(place, (place + 1) % 6) for place in range(6)]
    prism = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3), (0, 3), (1, 4), (2, 5)]
    bipartite = [(one, other) for one in range(3) for other in range(3, 6)]
    triangles = [(0, 1), (1, 2), (2, 0), (3, 4), (4, 5), (5, 3)]
    keys = {canonical([6] * 6, bonds) for bonds in (ring, prism, bipartite, triangles)}
    assert len(keys) == 4


def test_ions_radicals_and_spin_states_differ_from_the_neutral_singlet():
    numbers, (places, *_) = built("c1ccccc1")
    states = [(0, 1), (1, 2), (-1, 2), (0, 3), (2, 1)]
    assert len({graph_key(numbers, places, *state) for state in states}) == len(states)


def test_the_bonds_of_the_smiles_are_used_only_if_its_atoms_are_those_of_the_molecule():
    numbers, (places, *_) = built("CCO")
    wanted = graph_key(numbers, places, 0, 1)
    assert graph_key(numbers, places, 0, 1, "COC") != wanted
    for unfit in ("CCN", "not a SMILES", "", "C*", "[CH2]CO"):
        assert graph_key(numbers, places, 0, 1, unfit) == wanted


def test_metals_are_left_out_of_bonds_in_smiles_and_in_geometries():
    # [Zn(NH3)4]2+ with bonds of 2.0 Angstrom, and the four ligands apart from the metal.
    ammonia, (shape, *_) = built("N")
    corners = np.array([(1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1)]) / 3**0.5
    lone = -(shape[1:].mean(axis=0) - shape[0])
    numbers, places = [30], [np.zeros(3)]
    for corner in corners:
        away = shape - shape[0]
        one, other = lone / np.linalg.norm(lone), -corner
        # The rotation by 180 degrees about the bisector turns the lone pair towards the metal.
        middle = (one + other) / np.linalg.norm(one + other)
        rotation = 2 * np.outer(middle, middle) - np.eye(3)
        numbers += ammonia.tolist()
        places += list(2.0 * corner + away @ rotation.T)
    key = graph_key(numbers, places, 2, 1)
    assert key == graph_key(numbers, places, 2, 1, "[NH3+][Zn-2]([NH3+])([NH3+])[NH3+]")
    assert key == graph_key(numbers, places, 2, 1, "N->[Zn+2](<-N)(<-N)<-N")
    assert key == graph_key(numbers, places, 2, 1, "N.N.N.N.[Zn+2]")
    assert key != graph_key([48, *numbers[1:]], places, 2, 1)


def test_fragments_and_salts_are_told_from_bonded_molecules():
    water, (shape, *_) = built("O")
    pair = [*water, *water]
    apart = np.concatenate([shape, shape + np.array([3.0, 0.0, 0.0])])
    assert graph_key(pair, apart, 0, 1) == graph_key(pair, apart, 0, 1, "O.O")
    assert graph_key([11, 17], [(0, 0, 0), (2.36, 0, 0)], 0, 1, "[Na+].[Cl-]") == graph_key(
        [17, 11], [(0, 0, 0), (5.0, 0, 0)], 0, 1
    )


def test_hydrogen_is_a_molecule_at_0_7_angstrom_and_two_atoms_at_3():
    bonded = graph_key([1, 1], [(0, 0, 0), (0, 0, 0.74)], 0, 1)
    apart = graph_key([1, 1], [(0, 0, 0), (0, 0, 3.0)], 0, 1)
    assert bonded != apart
    # What the document says about bonds counts, also for a frame of a dissociation.
    assert graph_key([1, 1], [(0, 0, 0), (0, 0, 3.0)], 0, 1, "[H][H]") == bonded


def test_single_atoms_and_no_atoms_have_keys():
    keys = {graph_key([number], [(1.0, 2.0, 3.0)], 0, 1) for number in range(1, 119)}
    assert len(keys) == 118
    assert graph_key([18], [(1.0, 2.0, 3.0)], 0, 1, "[Ar]") in keys
    assert graph_key([], [], 0, 1) not in keys


def test_a_hydrogen_bond_is_not_a_bond_and_a_bridge_of_boron_is():
    # Zundel-like: O...H is 1.3 Angstrom on one side and 1.1 on the other.
    hydroxide = [(0.0, 0.0, 0.0), (0.0, 0.0, 1.1), (0.0, 0.0, 2.4)]
    assert perceived([8, 1, 8], hydroxide) == [(0, 1)]
    # Diborane, Bartell and Carroll, J. Chem. Phys. 42, 1135 (1965): B-B 1.775, B-H 1.339.
    half, bridge = 1.775 / 2, (1.339**2 - (1.775 / 2) ** 2) ** 0.5
    diborane = [(half, 0, 0), (-half, 0, 0), (0, bridge, 0), (0, -bridge, 0)]
    assert set(perceived([5, 5, 1, 1], diborane)) == {(0, 1), (0, 2), (0, 3), (1, 2), (1, 3)}


def test_a_cage_of_four_rings_has_no_bond_across():
    numbers, (places, *_) = built("C1C2CC1C2")  # bicyclo[1.1.1]pentane
    bonds = perceived(numbers.tolist(), places)
    assert len(bonds) == 6 + 8


def test_a_geometry_without_recognizable_bonds_is_known_by_its_distances():
    collapsed = [(0.0, 0.0, 0.0), (0.0, 0.0, 0.2), (0.0, 1.0, 0.0)]
    assert perceived([6, 6, 8], collapsed) is None
    key = graph_key([6, 6, 8], collapsed, 0, 1)
    assert graph_key([8, 6, 6], [collapsed[2], collapsed[1], collapsed[0]], 0, 1) == key
    assert graph_key([6, 6, 8], np.array(collapsed) * 1.1, 0, 1) != key
    assert perceived([6, 8], [(0.0, 0.0, 0.0), (float("nan"), 0.0, 0.0)]) is None
    assert graph_key([6, 8], [(0.0, 0.0, 0.0), (float("nan"), 0.0, 0.0)], 0, 1)


def test_keys_do_not_change_between_versions():
    # The splits of existing data sets depend on these hashes.
    assert key_of("CC(=O)Oc1ccccc1C(=O)O") == "e1d009be5a91f73ce6a7"
    assert graph_key([8], [(0, 0, 0)], 0, 3) == "2eb1444e4f592e43bf4b"


@pytest.mark.parametrize("name", ["fullerene", "torus", "cubane", "dendrimer", "chain", "waters"])
def test_large_and_symmetric_graphs_have_a_canonical_form(name):
    width = 12
    known = {
        "fullerene": _fullerene(),
        "torus": [
            pair
            for x in range(width)
            for y in range(width)
            for pair in (
                (x * width + y, (x + 1) % width * width + y),
                (x * width + y, x * width + (y + 1) % width),
            )
        ],
        "cubane": [
            (one, other)
            for one in range(8)
            for other in range(one)
            if (one ^ other).bit_count() == 1
        ],
        "dendrimer": _dendrimer(),
        "chain": [(place, place + 1) for place in range(1999)],
        "waters": [(3 * place, 3 * place + end) for place in range(200) for end in (1, 2)],
    }
    bonds = known[name]
    labels = [6] * (max(map(max, bonds)) + 1)
    random = np.random.default_rng(2)
    assert len({canonical(*mixed(labels, bonds, random)) for _ in range(4)}) == 1
    # Moving one bond changes the form, though the degrees stay the same.
    (one, other), (third, fourth) = bonds[0], bonds[-1]
    changed = [(one, third), (other, fourth), *bonds[1:-1]]
    if name in ("torus", "cubane"):
        assert canonical(labels, changed) != canonical(labels, bonds)


def _fullerene():
    """C60 as the truncated icosahedron: one atom for each directed edge of the icosahedron."""
    golden = (1 + 5**0.5) / 2
    corners = [
        corner
        for x in (1, -1)
        for y in (golden, -golden)
        for corner in ((0, x, y), (x, y, 0), (y, 0, x))
    ]
    corners = np.array(corners)
    near = np.isclose(np.linalg.norm(corners[:, None] - corners[None], axis=2), 2)
    atoms = {pair: place for place, pair in enumerate(zip(*np.nonzero(near), strict=True))}
    bonds = {tuple(sorted((atoms[one, other], atoms[other, one]))) for one, other in atoms}
    for one, other in atoms:
        for third in np.flatnonzero(near[one] & near[other]):
            bonds.add(tuple(sorted((atoms[one, other], atoms[one, third]))))
    assert len(atoms) == 60
    assert len(bonds) == 90
    return sorted(bonds)


def _dendrimer():
    """36 benzene rings on a tree of branching points."""
    bonds, count = [], 1
    ends = [0] * 4
    for _ in range(2):
        further = []
        for end in ends:
            bonds.append((end, count))
            further += [count] * 3
            count += 1
        ends = further
    for end in ends:
        ring = list(range(count, count + 6))
        bonds += [(end, ring[0]), *zip(ring, [*ring[1:], ring[0]], strict=True)]
        count += 6
    return bonds


def test_canonical_forms_agree_with_canonical_smiles_of_rdkit():
    from rdkit import Chem

    parts = ["C1CC1", "c1ccccc1", "CC(C)C", "CN(C)C", "OC", "N#CC", "C1CCNC1", "OC(=O)C", "CC=CC"]
    ends = ["C", "N", "O", "C1CCC1", "c1ccncc1", "S"]
    random = np.random.default_rng(3)
    ours, theirs = {}, {}
    for one in parts:
        for middle in ("C", "N", "C(C)", "CC", "c1ccc(cc1)"):
            for end in ends:
                molecule = Chem.AddHs(Chem.MolFromSmiles(one + middle + end))
                labels = [atom.GetAtomicNum() for atom in molecule.GetAtoms()]
                pairs = [(b.GetBeginAtomIdx(), b.GetEndAtomIdx()) for b in molecule.GetBonds()]
                plain = Chem.RWMol()
                for label in labels:
                    atom = Chem.Atom(label)
                    atom.SetNoImplicit(True)
                    plain.AddAtom(atom)
                for pair in pairs:
                    plain.AddBond(*pair, Chem.BondType.SINGLE)
                mine = canonical(*mixed(labels, pairs, random))
                other = Chem.MolToSmiles(plain)
                assert ours.setdefault(other, mine) == mine
                assert theirs.setdefault(mine, other) == other
    assert len(ours) > 150


def test_a_search_that_takes_too_long_still_gives_one_key_for_all_orders(monkeypatch):
    monkeypatch.setattr(canonical_module, "_MOST_NODES", 3)
    random = np.random.default_rng(4)
    bonds = _fullerene()
    keys = {canonical(*mixed([6] * 60, bonds, random)) for _ in range(5)}
    assert len(keys) == 1
    assert canonical([6] * 60, bonds[1:]) not in keys


def test_without_rdkit_a_smiles_is_an_error_that_names_the_extra(monkeypatch):
    graphs._of_smiles.cache_clear()
    monkeypatch.setitem(sys.modules, "rdkit", None)
    with pytest.raises(ServiceError, match="pip install") as caught:
        graph_key([8, 1, 1], [(0, 0, 0), (0, 0, 1), (0, 1, 0)], 0, 1, "O")
    assert caught.value.code == ErrorCode.LIBRARY_MISSING
    assert graph_key([8, 1, 1], [(0, 0, 0), (0, 0, 1), (0, 1, 0)], 0, 1)
