//! Preprocessing worked into the weights: a model of raw rows that computes the same.
//!
//! ```text
//! z = A x + c           what steps that are affine in the row make of it
//! W_enc' = W_enc A      W_dec' = W_dec B^T      b_dec' = B (b_dec - c)       B: the inverse of A
//! b_enc' = b_enc        where the encoder takes b_dec off, else b_enc + W_enc c
//! W_skip' = B W_skip A  (and b_dec' + B W_skip c)
//! ```
//!
//! Latents stay what they are, to rounding, and so do thresholds. Decoder rows are no longer of length 1.

use super::Model;
use crate::params::Params;
use crate::preprocess::{Pipeline, RowContext};
use crate::variants::{Architecture, SaelensKind};
use crate::{Error, Result};

impl Model {
    /// The same model of raw rows, without preprocessing.
    ///
    /// # Errors
    /// [`Error::Conflict`] where a step is not affine in the row (`clip-sd`, `row-mean`, `norm-row`, `layer-norm`), or
    /// the architecture has no weights that could take it: a decoder tied to the encoder, a sigmoid behind the decoder.
    ///
    /// # Example
    /// ```
    /// use rarefy::data::Memory;
    /// use rarefy::model::Model;
    /// use rarefy::params::{Layout, Params};
    /// use rarefy::preprocess::Pipeline;
    /// use rarefy::variants::{Hyper, find};
    /// let rows = Memory::new("two rows", 1, vec![0.0, 4.0]);
    /// let pipeline = Pipeline::fit(&["scale".into()], &rows)?; // z = x / 4
    /// let info = find("relu")?;
    /// let hyper = Hyper::check(info.options(), [])?;
    /// let blocks = [("w_enc", 1, 1), ("b_enc", 1, 1), ("w_dec", 1, 1), ("b_dec", 1, 1)];
    /// let mut params = Params::zeros(&Layout::new(&blocks));
    /// params.values_mut().copy_from_slice(&[2.0, 0.0, 0.5, 0.25]);
    /// let model = Model::new(info, hyper, params, pipeline, None)?;
    /// let folded = model.folded()?;
    /// // W_enc / 4, b_enc, 4 W_dec, 4 b_dec.
    /// assert_eq!(folded.params().values(), [0.5, 0.0, 2.0, 1.0]);
    /// assert_eq!(folded.reconstruct(&[3.0]), model.reconstruct(&[3.0]));
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn folded(&self) -> Result<Self> {
        let identity = Pipeline::identity(self.raw_width());
        let target = self.target.as_ref().map(|t| Pipeline::identity(t.d_in()));
        let params = if self.rows().is_identity() {
            self.params.clone()
        } else {
            self.refuse_unfoldable()?;
            self.fold()
        };
        let io = self
            .io
            .with_widths(&self.widths(), target.as_ref().map(Pipeline::d_in));
        let bound = (io, params);
        let mut model = Self::bound(self.info, self.hyper.clone(), bound, identity, target)?;
        model.image_shape = self.image_shape;
        Ok(model)
    }

    fn refuse_unfoldable(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::Conflict(why));
        if let Some(step) = self.rows().not_affine() {
            return refuse(format!(
                "preprocessing {step} is no one matrix for all rows and cannot be worked into weights"
            ));
        }
        let name = self.info.name;
        let Architecture::Sparse(sparse) = &self.architecture else {
            return match (self.hyper.flag("tied"), self.hyper.text("decoder")) {
                (true, _) => refuse(format!(
                    "architecture {name} with a tied decoder has one matrix for both, and with preprocessing worked in these would be two"
                )),
                (_, "linear") => Ok(()),
                _ => refuse(format!(
                    "architecture {name} has a sigmoid behind its decoder, and what inverts preprocessing comes after it"
                )),
            };
        };
        if sparse.pursues() {
            return refuse(format!(
                "architecture {name} encodes by its decoder, and with preprocessing worked in these would be two"
            ));
        }
        if sparse.saelens_kind() == SaelensKind::Gated && !self.io.centre {
            return refuse(format!(
                "architecture {name} without centre has two encoder biases that preprocessing would move by different amounts"
            ));
        }
        Ok(())
    }

    fn fold(&self) -> Params {
        let (input, output) = (&self.pipeline, self.output());
        let layout = {
            let (inputs, target) = (self.widths(), self.target.as_ref().map(Pipeline::d_in));
            let raw = self.io.with_widths(&inputs, target);
            self.architecture.layout(&raw, self.d_sae)
        };
        let mut params = Params::zeros(&layout);
        let kept = self.params.layout().blocks().iter().map(|block| block.name);
        for name in kept.filter(|name| !["w_enc", "w_dec", "b_dec", "w_skip"].contains(name)) {
            params.get_mut(name).copy_from_slice(self.params.get(name));
        }
        let pulled = |rows: &[f32], width: usize| -> Vec<f32> {
            rows.chunks_exact(width)
                .flat_map(|w| input.pull_back(w))
                .collect()
        };
        let d_in = self.io.d_in();
        let w_enc = self.params.get("w_enc");
        params
            .get_mut("w_enc")
            .copy_from_slice(&pulled(w_enc, d_in));
        let shift = input.apply(&vec![0.0; input.d_in()]).0;
        let centred = self.io.centre && self.architecture.dense().is_none();
        if !centred {
            let biases = params
                .get_mut("b_enc")
                .iter_mut()
                .zip(w_enc.chunks_exact(d_in));
            biases.for_each(|(b, w)| *b += product(w, &shift));
        }
        let w_dec = output.invert_directions(self.params.get("w_dec"));
        params.get_mut("w_dec").copy_from_slice(&w_dec);
        let mut b_dec = self.params.get("b_dec").to_vec();
        if self.io.skip {
            let w_skip = self.params.get("w_skip");
            for (b, w) in b_dec.iter_mut().zip(w_skip.chunks_exact(d_in)) {
                *b += product(w, &shift);
            }
            // Columns of W_skip A are directions of the output, one for each raw input.
            let (wide, by_output) = (input.d_in(), pulled(w_skip, d_in));
            let by_input = rarefy_kernels::matmul::transpose(&by_output, b_dec.len(), wide);
            let moved = output.invert_directions(&by_input);
            let moved = rarefy_kernels::matmul::transpose(&moved, wide, output.d_in());
            params.get_mut("w_skip").copy_from_slice(&moved);
        }
        params
            .get_mut("b_dec")
            .copy_from_slice(&output.invert(&b_dec, &RowContext::default()));
        params
    }
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    rarefy_kernels::vector::dot(a, b) as f32
}
