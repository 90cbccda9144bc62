//! The assignment of largest total weight, exactly.

/// For each row the column that it is given, so that no two rows share one, as many pairs as possible
/// are made and the sum of their weights is the largest there is.
///
/// Where rows are more than columns, the rows that go without get `None`.
///
/// # Shapes
/// `weights`: `[rows, columns]`.
///
/// # Panics
/// If `weights` is no whole number of rows, or one of them is not finite.
///
/// # Numerics
/// Sums in f64. Of several best assignments one is found, the same each time. The cost is
/// `O(short^2 long)` at worst and far less where most rows have a favourite of their own.
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
        "a weight is no finite number"
    );
    let rows = weights.len() / columns;
    if rows <= columns {
        return Search::new(weights, columns)
            .solve()
            .into_iter()
            .map(Some)
            .collect();
    }
    let mut turned = vec![0.0; weights.len()];
    for (row, values) in weights.chunks_exact(columns).enumerate() {
        for (column, value) in values.iter().enumerate() {
            turned[column * rows + row] = *value;
        }
    }
    let mut of_row = vec![None; rows];
    for (column, row) in Search::new(&turned, rows).solve().into_iter().enumerate() {
        of_row[row] = Some(column);
    }
    of_row
}

/// No column, or no row.
const NONE: usize = usize::MAX;

/// Pairs and prices, with `loss(i, j) = -weight_ij - row_price_i - column_price_j >= 0` for all and 0
/// for pairs, and a price of 0 for columns without a row. Where every row has a column, no other
/// assignment weighs more.
struct Search<'a> {
    weights: &'a [f32],
    columns: usize,
    row_price: Vec<f64>,
    column_price: Vec<f64>,
    row_of: Vec<usize>,
    column_of: Vec<usize>,
    /// Length of the shortest path to each column, from the row that looks for one.
    distance: Vec<f64>,
    /// The row before each column on it.
    before: Vec<usize>,
    /// Columns: those that the paths have reached for good, then the others.
    order: Vec<usize>,
}

impl<'a> Search<'a> {
    /// Each row priced by its favourite column, which it gets if it is the first that wants it.
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

    /// The column of each row.
    fn solve(mut self) -> Vec<usize> {
        for row in 0..self.column_of.len() {
            if self.column_of[row] == NONE {
                self.give(row);
            }
        }
        self.column_of
    }

    fn pair(&mut self, row: usize, column: usize) {
        self.row_of[column] = row;
        self.column_of[row] = column;
    }

    /// Finds a column for a row by the shortest path: each row on it takes the column behind it.
    fn give(&mut self, row: usize) {
        self.distance.fill(f64::INFINITY);
        let (mut reached, mut from, mut length) = (0, row, 0.0);
        let free = loop {
            let at = self.look_from(from, length, reached);
            let column = self.order[at];
            length = self.distance[column];
            self.order.swap(reached, at);
            reached += 1;
            if self.row_of[column] == NONE {
                break column;
            }
            from = self.row_of[column];
        };
        // Prices stay right: what is nearer than the end moves by as much as it is nearer.
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

    /// Shortens the paths to the columns that are not reached for good by going on from a row at
    /// this distance; the place in `order` of the nearest, a free one where several are.
    fn look_from(&mut self, row: usize, so_far: f64, reached: usize) -> usize {
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

    /// The best of all assignments of the rows from `row` on that use no column of `taken`.
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
    fn no_assignment_is_better() {
        let mut rng = Rng::seed_from_u64(1);
        for trial in 0..400 {
            let (rows, columns) = (rng.random_range(1..7), rng.random_range(1..7));
            // Every other time weights of few values, so that many are equal.
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

    /// Too many to try all; but no two rows could gain by changing columns, and the other way round
    /// it is the same sum.
    #[test]
    fn larger_ones_cannot_be_improved_by_hand() {
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
        let turned: Vec<f32> = (0..rows * columns)
            .map(|i| weight(i % rows, i / rows))
            .collect();
        let (one, two) = (
            total(&weights, columns, &of_row),
            total(&turned, rows, &assign(&turned, rows)),
        );
        assert!((one - two).abs() < 1e-6, "{one}, {two}");
    }
}
