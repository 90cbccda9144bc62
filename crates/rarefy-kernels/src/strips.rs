//! Order in which elementwise kernels visit a matrix: strips of sixteen columns, top to bottom.
//!
//! A column's bias and sums then stay in registers and are not loaded and stored for each value.
//!
//! Rows of k values lie end to end. If k is no multiple of 16, several rows are visited as one long row
//! of complete registers (16 rows of 25 values are 25 registers). Only the last few rows of a matrix
//! have incomplete registers.

use crate::lanes::{LANES, Lanes, V};

/// Values of a band of adjacent strips, which are visited before the band below. The band fits the L1
/// cache, and each row is read on from the end of the strip before.
const BAND: usize = 8192;
/// Smallest and largest number of registers in a strip.
const LENGTHS: (usize, usize) = (4, 32);

/// Registers below one another (or a single incomplete one) with their columns.
#[derive(Clone, Copy)]
pub(crate) struct Strip {
    /// Place of the first register.
    first: usize,
    registers: usize,
    /// Distance between the first values of two registers.
    period: usize,
    /// Column of a register's first value.
    column: usize,
    k: usize,
}

/// Strips of a matrix with `n` rows and `k` columns, left to right and top to bottom.
///
/// This is an iterator and no callback: a closure is not compiled for the kernel's instructions.
#[inline(always)]
pub(crate) fn strips(n: usize, k: usize) -> impl Iterator<Item = Strip> {
    let (period, periods) = periods(n, k);
    let length = (BAND / period).clamp(LENGTHS.0, LENGTHS.1);
    let across = period / LANES;
    (0..periods.div_ceil(length) * across).map(move |index| {
        let (top, left) = (index / across * length, index % across * LANES);
        Strip {
            first: top * period + left,
            registers: length.min(periods - top),
            period,
            column: left % k,
            k,
        }
    })
}

/// Strips of one register for the last few rows, each with its number of values.
#[inline(always)]
pub(crate) fn rest(n: usize, k: usize) -> impl Iterator<Item = (Strip, usize)> {
    let (period, periods) = periods(n, k);
    let end = n * k;
    (periods * period..end).step_by(LANES).map(move |at| {
        let strip = Strip {
            first: at,
            registers: 1,
            period,
            column: at % k,
            k,
        };
        (strip, LANES.min(end - at))
    })
}

/// Values in a long row, and the number of long rows.
#[inline(always)]
fn periods(n: usize, k: usize) -> (usize, usize) {
    // Powers of two below 16: the rows that make k * rows a multiple of 16.
    let rows = LANES >> k.trailing_zeros().min(LANES.trailing_zeros());
    (rows * k, n / rows)
}

impl Strip {
    /// Positions of the strip's registers in the matrix, from top to bottom.
    #[inline(always)]
    pub(crate) fn places(self) -> impl Iterator<Item = usize> {
        (0..self.registers).map(move |register| self.first + register * self.period)
    }

    /// Values of the strip's columns, from a vector with one value for each column.
    #[inline(always)]
    pub(crate) fn take<L: Lanes>(self, of_columns: &[f32]) -> V<L> {
        if self.column + LANES <= self.k {
            return V::load(of_columns, self.column, LANES);
        }
        let mut taken = [0.0; LANES];
        let mut column = self.column;
        for value in &mut taken {
            *value = of_columns[column];
            column = if column + 1 == self.k { 0 } else { column + 1 };
        }
        V(L::load(&taken))
    }

    /// Adds the first `count` sums of the strip to the sums of its columns.
    #[inline(always)]
    pub(crate) fn add<L: Lanes>(self, sums: L::D, count: usize, of_columns: &mut [f64]) {
        let sums = L::sums(sums);
        if count == LANES && self.column + LANES <= self.k {
            let of_columns = &mut of_columns[self.column..self.column + LANES];
            of_columns
                .iter_mut()
                .zip(sums)
                .for_each(|(sum, value)| *sum += value);
            return;
        }
        let mut column = self.column;
        for value in &sums[..count] {
            of_columns[column] += value;
            column = if column + 1 == self.k { 0 } else { column + 1 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::Portable;

    #[test]
    fn strips_visit_each_value_once_with_its_column() {
        for (n, k) in [
            (1, 1),
            (40, 1),
            (5, 25),
            (16, 25),
            (600, 25),
            (33, 784),
            (100, 24),
            (7, 16),
            (70, 3),
            (3, 1100),
        ] {
            let of_columns: Vec<f32> = (0..k).map(|l| l as f32).collect();
            let mut seen = vec![0; n * k];
            let mut counts = vec![0.0; k];
            for (strip, count) in strips(n, k).map(|strip| (strip, LANES)).chain(rest(n, k)) {
                let columns = strip.take::<Portable>(&of_columns).to_array();
                for at in strip.places() {
                    for (j, column) in columns.iter().take(count).enumerate() {
                        seen[at + j] += 1;
                        assert_eq!((at + j) % k, *column as usize, "{n} {k}");
                    }
                    strip.add::<Portable>([1.0; LANES], count, &mut counts);
                }
            }
            assert!(seen.iter().all(|&times| times == 1), "{n} {k}");
            assert!(counts.iter().all(|&count| count == n as f64), "{n} {k}");
        }
    }
}
