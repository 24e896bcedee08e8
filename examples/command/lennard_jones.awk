# Energy and gradient of a Lennard-Jones cluster: 4 e ((s/r)^12 - (s/r)^6) over all pairs.
#   awk -f lennard_jones.awk atoms.dat
# Reads lines `epsilon K`, `sigma ANGSTROM`, `atom X Y Z`; writes the energy (kelvin) to standard
# output and the gradient (kelvin/Angstrom, a row an atom) to gradient.dat.
$1 == "epsilon" { epsilon = $2 }
$1 == "sigma" { sigma = $2 }
$1 == "atom" { n++; x[n] = $2; y[n] = $3; z[n] = $4 }
END {
    if (!(epsilon > 0) || !(sigma > 0)) { print "epsilon or sigma is missing"; exit 2 }
    for (i = 1; i <= n; i++) {
        for (j = i + 1; j <= n; j++) {
            dx = x[i] - x[j]; dy = y[i] - y[j]; dz = z[i] - z[j]
            r2 = dx * dx + dy * dy + dz * dz
            s6 = (sigma * sigma / r2) ^ 3
            energy += 4 * epsilon * (s6 * s6 - s6)
            slope = -24 * epsilon * (2 * s6 * s6 - s6) / r2
            gx[i] += slope * dx; gy[i] += slope * dy; gz[i] += slope * dz
            gx[j] -= slope * dx; gy[j] -= slope * dy; gz[j] -= slope * dz
        }
    }
    for (i = 1; i <= n; i++) printf "%.12e %.12e %.12e\n", gx[i], gy[i], gz[i] > "gradient.dat"
    printf "atoms  %d\n", n
    printf "energy %.12e K\n", energy
    print "done"
}
