//! Rows that a second thread reads ahead, in buffers that go round.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::thread::Scope;

use core::time::Duration;

use super::{BatchStream, Caller};
use crate::data::{Memory, Source};
use crate::plan::Plan;
use crate::{Error, Result};

/// Rows of buffers that a thread fills, in their order.
pub(super) struct Ahead {
    full: Receiver<Result<Vec<f32>>>,
    empty: Sender<Vec<f32>>,
    dropped: Arc<AtomicBool>,
}

/// True once nobody needs rows any more, so that the thread ends in the middle of a buffer.
#[derive(Clone)]
pub(super) struct Unneeded(Arc<AtomicBool>);

impl Unneeded {
    /// # Errors
    /// [`Error::Interrupted`] once nobody needs rows.
    pub(super) fn check(&self) -> Result<()> {
        if self.0.load(Ordering::Relaxed) {
            return Err(Error::Interrupted);
        }
        Ok(())
    }
}

/// Time between two looks whether the caller has stopped, in a wait for rows.
const LOOK: Duration = Duration::from_millis(50);

impl Ahead {
    /// Starts the thread. It calls `fill` for one of `buffers` buffers after the other, until there is no more to read (false) or
    /// an error; it ends when this value is dropped.
    pub(super) fn start<'scope>(
        scope: &'scope Scope<'scope, '_>,
        buffers: usize,
        mut fill: impl FnMut(&mut Vec<f32>, &Unneeded) -> Result<bool> + Send + 'scope,
    ) -> Self {
        let dropped = Arc::new(AtomicBool::new(false));
        let unneeded = Unneeded(dropped.clone());
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
                let filled = fill(&mut buffer, &unneeded);
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
        Self {
            full,
            empty,
            dropped,
        }
    }

    /// The next full buffer.
    pub(super) fn next(&self, caller: &mut dyn Caller) -> Result<Vec<f32>> {
        let received = match self.full.try_recv() {
            Err(TryRecvError::Empty) => {
                caller.waiting(true);
                let received = self.wait(caller);
                caller.waiting(false);
                received?
            }
            received => received.ok(),
        };
        if caller.is_stopped() {
            return Err(Error::Interrupted);
        }
        received.ok_or_else(ended)?
    }

    /// Waits for a full buffer or until the caller stops; `None` if the thread has ended.
    fn wait(&self, caller: &dyn Caller) -> Result<Option<Result<Vec<f32>>>> {
        loop {
            match self.full.recv_timeout(LOOK) {
                Ok(filled) => return Ok(Some(filled)),
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
                Err(RecvTimeoutError::Timeout) if caller.is_stopped() => {
                    return Err(Error::Interrupted);
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Gives a buffer back, to be filled again.
    pub(super) fn give_back(&self, buffer: Vec<f32>) {
        // The thread has ended if nothing is left to read.
        let _ = self.empty.send(buffer);
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.dropped.store(true, Ordering::Relaxed);
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
        let fill = move |rows: &mut Vec<f32>, _: &Unneeded| {
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
