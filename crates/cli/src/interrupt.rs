//! Ctrl-C, SIGTERM and SIGHUP: the first one asks the work to stop cleanly, the second one ends the process at once.

use crate::exit::Exit;
use pgkeep_model::CancelToken;

/// Wires the signals to `cancel` for the rest of the process's life.
pub fn install(cancel: &CancelToken) -> Result<(), ctrlc::Error> {
    let cancel = cancel.clone();
    ctrlc::set_handler(move || {
        if cancel.is_cancelled() {
            std::process::exit(Exit::Cancelled as i32);
        }
        // The terminal shows ^C without a newline.
        eprintln!("\ncancelling; press Ctrl-C again to stop at once");
        cancel.cancel();
    })
}
