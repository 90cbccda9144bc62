//! Shapes and synthetic rows of `rarefy bench step`.

use rand::RngExt;
use rarefy::{Error, Result, Rng};

use super::machine::refuse_beyond_memory;

/// Number of batches, used in turn.
const BATCHES: usize = 4;

/// Sizes of a training step.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub rows: usize,
    pub d_in: usize,
    pub latents: usize,
    pub k: usize,
    /// Number of latents that are dead from the start.
    pub dead: usize,
}

impl Shape {
    /// Refuses inconsistent sizes, and sizes beyond this machine's memory.
    pub fn check(&self) -> Result<()> {
        let Self {
            latents, k, dead, ..
        } = *self;
        if k > latents {
            return Err(Error::hyper(
                "--k",
                &format!("at most the {latents} latents"),
                k,
            ));
        }
        if dead > latents - k {
            let most = format!(
                "at most {}, so that k of the {latents} latents are alive",
                latents - k
            );
            return Err(Error::hyper("--dead", &most, dead));
        }
        refuse_beyond_memory(&self.describe(), self.bytes())
    }

    pub fn describe(&self) -> String {
        let Self {
            rows,
            d_in,
            latents,
            ..
        } = self;
        format!("a step on {rows} rows of {d_in} with {latents} latents")
    }

    /// Memory of a measurement in bytes, without small buffers; a float, so that it cannot overflow.
    fn bytes(&self) -> f64 {
        let [rows, d_in, latents, k] =
            [self.rows, self.d_in, self.latents, self.k].map(|size| size as f64);
        // Both matrices: weights, two moments, gradient; and the encoder as bytes.
        let model = (2.0 * 4.0 * 4.0 + 1.0) * latents * d_in;
        // All batches, one of them twice; centred rows and residuals.
        let data = 4.0 * (BATCHES as f64 + 3.0) * rows * d_in;
        // An entry is an index and a value, by row and by latent.
        let codes = 2.0 * 8.0 * rows * k;
        // Directions that the rows are made of.
        let directions = 4.0 * 4.0 * d_in * d_in;
        model + data + codes + directions
    }

    /// Batches of synthetic rows that resemble a language model's activations.
    ///
    /// Each row is a centre far from 0 plus 24 of `4 d_in` directions, a few of which are common.
    /// `benches/peers/topk.py` makes the same kind of rows.
    pub fn made_up(&self, rng: &mut Rng) -> Vec<Vec<f32>> {
        let d_in = self.d_in;
        let mut normals = |count: usize, scale: f32| -> Vec<f32> {
            // A sum of four uniform numbers is close to normal.
            let mut normal = || (0..4).map(|_| rng.random::<f32>() - 0.5).sum::<f32>() * 1.732;
            (0..count).map(|_| scale * normal()).collect()
        };
        let unit = 1.0 / (d_in as f32).sqrt();
        let directions = normals(4 * d_in * d_in, unit);
        let centre = normals(d_in, 2.0 * unit);
        let noise = normals(d_in * 64, 0.1 * unit);
        let mut batch = || {
            let mut x = Vec::with_capacity(self.rows * d_in);
            for i in 0..self.rows {
                let mut row = centre.clone();
                add(&mut row, 1.0, &noise[i % 64 * d_in..][..d_in]);
                for _ in 0..24 {
                    // -ln of a uniform number is exponential; the power makes few directions common.
                    let much = -(1.0 - rng.random::<f32>()).ln();
                    let which = rng.random::<f32>().powi(3) * (4 * d_in) as f32;
                    add(&mut row, much, &directions[which as usize * d_in..][..d_in]);
                }
                x.extend(row);
            }
            x
        };
        (0..BATCHES).map(|_| batch()).collect()
    }
}

fn add(row: &mut [f32], scale: f32, direction: &[f32]) {
    rarefy_kernels::vector::add_scaled(row, scale, direction);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape {
        rows: 4,
        d_in: 2,
        latents: 8,
        k: 3,
        dead: 5,
    };

    #[test]
    fn bytes_match_a_count_by_hand() {
        // 33 bytes a weight of 16, seven copies of 8 values, 12 entries twice, four directions of 2.
        let bytes = 33.0 * 16.0 + 4.0 * 7.0 * 8.0 + 16.0 * 12.0 + 16.0 * 4.0;
        assert_eq!(SHAPE.bytes(), bytes);
    }

    #[test]
    fn inconsistent_sizes_are_refused() {
        assert!(SHAPE.check().is_ok());
        let refusal = |shape: Shape| shape.check().unwrap_err().to_string();
        assert_eq!(
            refusal(Shape { k: 9, ..SHAPE }),
            "`--k` must be at most the 8 latents, got 9"
        );
        assert_eq!(
            refusal(Shape { dead: 6, ..SHAPE }),
            "`--dead` must be at most 5, so that k of the 8 latents are alive, got 6"
        );
        // The product of these sizes overflows every integer type.
        let most = u32::MAX as usize;
        let huge = Shape {
            rows: most,
            d_in: most,
            latents: most,
            ..SHAPE
        };
        let why = refusal(huge);
        assert!(why.contains("of memory, but"), "{why}");
    }
}
