"""Values of scipy for the p-values of `latents/significance.rs`. Prints lines of Rust; nothing is read or written.

scipy 1.17.1, numpy of any version.
"""

import math

from scipy import stats


def of_correlation(r, n):
    t = r * math.sqrt((n - 2) / (1 - r * r))
    return 2 * stats.t.sf(abs(t), n - 2)


for r, n in [(0.5, 10), (-0.5, 10), (0.01, 1000), (0.2, 300), (0.9, 50), (0.3, 5), (0.05, 100_000)]:
    print(f"near(of_correlation({r}, {n}.0), {of_correlation(r, n):.17e});")

for table in [(30, 20, 10, 40), (500, 300, 9000, 8000), (8, 2, 1, 5), (3, 0, 2, 95), (0, 7, 30, 40), (1, 3, 40, 400)]:
    a, b, c, d = table
    chi2 = stats.chi2_contingency([[a, b], [c, d]], correction=False)
    n = a + b + c + d
    least = min(a + b, c + d) * min(a + c, b + d) / n
    p = stats.fisher_exact([[a, b], [c, d]]).pvalue
    print(f"near2(of_table([{a}.0, {b}.0, {c}.0, {d}.0]), {chi2.statistic:.17e}, {p:.17e});")
