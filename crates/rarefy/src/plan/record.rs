//! Resolved values of a plan in its configuration, as a run records them.

use super::Plan;
use crate::config::OptimizerKind;
use crate::optim::LrShape;
use crate::variants::Architecture;

impl Plan {
    /// Writes every resolved value into the configuration.
    pub(super) fn record(&mut self) {
        let ((beta1, _), b_dec_start) = (self.betas(), self.b_dec_start());
        let (model, train) = (&mut self.config.model, &mut self.config.train);
        model.latents = Some(self.d_sae);
        if let Architecture::Sparse(_) = self.architecture {
            model.centre = Some(self.io.centre);
        }
        model.decoder_norm = Some(self.decoder_norm);
        model.options = self
            .options
            .iter()
            .map(|(k, v)| (k.to_owned(), crate::config::parse_value(v)))
            .collect();
        train.optimizer = Some(self.optimizer);
        train.steps = Some(self.steps);
        train.epochs = None;
        train.tolerance = Some(self.tolerance);
        // Fields that L-BFGS does not use stay as given.
        if self.optimizer != OptimizerKind::Lbfgs {
            train.lr = Some(self.lr);
            if self.info.defaults.penalised {
                train.sparsity_warmup = Some(self.schedules.sparsity_warmup);
            }
            if train.lr_schedule == LrShape::Cosine {
                train.lr_end = Some(self.lr * self.schedules.schedule.end);
            }
            if let Some((_, _, from)) = self.schedules.p {
                train.p_from = Some(from);
            }
            if train.k_start.is_some() {
                train.k_anneal = Some(self.schedules.k_anneal);
            }
            if let Architecture::Sparse(_) = self.architecture {
                train.mask = Some(self.mask);
                train.beta1 = Some(beta1);
                model.b_dec_start = Some(b_dec_start);
            }
            train.batch = Some(self.batch);
            train.clip = Some(self.clip.into());
        }
    }
}
