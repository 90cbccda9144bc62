//! Ctrl-C: the first asks the work at hand to stop where it leaves things whole, the second ends at once.

use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use rarefy::{Error, Result};

use crate::output;

/// Whether somebody looks at [`RAISED`]; otherwise even the first Ctrl-C ends the program.
static WATCHED: AtomicBool = AtomicBool::new(false);
static RAISED: AtomicBool = AtomicBool::new(false);

/// From here on the caller asks [`raised`] or [`check`] often enough to be waited for.
pub fn watch() {
    static INSTALLED: Once = Once::new();
    WATCHED.store(true, Ordering::Relaxed);
    INSTALLED.call_once(|| {
        // Where the system refuses a handler, Ctrl-C ends the program as it always did.
        let _ = ctrlc::set_handler(|| {
            if !WATCHED.load(Ordering::Relaxed) || RAISED.swap(true, Ordering::Relaxed) {
                std::process::exit(130);
            }
            output::note("\nstopping; Ctrl-C again ends at once");
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
