//! Folding of preprocessing into the weights: the same function of raw rows, without preprocessing.
//!
//! ```text
//! z = A x + c           preprocessing of a row, if every step is affine
//! W_enc' = W_enc A      W_dec' = W_dec B^T      b_dec' = B (b_dec - c)       B: the inverse of A
//! b_enc' = b_enc + W_enc t    t = A b_dec' + c - b_dec if the encoder subtracts b_dec, else c
//! b_mag' = b_mag + exp(r_mag) W_enc t                  of gates, whose magnitude has a bias of its own
//! W_skip' = B W_skip A  (and b_dec' + B W_skip c)
//! ```
//!
//! t is 0 if A has an inverse. Whitening of columns that are constant or depend on others has none: t is then the part of
//! `b_dec` that no row has.
//!
//! Latents and thresholds stay the same, up to rounding. Decoder rows no longer have length 1.

use super::{Model, ModelDescription};
use crate::io_spec::IoSpec;
use crate::params::Params;
use crate::preprocess::{Pipeline, RowContext};
use crate::variants::{Architecture, SaelensKind};
use crate::{Error, Result};
use rarefy_kernels::matmul::transpose;

impl Model {
    /// Returns an equivalent model without preprocessing: the steps are multiplied into the weights, so encoder and
    /// decoder work on raw rows. Latents and reconstructions stay equal up to rounding. Use before export to a program
    /// that cannot apply the preprocessing; fails if a step is not affine.
    ///
    /// # Errors
    /// [`Error::Conflict`] for a step that is not affine (`clip-sd`, `row-mean`, `norm-row`, `layer-norm`), and for an
    /// architecture whose weights cannot hold the preprocessing: a tied decoder, a sigmoid after the decoder, or a
    /// matching pursuit.
    ///
    /// # Example
    /// ```
    /// use rarefy::data::Memory;
    /// use rarefy::model::Model;
    /// use rarefy::params::{Layout, Params};
    /// use rarefy::preprocess::Pipeline;
    /// use rarefy::variants::{Options, find};
    /// let rows = Memory::new("two rows", 1, vec![0.0, 4.0]);
    /// let pipeline = Pipeline::fit(&["scale".into()], &rows)?; // z = x / 4
    /// let info = find("relu")?;
    /// let options = Options::check(info.options(), [])?;
    /// let blocks = [("w_enc", 1, 1), ("b_enc", 1, 1), ("w_dec", 1, 1), ("b_dec", 1, 1)];
    /// let mut params = Params::zeros(&Layout::new(&blocks));
    /// params.values_mut().copy_from_slice(&[2.0, 0.0, 0.5, 0.25]);
    /// let model = Model::autoencoder(info, options, params, pipeline)?;
    /// let folded = model.folded()?;
    /// // W_enc / 4, b_enc, 4 W_dec, 4 b_dec.
    /// assert_eq!(folded.params().values(), [0.5, 0.0, 2.0, 1.0]);
    /// assert_eq!(folded.reconstruct_raw(&[3.0]), model.reconstruct_raw(&[3.0]));
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    pub fn folded(&self) -> Result<Self> {
        let model = &self.description;
        let target = self.target_pipeline().map(|t| Pipeline::identity(t.d_in()));
        let io = model.io.with_widths(
            &self.raw_input_widths(),
            target.as_ref().map(Pipeline::d_in),
        );
        let params = if model.is_of_raw_rows() {
            model.params.clone()
        } else {
            self.refuse_unfoldable()?;
            self.fold(&io)
        };
        let folded = ModelDescription::new(model.info, model.options.clone(), io, params)
            .with_pipelines(Pipeline::identity(self.raw_d_in()), target)
            .with_image_shape(model.image_shape);
        Self::new(folded)
    }

    fn refuse_unfoldable(&self) -> Result<()> {
        let refuse = |why: String| Err(Error::Conflict(why));
        if let Some(step) = self.row_pipeline().not_affine() {
            return refuse(format!(
                "preprocessing `{step}` cannot be folded into the weights: it is not the same affine map for all rows"
            ));
        }
        let name = self.info().name;
        let cannot = |why: &str| {
            refuse(format!(
                "preprocessing cannot be folded into the weights of `{name}`{why}"
            ))
        };
        let sparse = match self.architecture() {
            Architecture::Dense(variant) => return variant.unfoldable().map_or(Ok(()), cannot),
            Architecture::Sparse(sparse) => sparse,
        };
        match sparse.saelens_kind() {
            SaelensKind::Pursuit { .. } => cannot(
                ": it encodes with its decoder, and encoder and decoder would become different matrices",
            ),
            _ => Ok(()),
        }
    }

    /// Parameters of raw rows, with input and output columns `raw`.
    fn fold(&self, raw: &IoSpec) -> Params {
        let (model, params) = (&self.description, self.params());
        let (input, output) = (self.pipeline(), self.output_pipeline());
        let mut folded = Params::zeros(&self.architecture.layout(raw, self.d_sae()));
        let names = params.layout().blocks().iter().map(|block| block.name);
        for name in names.filter(|name| !["w_enc", "w_dec", "b_dec", "w_skip"].contains(name)) {
            folded.get_mut(name).copy_from_slice(params.get(name));
        }
        let d_in = self.d_in();
        // Rows of a matrix W as rows of W A.
        let pull_back = |rows: &[f32]| -> Vec<f32> {
            let rows = rows.chunks_exact(d_in);
            rows.flat_map(|w| input.pull_back(w)).collect()
        };
        let w_enc = params.get("w_enc");
        folded.get_mut("w_enc").copy_from_slice(&pull_back(w_enc));
        let shift = input.apply(&vec![0.0; input.d_in()]).0;
        let w_dec = output.invert_directions(params.get("w_dec"));
        folded.get_mut("w_dec").copy_from_slice(&w_dec);
        let mut b_dec = params.get("b_dec").to_vec();
        if model.io.skip {
            let w_skip = params.get("w_skip");
            add_products(&mut b_dec, w_skip, &shift);
            // Columns of W_skip A are directions of the output, one for each raw input.
            let (raw_d_in, rows) = (input.d_in(), pull_back(w_skip));
            let columns = transpose(&rows, b_dec.len(), raw_d_in);
            let columns = output.invert_directions(&columns);
            let rows = transpose(&columns, raw_d_in, output.d_in());
            folded.get_mut("w_skip").copy_from_slice(&rows);
        }
        let b_dec = output.invert(&b_dec, &RowContext::default());
        folded.get_mut("b_dec").copy_from_slice(&b_dec);
        let moved = if model.centres(&self.architecture) {
            let there = input.apply(&b_dec).0;
            there
                .iter()
                .zip(params.get("b_dec"))
                .map(|(there, b)| there - b)
                .collect()
        } else {
            shift
        };
        self.move_biases(&mut folded, &moved);
        folded
    }

    /// Adds what the encoder makes of `moved` to the biases of the latents.
    fn move_biases(&self, folded: &mut Params, moved: &[f32]) {
        let mut by = vec![0.0; self.d_sae()];
        add_products(&mut by, self.params().get("w_enc"), moved);
        let biases = folded.get_mut("b_enc").iter_mut().zip(&by);
        biases.for_each(|(bias, by)| *bias += by);
        if let (Some(r_mag), Some(_)) = (self.params().find("r_mag"), folded.find("b_mag")) {
            let biases = folded.get_mut("b_mag").iter_mut().zip(&by).zip(r_mag);
            biases.for_each(|((bias, by), r)| *bias += by * r.exp());
        }
    }
}

/// Adds `W v` to `bias`, with the rows of `W` in `rows`.
fn add_products(bias: &mut [f32], rows: &[f32], v: &[f32]) {
    for (b, w) in bias.iter_mut().zip(rows.chunks_exact(v.len())) {
        *b += rarefy_kernels::vector::dot(w, v) as f32;
    }
}
