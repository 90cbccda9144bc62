//! Ctrl-C: the first asks the work at hand to stop where it leaves things whole, the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Once, OnceLock};
use std::time::{Duration, Instant};

use rarefy::{Error, Result};

use crate::output;

/// Whether somebody looks at [`RAISED`]; otherwise even the first Ctrl-C ends the program.
static WATCHED: AtomicBool = AtomicBool::new(false);
static RAISED: AtomicBool = AtomicBool::new(false);
/// When the first signal came. `timeout` and some shells signal a program and then its group: what
/// follows at once is the same request, not a second one.
static FIRST: OnceLock<Instant> = OnceLock::new();
const SAME_PRESS: Duration = Duration::from_millis(500);

/// From here on the caller asks [`raised`] or [`check`] often enough to be waited for.
pub fn watch() {
    static INSTALLED: Once = Once::new();
    WATCHED.store(true, Ordering::Relaxed);
    INSTALLED.call_once(|| {
        // Where the system refuses a handler, Ctrl-C ends the program as it always did.
        let _ = ctrlc::set_handler(|| {
            let again = FIRST
                .get()
                .is_some_and(|first| first.elapsed() > SAME_PRESS);
            if !WATCHED.load(Ordering::Relaxed) || again {
                std::process::exit(130);
            }
            if FIRST.set(Instant::now()).is_ok() {
                RAISED.store(true, Ordering::Relaxed);
                output::note("\nstopping; Ctrl-C again ends at once");
            }
        });
    });
}

/// From here on nobody asks, and nothing is lost if the program ends.
pub fn release() {
    WATCHED.store(false, Ordering::Relaxed);
}

/// Whether Ctrl-C was pressed.
pub fn raised() -> bool {
    RAISED.load(Ordering::Relaxed)
}

/// [`Error::Interrupted`] once Ctrl-C was pressed.
pub fn check() -> Result<()> {
    if raised() {
        return Err(Error::Interrupted);
    }
    Ok(())
}
