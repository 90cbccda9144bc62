//! Products of a residual with all rows of a dictionary, kept up to date while a pursuit takes one row after the other.

use crate::cpu::kernel;
use crate::lanes::{LANES, Lanes, V};

kernel! {
    /// Moves products by those of a row that was taken: `products -= factor * with_row`. Returns the largest one, or 0.
    ///
    /// # Panics
    /// If lengths differ.
    ///
    /// # Example
    /// ```
    /// use rarefy_kernels::pursuit::move_products;
    /// let mut products = [3.0, 1.0];
    /// // The residual loses 3 times the first row, whose products with both rows are 1 and -0.5.
    /// assert_eq!(move_products(&mut products, 3.0, &[1.0, -0.5]), 2.5);
    /// assert_eq!(products, [0.0, 2.5]);
    /// ```
    pub fn move_products / move_products_on(products: &mut [f32], factor: f32, with_row: &[f32]) -> f32 = move_body
}

#[inline(always)]
fn move_body<L: Lanes>(products: &mut [f32], factor: f32, with_row: &[f32]) -> f32 {
    assert_eq!(products.len(), with_row.len(), "one product of each row");
    let minus = V::<L>::splat(-factor);
    let mut most = [V::<L>::splat(0.0); 4];
    let whole = products.len() / (4 * LANES) * 4 * LANES;
    for at in (0..whole).step_by(4 * LANES) {
        for (part, most) in most.iter_mut().enumerate() {
            let at = at + part * LANES;
            let moved = minus.mul_add(V::load(with_row, at, LANES), V::load(products, at, LANES));
            moved.store(products, at, LANES);
            *most = V(L::at_least(most.0, moved.0));
        }
    }
    for at in (whole..products.len()).step_by(LANES) {
        let count = LANES.min(products.len() - at);
        let moved = minus.mul_add(V::load(with_row, at, count), V::load(products, at, count));
        moved.store(products, at, count);
        most[0] = V(L::at_least(most[0].0, moved.0));
    }
    let mut largest = 0.0f32;
    for most in most {
        for value in most.to_array() {
            largest = largest.max(value);
        }
    }
    largest
}

kernel! {
    /// Writes the numbers of the products that are not at most `floor` into `found`, in ascending order, and returns their number.
    ///
    /// # Panics
    /// If `found` has not room for all products and 16 more.
    ///
    /// # Example
    /// ```
    /// use rarefy_kernels::pursuit::above;
    /// let mut found = [0; 3 + 16];
    /// assert_eq!(above(&[3.0, 1.0, 2.5], 2.0, &mut found), 2);
    /// assert_eq!(found[..2], [0, 2]);
    /// ```
    pub fn above / above_on(products: &[f32], floor: f32, found: &mut [u32]) -> usize = above_body
}

#[inline(always)]
fn above_body<L: Lanes>(products: &[f32], floor: f32, found: &mut [u32]) -> usize {
    assert!(found.len() >= products.len() + LANES, "room for all");
    let floor = L::splat(floor);
    let mut count = 0;
    for at in (0..products.len()).step_by(LANES) {
        let here = LANES.min(products.len() - at);
        let values = V::<L>::load(products, at, here);
        let mask = L::not_at_most(values.0, floor) & (u32::MAX >> (32 - here));
        if mask != 0 {
            let to = found[count..].first_chunk_mut().expect("room for all");
            L::numbers(at as u32, mask, to);
            count += mask.count_ones() as usize;
        }
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Path;

    #[test]
    fn products_move_as_plain_loops_do_on_every_path() {
        for len in [1, 7, 16, 40, 64, 65, 200] {
            let products: Vec<f32> = (0..len).map(|j| ((j * 37) % 19) as f32 - 9.0).collect();
            let row: Vec<f32> = (0..len).map(|j| ((j * 11) % 7) as f32 / 4.0).collect();
            for factor in [0.5, -2.0, 100.0] {
                // These numbers have no rounding.
                let moved: Vec<f32> = products
                    .iter()
                    .zip(&row)
                    .map(|(p, r)| p - factor * r)
                    .collect();
                let largest = moved.iter().copied().fold(0.0, f32::max);
                for &path in Path::available() {
                    let mut got = products.clone();
                    assert_eq!(move_products_on(path, &mut got, factor, &row), largest);
                    assert_eq!(got, moved);
                    let mut found = vec![0; len + LANES];
                    for floor in [-3.0, 0.0, largest, largest + 1.0] {
                        let count = above_on(path, &moved, floor, &mut found);
                        let wanted = (0..len as u32).filter(|j| moved[*j as usize] > floor);
                        assert!(wanted.eq(found[..count].iter().copied()));
                    }
                }
            }
        }
    }
}
