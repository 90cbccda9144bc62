//! Observer that keeps the last state of a run.

use rarefy::train::{Observer, Progress, State};

/// Keeps the last state.
#[derive(Default)]
pub struct Kept(pub Option<State>);

impl Observer for Kept {
    fn step(&mut self, _: &Progress) -> rarefy::Result<()> {
        Ok(())
    }

    fn message(&mut self, _: &str) {}

    fn checkpoint(&mut self, state: &State) -> rarefy::Result<()> {
        self.0 = Some(state.clone());
        Ok(())
    }

    fn interrupted(&self) -> bool {
        false
    }
}
