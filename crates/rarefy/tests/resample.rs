//! Resampling of silent latents in whole runs.

use std::sync::Arc;

use rarefy::config;
use rarefy::data::{Memory, survey};
use rarefy::plan::Plan;
use rarefy::train::{Observer, State};
use rarefy::{Result, Trainer};

/// Keeps messages and the last state.
#[derive(Default)]
struct Notes {
    messages: Vec<String>,
    state: Option<State>,
}

impl Observer for Notes {
    fn message(&mut self, text: &str) {
        self.messages.push(text.into());
    }

    fn checkpoint(&mut self, state: &State) -> Result<()> {
        self.state = Some(state.clone());
        Ok(())
    }
}

/// Latents 0 and 3 can never fire. At step 20 they have been silent for 20 steps, more than half of the period, so
/// both get new weights; all others fire.
#[test]
fn latents_silent_for_half_a_period_are_resampled_latent_0_included() {
    let values = (0..1600).map(|i| (i as f32 * 0.7391).sin()).collect();
    let rows = Memory::new("rows", 4, values);
    let text = "[model]\narch = 'relu'\nlatents = 8\noptions = { l1 = 0 }\n[train]\nbatch = 40\nsteps = 40\nresample_every = 20";
    let config = config::merge(&[text.parse().unwrap()]).unwrap();
    let plan = Arc::new(Plan::new(&config, &survey(&rows).unwrap()).unwrap());
    let mut params = State::new(&plan, &rows, None).unwrap().params;
    for latent in [0, 3] {
        params.get_mut("b_enc")[latent] = -1e6;
    }
    let trainer = Trainer::with_params(Arc::clone(&plan), params).unwrap();
    let mut notes = Notes::default();
    trainer.run(&rows, None, &mut notes).unwrap();
    let resampled: Vec<&String> = notes
        .messages
        .iter()
        .filter(|text| text.contains("resampled"))
        .collect();
    assert!(resampled[0].starts_with("step 20: 2 "), "{resampled:?}");
    let state = notes.state.unwrap();
    for latent in [0, 3] {
        let bias = state.params.get("b_enc")[latent];
        assert!(bias.abs() < 1.0, "latent {latent} keeps its bias {bias}");
        assert!(state.since_fired[latent] < 800, "latent {latent} is silent");
    }
}
