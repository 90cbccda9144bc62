//! Training objective of a sparse architecture: a composition of small building blocks.
//!
//! ```text
//! pre   = W_enc (x - b_dec) + b_enc          of each row, a selection finds some entries (i, j)
//! f_ij  = activation(pre_ij), else 0
//! x_hat = W_dec^T f + b_dec
//! J     = sum_l c_l E(x, x_hat up to level l) + gate reconstruction + penalties + AuxK
//! ```
//!
//! | block | one file each in | content |
//! |---|---|---|
//! | [`Select`] | `select/` | entries that a row keeps, while training and once trained |
//! | [`Activate`] | `activate/` | value of an entry, per-latent parameters, backward pass |
//! | [`ReconstructionError`] | `errors/` | distance of a row and its reconstruction |
//! | [`Term`] | `terms/` | penalty, its gradient, its f64 twin, its formula |
//! | [`AddOn`] | `add_ons/` | optional terms with options of their own, see [`ADD_ONS`] |
//!
//! The training step, the gradient check, `explain` and the formats walk the composition. None of them knows an
//! architecture by name.

mod activate;
mod add_on;
mod add_ons;
mod aux_k;
mod batch;
mod conversions;
mod dual;
mod errors;
mod formula;
mod levels;
mod select;
mod terms;
mod twin;

pub use activate::{Activate, Gate, Identity, Jump};
pub use add_on::AddOn;
pub use add_ons::ADD_ONS;
pub use aux_k::{AuxK, AuxUnit, Rank};
pub use batch::{BatchView, Entries, EntryDerivatives, LatentSums, Prepared, StepSchedule};
pub use conversions::{ConversionNote, Conversions, Theirs};
pub use dual::Dual;
pub use errors::{ERRORS, ErrorInfo, ReconstructionError, Squares};
pub use formula::{LossPart, Maths, Number, Sizes, TermFormula, short};
pub use levels::{Level, Levels};
pub use select::{
    AboveThreshold, AboveZero, BatchK, Groups, Pursuit, RowK, RowOrder, SaelensKind, Select,
    Threshold,
};
pub use terms::{
    GateL1, L0Quadratic, L0Step, L0Target, L1Norm, PreActivation, PreReconstruction, TanhL0, Term,
};
pub use twin::{TwinBatch, TwinEntry};

pub(crate) use activate::kernel;
pub(crate) use conversions::{APRIL, DEEPMIND, JANUARY, MATLAB, NG, OPENAI};
pub(crate) use conversions::{BATCHTOPK, DICTIONARY_LEARNING, RESCALED, SAELENS, SPARSIFY};
pub(crate) use formula::{in_latex, mean, times};

use std::fmt::Debug;

use crate::codes::Codes;
use crate::engine::{Centred, Encoder};
use crate::io_spec::IoSpec;
use crate::params::{Layout, Params};

/// Objective of a sparse architecture, composed of a selection, an activation and loss terms.
///
/// # Example
/// ```
/// use rarefy::objective::{AboveZero, Identity, L1Norm, Number, Objective};
/// let relu = Objective::new(AboveZero, Identity).with_term(L1Norm {
///     weight: Number::Known(0.5),
///     p: 1.0,
///     root: true,
/// });
/// assert_eq!((relu.per_latent().len(), relu.terms().len()), (0, 1));
/// ```
#[derive(Debug)]
pub struct Objective {
    selection: Box<dyn Select>,
    activation: Box<dyn Activate>,
    error: Box<dyn ReconstructionError>,
    levels: Levels,
    terms: Vec<Box<dyn Term>>,
    pre_reconstruction: Option<PreReconstruction>,
    aux_k: AuxK,
    encoder_start: fn(usize, usize) -> f32,
}

impl Objective {
    /// Objective with squared error, one level of all latents, no penalty and no auxiliary loss.
    pub fn new(selection: impl Select + 'static, activation: impl Activate + 'static) -> Self {
        Self {
            selection: Box::new(selection),
            activation: Box::new(activation),
            error: Box::new(Squares),
            levels: Levels::default(),
            terms: Vec::new(),
            pre_reconstruction: None,
            aux_k: AuxK::default(),
            encoder_start: |_, _| 1.0,
        }
    }

    /// Adds a loss term.
    #[must_use]
    pub fn with_term(mut self, term: impl Term + 'static) -> Self {
        self.terms.push(Box::new(term));
        self
    }

    /// Replaces the auxiliary loss of dead latents.
    #[must_use]
    pub fn with_aux_k(mut self, aux_k: AuxK) -> Self {
        self.aux_k = aux_k;
        self
    }

    /// Replaces the nested levels of the reconstruction loss.
    #[must_use]
    pub fn with_levels(mut self, levels: Levels) -> Self {
        self.levels = levels;
        self
    }

    /// Adds a second reconstruction, from pre-activations in place of values.
    #[must_use]
    pub fn with_pre_reconstruction(mut self, gate: PreReconstruction) -> Self {
        self.pre_reconstruction = Some(gate);
        self
    }

    /// Replaces the distance of a row and its reconstruction.
    #[must_use]
    pub fn with_error(mut self, error: Box<dyn ReconstructionError>) -> Self {
        self.error = error;
        self
    }

    /// Starts encoder rows at `scale(d_in, d_sae)` times their decoder rows.
    #[must_use]
    pub fn with_encoder_start(mut self, scale: fn(usize, usize) -> f32) -> Self {
        self.encoder_start = scale;
        self
    }

    /// Replaces selection and activation by ones that are made of them.
    #[must_use]
    pub fn mapped(
        mut self,
        map: impl FnOnce(Box<dyn Select>, Box<dyn Activate>) -> (Box<dyn Select>, Box<dyn Activate>),
    ) -> Self {
        (self.selection, self.activation) = map(self.selection, self.activation);
        self
    }

    /// Selection of entries.
    pub fn selection(&self) -> &dyn Select {
        self.selection.as_ref()
    }

    /// Activation of selected entries.
    pub fn activation(&self) -> &dyn Activate {
        self.activation.as_ref()
    }

    /// Distance of a row and its reconstruction.
    pub fn error(&self) -> &dyn ReconstructionError {
        self.error.as_ref()
    }

    /// Loss terms beside reconstruction and auxiliary loss, in the order in which they are added up.
    pub fn terms(&self) -> &[Box<dyn Term>] {
        &self.terms
    }

    /// Auxiliary loss of dead latents.
    pub fn aux_k(&self) -> &AuxK {
        &self.aux_k
    }

    /// Nested levels of the reconstruction loss, as shares of all latents.
    pub fn nested_levels(&self) -> &Levels {
        &self.levels
    }

    /// Levels of the reconstruction loss for `d_sae` latents.
    pub fn levels(&self, d_sae: usize) -> Vec<Level> {
        self.levels.of(d_sae)
    }

    /// Second reconstruction, from pre-activations; `None` for most architectures.
    pub fn pre_reconstruction(&self) -> Option<PreReconstruction> {
        self.pre_reconstruction
    }

    /// Names and start values of the trained per-latent parameters beside the four common blocks.
    pub fn per_latent(&self) -> &[(&'static str, f32)] {
        self.activation.per_latent()
    }

    /// Learning rate of these parameters over that of all others.
    pub fn per_latent_rate(&self) -> f64 {
        self.activation.rate()
    }

    /// Kind of model under which `SAELens` knows a trained model that computes the same.
    pub fn saelens_kind(&self) -> SaelensKind {
        self.activation
            .saelens_kind()
            .unwrap_or_else(|| self.selection.saelens_kind())
    }

    /// Conversions of the building blocks to the conventions of other libraries and papers.
    ///
    /// A convention has the auxiliary loss with each selection that it has.
    pub fn conversions(&self) -> Vec<&'static Conversions> {
        let selection = self.selection.conversions();
        let mut all = vec![selection];
        all.extend(AuxK::conversions_of(selection));
        all.extend(self.levels.conversions());
        all.push(self.activation.conversions());
        all.extend(self.terms.iter().map(|term| term.conversions()));
        all
    }

    /// Scale of the initial encoder rows over their decoder rows.
    pub fn encoder_start(&self, d_in: usize, d_sae: usize) -> f32 {
        (self.encoder_start)(d_in, d_sae)
    }

    /// Rule for the one threshold of a trained model; `None` if a trained model has none.
    pub fn threshold(&self) -> Option<Threshold> {
        self.selection.threshold()
    }

    /// True if a row's entries follow one another, each on the residual of those before, with the decoder as
    /// encoder.
    pub fn pursues(&self) -> bool {
        self.selection.pursuit().is_some()
    }

    /// Latents of a row at the end of a run whose number may be annealed; `None` if it is fixed.
    pub fn annealed_k(&self) -> Option<f64> {
        self.selection.annealed_k()
    }

    /// Power p of the penalty's norm, if a run may lower it.
    pub fn annealed_p(&self) -> Option<f64> {
        self.terms.iter().find_map(|term| term.annealed_p())
    }

    /// True if a term reads the lengths of decoder rows.
    pub fn wants_decoder_norms(&self) -> bool {
        self.terms.iter().any(|term| term.wants_decoder_norms())
    }

    /// Blocks whose derivative is a pseudo-derivative, which central differences of the value cannot show.
    pub fn pseudo_blocks(&self) -> &[&'static str] {
        self.activation.pseudo_blocks()
    }

    /// Finds the entries of `rows` while training; `codes.values` are their pre-activations.
    pub fn encode(
        &self,
        schedule: StepSchedule,
        params: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        self.selection
            .encode(schedule, params, encoder, rows, codes);
    }

    /// Codes of a trained model: entries of `rows` with their values.
    pub fn encode_trained(
        &self,
        params: &Params,
        encoder: &Encoder,
        rows: &Centred,
        codes: &mut Codes,
    ) {
        self.selection.encode_trained(params, encoder, rows, codes);
        self.activation.finish_trained(params, codes);
    }

    /// Writes the values of one row's entries, from their pre-activations.
    pub fn activate(&self, params: &Params, latents: &[u32], pre: &[f32], values: &mut [f32]) {
        self.activation.values(params, latents, pre, values);
    }

    /// Projects per-latent parameters back onto their constraints after an optimiser step.
    pub fn constrain(&self, params: &mut Params) {
        self.activation.constrain(params);
    }

    /// Names and shapes of the parameters.
    pub fn layout(&self, io: &IoSpec, d_sae: usize) -> Layout {
        let (d_in, d_out) = (io.d_in(), io.d_out());
        let mut blocks = vec![
            ("w_enc", d_sae, d_in),
            ("b_enc", 1, d_sae),
            ("w_dec", d_sae, d_out),
            ("b_dec", 1, d_out),
        ];
        if io.skip {
            blocks.push(("w_skip", d_out, d_in));
        }
        blocks.extend(self.per_latent().iter().map(|(name, _)| (*name, 1, d_sae)));
        if self.threshold().is_some() {
            blocks.push(("threshold", 1, 1));
        }
        Layout::new(&blocks)
    }

    /// Penalty with its coefficient in the f64 twin, summed over the terms.
    pub fn twin_penalty(&self, batch: &TwinBatch) -> Dual {
        self.terms.iter().map(|term| term.twin(batch)).sum()
    }

    /// Formulas of all loss terms, in the order in which `explain` prints them.
    pub fn formulas(&self, sizes: &Sizes) -> Vec<TermFormula> {
        let mut all = self.levels.formulas(self.error(), sizes);
        all.extend(
            self.pre_reconstruction
                .map(|gate| gate.formula(self.error())),
        );
        all.extend(self.terms.iter().map(|term| term.formula()));
        all.extend(self.aux_k.formulas(&self.levels, sizes));
        all
    }
}
