//! A model as one formula of raw rows, for pages and programs that compute it themselves.

use super::Model;
use crate::preprocess::{Pipeline, RowContext};
use crate::variants::{Architecture, SaelensKind};
use rarefy_kernels::vector::dot;

/// A model as one formula of raw rows:
///
/// ```text
/// pre   = w_enc x + b_enc
/// z     = rule(pre)
/// x_hat = scale o out(w_dec^T z + b_dec) + shift, with the sigmoid for `out` if `sigmoid_output`
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct ClosedForm {
    /// Encoder, `[d_sae, raw_d_in]`.
    pub w_enc: Vec<f32>,
    /// Bias of the encoder, `[d_sae]`, with everything that is subtracted from a row.
    pub b_enc: Vec<f32>,
    /// Decoder, `[d_sae, raw_d_out]`.
    pub w_dec: Vec<f32>,
    /// Bias of the decoder, `[raw_d_out]`.
    pub b_dec: Vec<f32>,
    /// Rule from pre-activations to latents.
    pub rule: Rule,
    /// True if the reconstruction is the sigmoid of the decoder's output.
    pub sigmoid_output: bool,
    /// Factor of each output, `[raw_d_out]`.
    pub scale: Vec<f32>,
    /// Shift of each output, `[raw_d_out]`.
    pub shift: Vec<f32>,
}

/// Rule from the pre-activations of a row to its latents.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// The sigmoid of each.
    Sigmoid,
    /// The k largest of those above 0.
    Largest(usize),
    /// The k largest by absolute value.
    LargestMagnitudes(usize),
    /// Pre-activations above a threshold, `[d_sae]`.
    Above(Vec<f32>),
}

impl Model {
    /// The model as one formula of raw rows. `None` if preprocessing is not affine or cannot be part of the formula, for
    /// transcoders with a skip connection, and for gates, groups and matching pursuits.
    ///
    /// # Example
    /// ```
    /// use rarefy::model::Rule;
    /// let digits = rarefy::data::open("sample:digits", &Default::default())?;
    /// let model = rarefy::topk(4).latents(32).steps(10).batch(128).fit(&digits)?;
    /// let form = model.closed_form().unwrap();
    /// assert_eq!((form.rule, form.w_enc.len()), (Rule::Largest(4), 32 * 64));
    /// # Ok::<(), rarefy::Error>(())
    /// ```
    #[doc(hidden)]
    pub fn closed_form(&self) -> Option<ClosedForm> {
        match self.architecture() {
            Architecture::Dense(_) => self.dense_form(),
            Architecture::Sparse(sparse) => self.sparse_form(sparse.saelens_kind()),
        }
    }

    /// Sigmoid latents: preprocessing is folded into the encoder, and inverted behind the decoder.
    fn dense_form(&self) -> Option<ClosedForm> {
        let (params, pipeline) = (self.params(), self.pipeline());
        let (scale, shift) = each_alone(self.output_pipeline())?;
        if pipeline.not_affine().is_some() {
            return None;
        }
        let w_enc = params.get("w_enc");
        let rows = w_enc.chunks_exact(self.d_in());
        let moved = pipeline.apply(&vec![0.0; pipeline.d_in()]).0;
        let biases = params.get("b_enc").iter().zip(rows.clone());
        Some(ClosedForm {
            w_enc: rows.flat_map(|w| pipeline.pull_back(w)).collect(),
            b_enc: biases.map(|(b, w)| b + dot(w, &moved) as f32).collect(),
            w_dec: params.find("w_dec").unwrap_or(w_enc).to_vec(),
            b_dec: params.get("b_dec").to_vec(),
            rule: Rule::Sigmoid,
            sigmoid_output: self.options().find("decoder") != Some("linear"),
            scale,
            shift,
        })
    }

    /// Sparse latents: preprocessing is folded into all weights.
    fn sparse_form(&self, kind: SaelensKind) -> Option<ClosedForm> {
        let model = self.folded().ok().filter(|model| !model.io_spec().skip)?;
        let params = model.params();
        let rule = match kind {
            SaelensKind::TopK(k) => Rule::Largest(k),
            SaelensKind::AbsTopK(k) => Rule::LargestMagnitudes(k),
            SaelensKind::JumpRelu => {
                let thresholds = params.find("threshold")?;
                let of_latent = |latent: usize| thresholds[latent.min(thresholds.len() - 1)];
                Rule::Above((0..self.d_sae()).map(of_latent).collect())
            }
            SaelensKind::Standard => Rule::Above(vec![0.0; self.d_sae()]),
            SaelensKind::Gated | SaelensKind::Pursuit { .. } | SaelensKind::Own => return None,
        };
        let (w_enc, b_dec) = (params.get("w_enc").to_vec(), params.get("b_dec").to_vec());
        let mut b_enc = params.get("b_enc").to_vec();
        if model.io_spec().centre {
            let rows = w_enc.chunks_exact(b_dec.len());
            let shifts = rows.map(|w| dot(w, &b_dec) as f32);
            b_enc
                .iter_mut()
                .zip(shifts)
                .for_each(|(b, shift)| *b -= shift);
        }
        let outputs = b_dec.len();
        Some(ClosedForm {
            w_dec: params.get("w_dec").to_vec(),
            w_enc,
            b_enc,
            b_dec,
            rule,
            sigmoid_output: false,
            scale: vec![1.0; outputs],
            shift: vec![0.0; outputs],
        })
    }
}

/// Factor and shift of each output when a pipeline is inverted; `None` if outputs depend on one another.
fn each_alone(pipeline: &Pipeline) -> Option<(Vec<f32>, Vec<f32>)> {
    let width = pipeline.d_out();
    if pipeline.not_affine().is_some() || width != pipeline.d_in() {
        return None;
    }
    let shift = pipeline.invert(&vec![0.0; width], &RowContext::default());
    let scale = pipeline.invert_directions(&vec![1.0; width]);
    // Values of both signs and different sizes would mix if one output had a share of another.
    let probe: Vec<f32> = (0..width)
        .map(|i| 1.0 + (i * 7 % 13) as f32 - 6.5)
        .collect();
    let found = pipeline.invert_directions(&probe);
    let expected = probe.iter().zip(&scale).map(|(v, s)| v * s);
    let alone = found
        .iter()
        .zip(expected)
        .all(|(found, expected)| (found - expected).abs() <= 1e-4 * expected.abs());
    alone.then_some((scale, shift))
}
