//! Exact solution of the linear assignment problem with the largest total weight.
//!
//! The solver is our own. `pathfinding` has `kuhn_munkres` for totally ordered (integer) weights only and needs
//! `O(n^3)` on easy problems too; `lapjv` handles square matrices only and needs `ndarray`.

use rarefy_kernels::matmul::transpose;

/// Solves the assignment problem: gives each row a different column so that the sum of the weights of these
/// pairs is the largest possible.
///
/// Returns the column of each row. If there are more rows than columns, the rows without a column have `None`.
///
/// # Shapes
/// `weights`: `[rows, columns]`.
///
/// # Panics
/// If the number of weights is not a multiple of `columns`, or a weight is NaN or infinite.
///
/// # Numerics
/// Sums are `f64`. The result is deterministic, also if several assignments are best. For `short` rows and
/// `long` columns (or the reverse) the cost is `O(short^2 long)` at worst, and far less if the largest weights
/// of most rows lie in different columns.
///
/// # Source
/// Shortest augmenting paths over reduced costs: Jonker and Volgenant 1987, *A shortest augmenting
/// path algorithm for dense and sparse linear assignment problems*.
///
/// # Example
/// ```
/// use rarefy::metrics::truth::assign;
/// // Both rows like the first column best; 0.8 + 0.1 is more than 0.9 - 0.5.
/// assert_eq!(assign(&[0.9, 0.1, 0.8, -0.5], 2), [Some(1), Some(0)]);
/// assert_eq!(assign(&[0.2, 0.7, 0.5], 1), [None, Some(0), None]);
/// ```
#[track_caller]
pub fn assign(weights: &[f32], columns: usize) -> Vec<Option<usize>> {
    assert!(
        columns > 0 && weights.len().is_multiple_of(columns),
        "{} weights are not rows of {columns}",
        weights.len()
    );
    assert!(
        weights.iter().all(|w| w.is_finite()),
        "weights must be finite numbers"
    );
    let rows = weights.len() / columns;
    if rows <= columns {
        return Search::new(weights, columns)
            .solve()
            .into_iter()
            .map(Some)
            .collect();
    }
    let transposed = transpose(weights, rows, columns);
    let mut of_row = vec![None; rows];
    for (column, row) in Search::new(&transposed, rows)
        .solve()
        .into_iter()
        .enumerate()
    {
        of_row[row] = Some(column);
    }
    of_row
}

/// Marker for "no column" and "no row".
const NONE: usize = usize::MAX;

/// State of the search: pairs of row and column, and dual prices.
///
/// Invariant: the reduced cost `-weight_ij - row_price_i - column_price_j` is 0 for pairs and at least 0 for
/// all other (i, j), and a column without a row has the price 0. Once every row has a column, the invariant
/// proves that no other assignment has a larger weight.
struct Search<'a> {
    weights: &'a [f32],
    columns: usize,
    row_price: Vec<f64>,
    column_price: Vec<f64>,
    row_of: Vec<usize>,
    column_of: Vec<usize>,
    /// Length of the shortest path so far from the current unassigned row to each column.
    distance: Vec<f64>,
    /// Row before each column on that path.
    before: Vec<usize>,
    /// Permutation of the columns: first the ones whose shortest path is final, then all others.
    order: Vec<usize>,
}

impl<'a> Search<'a> {
    /// Initial state: each row is priced by its column of largest weight and gets that column, unless an earlier
    /// row has it.
    fn new(weights: &'a [f32], columns: usize) -> Self {
        let rows = weights.len() / columns;
        let mut search = Self {
            weights,
            columns,
            row_price: Vec::with_capacity(rows),
            column_price: vec![0.0; columns],
            row_of: vec![NONE; columns],
            column_of: vec![NONE; rows],
            distance: vec![0.0; columns],
            before: vec![NONE; columns],
            order: (0..columns).collect(),
        };
        for (row, values) in weights.chunks_exact(columns).enumerate() {
            let mut favourite = 0;
            for (column, value) in values.iter().enumerate() {
                if *value > values[favourite] {
                    favourite = column;
                }
            }
            search.row_price.push(-f64::from(values[favourite]));
            if search.row_of[favourite] == NONE {
                search.pair(row, favourite);
            }
        }
        search
    }

    /// Assigns all rows and returns the column of each row.
    fn solve(mut self) -> Vec<usize> {
        for row in 0..self.column_of.len() {
            if self.column_of[row] == NONE {
                self.augment(row);
            }
        }
        self.column_of
    }

    /// Pairs a row with a column.
    fn pair(&mut self, row: usize, column: usize) {
        self.row_of[column] = row;
        self.column_of[row] = column;
    }

    /// Assigns a column to a row along the shortest augmenting path: each row on the path takes the column after
    /// it.
    fn augment(&mut self, row: usize) {
        self.distance.fill(f64::INFINITY);
        let (mut reached, mut from, mut length) = (0, row, 0.0);
        let free = loop {
            let at = self.extend_paths(from, length, reached);
            let column = self.order[at];
            length = self.distance[column];
            self.order.swap(reached, at);
            reached += 1;
            if self.row_of[column] == NONE {
                break column;
            }
            from = self.row_of[column];
        };
        // The prices of columns nearer than the end change by the difference, which keeps the invariant.
        self.row_price[row] += length;
        for &column in &self.order[..reached - 1] {
            let nearer = length - self.distance[column];
            self.column_price[column] -= nearer;
            self.row_price[self.row_of[column]] += nearer;
        }
        let mut column = free;
        while column != NONE {
            let taker = self.before[column];
            let left = self.column_of[taker];
            self.pair(taker, column);
            column = left;
        }
    }

    /// Extends the paths from a row at distance `so_far` to the columns without a final path. Returns the
    /// position in `order` of the nearest column; if several are equally near, of an unassigned one.
    fn extend_paths(&mut self, row: usize, so_far: f64, reached: usize) -> usize {
        let weights = &self.weights[row * self.columns..][..self.columns];
        let base = so_far - self.row_price[row];
        let (mut nearest, mut shortest) = (reached, f64::INFINITY);
        for (at, &column) in self.order.iter().enumerate().skip(reached) {
            let length = base - f64::from(weights[column]) - self.column_price[column];
            let distance = &mut self.distance[column];
            if length < *distance {
                *distance = length;
                self.before[column] = row;
            }
            if *distance < shortest || (*distance == shortest && self.row_of[column] == NONE) {
                (nearest, shortest) = (at, *distance);
            }
        }
        nearest
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::Rng;

    fn total(weights: &[f32], columns: usize, of_row: &[Option<usize>]) -> f64 {
        let mut taken = vec![false; columns];
        let pairs = of_row
            .iter()
            .enumerate()
            .filter_map(|(row, c)| Some((row, (*c)?)));
        pairs
            .map(|(row, column)| {
                assert!(
                    !std::mem::replace(&mut taken[column], true),
                    "{column} twice"
                );
                f64::from(weights[row * columns + column])
            })
            .sum()
    }

    /// Largest total weight of the rows from `row` on, over all assignments that use no column of `taken`.
    fn best(weights: &[f32], columns: usize, row: usize, taken: u32, skips: usize) -> f64 {
        if row == weights.len() / columns {
            return 0.0;
        }
        let mut most = f64::NEG_INFINITY;
        if skips > 0 {
            most = best(weights, columns, row + 1, taken, skips - 1);
        }
        for column in (0..columns).filter(|c| taken & (1 << c) == 0) {
            let rest = best(weights, columns, row + 1, taken | 1 << column, skips);
            most = most.max(f64::from(weights[row * columns + column]) + rest);
        }
        most
    }

    #[test]
    fn small_assignments_equal_exhaustive_search() {
        let mut rng = Rng::seed_from_u64(1);
        for trial in 0..400 {
            let (rows, columns) = (rng.random_range(1..7), rng.random_range(1..7));
            // Every other trial has integer weights from -2 to 2, so that many are equal.
            let weights: Vec<f32> = (0..rows * columns)
                .map(|_| match trial % 2 {
                    0 => rng.random::<f32>() - 0.5,
                    _ => rng.random_range(-2..3) as f32,
                })
                .collect();
            let of_row = assign(&weights, columns);
            let given = of_row.iter().flatten().count();
            assert_eq!(given, rows.min(columns));
            let skips = rows.saturating_sub(columns);
            let (got, expected) = (
                total(&weights, columns, &of_row),
                best(&weights, columns, 0, 0, skips),
            );
            assert!(
                (got - expected).abs() < 1e-6,
                "{got}, {expected}: {weights:?}"
            );
        }
    }

    /// Sizes too large for an exhaustive search: swapping two columns gains nothing, and the transposed problem
    /// has the same total.
    #[test]
    fn large_assignment_is_not_improved_by_swaps_and_equals_transposed() {
        let (rows, columns) = (90, 140);
        let mut rng = Rng::seed_from_u64(2);
        let weights: Vec<f32> = (0..rows * columns).map(|_| rng.random()).collect();
        let of_row = assign(&weights, columns);
        let weight = |row: usize, column: usize| weights[row * columns + column];
        // Every row has a column.
        let given: Vec<usize> = of_row.iter().flatten().copied().collect();
        for (a, own) in given.iter().enumerate() {
            for (b, other) in given.iter().enumerate() {
                let (kept, changed) = (
                    weight(a, *own) + weight(b, *other),
                    weight(a, *other) + weight(b, *own),
                );
                assert!(kept >= changed - 1e-5);
            }
        }
        let transposed = transpose(&weights, rows, columns);
        let (one, two) = (
            total(&weights, columns, &of_row),
            total(&transposed, rows, &assign(&transposed, rows)),
        );
        assert!((one - two).abs() < 1e-6, "{one}, {two}");
    }
}
