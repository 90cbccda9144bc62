//! A curve as lines of text: each character has 2 x 4 dots of the Braille pattern.

/// Curve of points with ascending x.
pub struct Curve {
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// Curve of the finite points.
    pub fn of(points: impl Iterator<Item = (f64, f64)>) -> Self {
        Self {
            points: points.filter(|(_, y)| y.is_finite()).collect(),
        }
    }

    /// Smallest and largest x.
    pub fn ends(&self) -> Option<(f64, f64)> {
        Some((self.points.first()?.0, self.points.last()?.0))
    }

    /// The curve in `width` x `height` characters, and the values of the lowest and the highest dots.
    ///
    /// Points that share a column of dots are averaged. The first twentieth does not decide the scale, because losses fall
    /// by orders of magnitude there; values beyond the scale are drawn at its ends.
    pub fn draw(&self, width: usize, height: usize) -> Option<(Vec<String>, (f64, f64))> {
        let (columns, rows) = (2 * width, 4 * height);
        let means = self.means(columns)?;
        let (low, high) = scale(&means);
        let row = |value: f64| {
            let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
            (share * (rows - 1) as f64).round() as usize
        };
        let mut dots = vec![0_u8; width * height];
        let mut before = None;
        for column in 0..columns {
            let at = row(value_at(&means, column));
            // A steep curve stays connected.
            let from = before.replace(at).unwrap_or(at);
            for dot in at.min(from)..=at.max(from) {
                let (cell, line) = (column / 2, (rows - 1 - dot) / 4);
                dots[line * width + cell] |= BITS[column % 2][(rows - 1 - dot) % 4];
            }
        }
        let character = |bits: &u8| match bits {
            0 => ' ',
            bits => char::from_u32(0x2800 + u32::from(*bits)).unwrap_or(' '),
        };
        let lines = dots.chunks(width).map(|line| line.iter().map(character));
        Some((lines.map(Iterator::collect).collect(), (low, high)))
    }

    /// Means of the points of each column of dots that has points: column and mean.
    fn means(&self, columns: usize) -> Option<Vec<(usize, f64)>> {
        let (first, last) = self.ends()?;
        let scale = (columns - 1) as f64 / (last - first).max(f64::MIN_POSITIVE);
        let mut sums: Vec<(f64, usize)> = vec![(0.0, 0); columns];
        for (x, y) in &self.points {
            let column = ((x - first) * scale).round() as usize;
            let (sum, count) = &mut sums[column.min(columns - 1)];
            *sum += y;
            *count += 1;
        }
        let sums = sums.into_iter().enumerate();
        let filled = sums.filter(|(_, (_, count))| *count > 0);
        Some(
            filled
                .map(|(column, (sum, n))| (column, sum / n as f64))
                .collect(),
        )
    }
}

/// Bits of the dots of a Braille pattern, by column and row.
const BITS: [[u8; 4]; 2] = [[0x01, 0x02, 0x04, 0x40], [0x08, 0x10, 0x20, 0x80]];

/// Values of the lowest and the highest row of dots.
fn scale(means: &[(usize, f64)]) -> (f64, f64) {
    let counted = &means[means.len() / 20..];
    let values = counted.iter().map(|(_, mean)| *mean);
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    if high > low {
        return (low, high);
    }
    // A constant: the scale begins or ends at 0.
    if low == 0.0 {
        (0.0, 1.0)
    } else {
        (low.min(0.0) * 2.0, low.max(0.0) * 2.0)
    }
}

/// Mean of a column, on the line between its neighbours if it has no points.
fn value_at(means: &[(usize, f64)], column: usize) -> f64 {
    let next = means.partition_point(|(at, _)| *at < column);
    let Some(&(right, after)) = means.get(next) else {
        return means[means.len() - 1].1;
    };
    let Some(&(left, before)) = next.checked_sub(1).and_then(|at| means.get(at)) else {
        return after;
    };
    let share = (column - left) as f64 / (right - left) as f64;
    before + share * (after - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(points: &[(f64, f64)], width: usize, height: usize) -> Vec<String> {
        let curve = Curve::of(points.iter().copied());
        curve.draw(width, height).unwrap().0
    }

    #[test]
    fn straight_line_goes_through_the_dots_of_its_slope() {
        // Four columns of four dots: one dot a column, from the lower left to the upper right.
        assert_eq!(drawn(&[(0.0, 0.0), (3.0, 3.0)], 2, 1), ["⣠⠞"]);
        assert_eq!(drawn(&[(1.0, 5.0), (9.0, 5.0)], 2, 1), ["⠒⠒"]);
        assert_eq!(drawn(&[(1.0, 0.0)], 2, 1), ["⣀⣀"]);
    }

    #[test]
    fn falling_step_is_drawn_as_a_connected_line() {
        let points = [(0.0, 1.0), (1.0, 1.0), (2.0, 0.0), (3.0, 0.0)];
        assert_eq!(drawn(&points, 2, 2), ["⠉⡇", " ⣇"]);
    }

    #[test]
    fn points_of_one_column_are_averaged_and_nan_is_left_out() {
        let many = (0..4000).map(|x| (f64::from(x), f64::from(x % 2)));
        let (_, ends) = Curve::of(many).draw(10, 4).unwrap();
        assert!((0.45..0.55).contains(&ends.0) && (0.45..0.55).contains(&ends.1));
        let (_, ends) = Curve::of([(0.0, 1.0), (1.0, f64::NAN), (2.0, 2.0)].into_iter())
            .draw(10, 4)
            .unwrap();
        assert_eq!(ends, (1.0, 2.0));
        assert!(
            Curve::of([(0.0, f64::INFINITY)].into_iter())
                .draw(9, 3)
                .is_none()
        );
    }

    #[test]
    fn first_steps_do_not_decide_the_scale() {
        let falling =
            (0..100).map(|x| (f64::from(x), if x < 2 { 1e6 } else { 1.0 / f64::from(x) }));
        let (lines, (_, high)) = Curve::of(falling).draw(40, 5).unwrap();
        assert!(high < 1.0, "{high}");
        assert!(lines[0].starts_with('⠉'), "{lines:?}");
    }
}
