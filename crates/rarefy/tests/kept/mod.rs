//! Observer that keeps the last state of a run.

use rarefy::train::{Observer, State};

/// Keeps the last state.
#[derive(Default)]
pub struct Kept(pub Option<State>);

impl Observer for Kept {
    fn checkpoint(&mut self, state: &State) -> rarefy::Result<()> {
        self.0 = Some(state.clone());
        Ok(())
    }
}
