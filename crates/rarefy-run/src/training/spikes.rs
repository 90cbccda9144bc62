//! Steps whose loss is far above the recent mean.

/// Factor of the mean that is told.
const FAR: f64 = 3.0;
/// Steps before the mean is trusted.
const FIRST: usize = 20;
/// Steps from one message to the next.
const APART: usize = 100;
/// Weight of the past in the mean.
const DECAY: f64 = 0.98;

/// Mean of the recent losses.
#[derive(Debug, Default)]
pub(super) struct Spikes {
    mean: f64,
    steps: usize,
    /// Step from which on a message may follow.
    next: usize,
}

impl Spikes {
    /// Message on a loss that is more than three times the recent mean.
    pub(super) fn look(&mut self, step: usize, loss: f64) -> Option<String> {
        let before = self.mean;
        let is_known = self.steps >= FIRST && before > 0.0;
        let weight = if self.steps == 0 { 0.0 } else { DECAY };
        self.mean = weight * before + (1.0 - weight) * loss;
        self.steps += 1;
        if !is_known || loss <= FAR * before || step < self.next {
            return None;
        }
        self.next = step + APART;
        let factor = loss / before;
        Some(format!(
            "step {step}: the loss {loss:.5} is {factor:.1} times its recent mean"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_far_above_the_recent_mean_is_told_once_in_a_hundred_steps() {
        let mut spikes = Spikes::default();
        let mut told = Vec::new();
        for step in 1..=300 {
            let loss = match step {
                5 | 100 | 110 | 290 => 8.0,
                _ => 2.0,
            };
            told.extend(spikes.look(step, loss).map(|text| (step, text)));
        }
        let steps: Vec<usize> = told.iter().map(|(step, _)| *step).collect();
        assert_eq!(steps, [100, 290]);
        assert_eq!(
            told[1].1,
            "step 290: the loss 8.00000 is 4.0 times its recent mean"
        );
    }

    #[test]
    fn negative_and_steady_losses_are_not_told() {
        let mut spikes = Spikes::default();
        assert!((1..200).all(|step| spikes.look(step, -1.0 / step as f64).is_none()));
    }
}
