//! Ctrl-C: the first stops the work at a safe point, the second ends the program at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};
use std::time::{Duration, Instant};

use rarefy::{Error, Result};

use crate::output;

/// True while the program polls [`RAISED`]; otherwise even the first Ctrl-C ends the program.
static WATCHED: AtomicBool = AtomicBool::new(false);
static RAISED: AtomicBool = AtomicBool::new(false);
/// Time of the first signal.
///
/// `timeout` and some shells signal a program and then its process group: a second signal within [`SAME_PRESS`] is the
/// same request.
static FIRST: OnceLock<Instant> = OnceLock::new();
const SAME_PRESS: Duration = Duration::from_millis(500);

/// Starts handling of Ctrl-C; the caller polls [`raised`] or [`check`] from here on.
pub fn watch() {
    static INSTALLED: Once = Once::new();
    WATCHED.store(true, Ordering::Relaxed);
    INSTALLED.call_once(|| {
        // If the system refuses the handler, Ctrl-C ends the program as usual.
        let _ = ctrlc::set_handler(|| {
            let again = FIRST
                .get()
                .is_some_and(|first| first.elapsed() > SAME_PRESS);
            if !WATCHED.load(Ordering::Relaxed) || again {
                std::process::exit(130);
            }
            if FIRST.set(Instant::now()).is_ok() {
                RAISED.store(true, Ordering::Relaxed);
                output::note(
                    "\nstopping at the next safe point; press Ctrl-C again to end at once",
                );
            }
        });
    });
}

/// Ends handling of Ctrl-C: the next one ends the program at once.
pub fn release() {
    WATCHED.store(false, Ordering::Relaxed);
}

/// True if Ctrl-C was pressed.
pub fn raised() -> bool {
    RAISED.load(Ordering::Relaxed)
}

/// Fails with [`Error::Interrupted`] if Ctrl-C was pressed.
pub fn check() -> Result<()> {
    if raised() {
        return Err(Error::Interrupted);
    }
    Ok(())
}
