//! Rows that a second thread reads ahead, in buffers that go round.

use std::ops::Range;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::Scope;

use super::{BatchStream, Caller};
use crate::data::{Memory, Source};
use crate::plan::Plan;
use crate::{Error, Result};

/// Rows of buffers that a thread fills, in their order.
pub(super) struct Ahead {
    full: Receiver<Result<Vec<f32>>>,
    empty: Sender<Vec<f32>>,
}

impl Ahead {
    /// Starts the thread. It calls `fill` for one of `buffers` buffers after the other, until there is no more to read (false) or
    /// an error; it ends when this value is dropped.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        buffers: usize,
        mut fill: impl FnMut(&mut Vec<f32>) -> Result<bool> + Send + 'scope,
    ) -> Self {
        let (to_trainer, full) = channel();
        let (empty, from_trainer) = channel();
        scope.spawn(move || {
            let mut made = 0;
            loop {
                let mut buffer = if made < buffers {
                    made += 1;
                    Vec::new()
                } else {
                    let Ok(used) = from_trainer.recv() else {
                        return;
                    };
                    used
                };
                let filled = fill(&mut buffer);
                let goes_on = matches!(filled, Ok(true));
                let sent = match filled {
                    Ok(false) => return,
                    filled => to_trainer.send(filled.map(|_| buffer)),
                };
                if !goes_on || sent.is_err() {
                    return;
                }
            }
        });
        Self { full, empty }
    }

    /// The next full buffer.
    pub(super) fn next(&self, caller: &mut dyn Caller) -> Result<Vec<f32>> {
        let received = match self.full.try_recv() {
            Err(TryRecvError::Empty) => {
                caller.waiting(true);
                let received = self.full.recv();
                caller.waiting(false);
                received.ok()
            }
            received => received.ok(),
        };
        if caller.is_stopped() {
            return Err(Error::Interrupted);
        }
        received.ok_or_else(ended)?
    }

    /// Gives a buffer back, to be filled again.
    pub(super) fn give_back(&self, buffer: Vec<f32>) {
        // The thread has ended if nothing is left to read.
        let _ = self.empty.send(buffer);
    }
}

/// Error of a run whose reading thread is gone, which happens only if it panicked.
fn ended() -> Error {
    Error::Conflict("the thread that reads rows ended before the run".into())
}

/// Batches in the order of the rows.
pub(super) struct InOrder {
    ahead: Ahead,
    batch: Memory,
}

impl InOrder {
    /// Number of batches that are read ahead, with the one in use.
    const BUFFERS: usize = 3;

    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        plan: &Plan,
        data: &'scope dyn Source,
        mut steps: Range<usize>,
    ) -> Self {
        let (batch, per_epoch, width) = (plan.batch(), plan.steps_per_epoch(), data.d_in());
        let fill = move |rows: &mut Vec<f32>| {
            let Some(step) = steps.next() else {
                return Ok(false);
            };
            rows.resize(batch * width, 0.0);
            data.read(step % per_epoch * batch, rows)?;
            Ok(true)
        };
        Self {
            ahead: Ahead::start(scope, Self::BUFFERS, fill),
            batch: Memory::new("mini-batch", width, Vec::new()),
        }
    }
}

impl BatchStream for InOrder {
    fn next(&mut self, caller: &mut dyn Caller) -> Result<&dyn Source> {
        let rows = self.ahead.next(caller)?;
        let used = self.batch.replace(rows);
        if used.capacity() > 0 {
            self.ahead.give_back(used);
        }
        Ok(&self.batch)
    }
}
