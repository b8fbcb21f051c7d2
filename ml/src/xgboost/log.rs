//! XGBoost's own log lines, as tracing events, and what they tell about parameters.
//!
//! XGBoost only warns of a parameter it does not know. Such a parameter is a
//! mistyped name, so the warning is caught here to be made an error. It only warns, too,
//! when it finds no GPU and goes on without.
use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char};

use catalog::Result;

use super::api::{Api, essence};

thread_local! {
    static UNUSED: RefCell<Option<String>> = const { RefCell::new(None) };
    static WITHOUT_GPU: Cell<bool> = const { Cell::new(false) };
}

/// Sends the log lines of this thread's calls to tracing, and forgets what was caught.
pub(super) fn capture(api: &Api) -> Result<()> {
    UNUSED.with_borrow_mut(|unused| *unused = None);
    WITHOUT_GPU.set(false);
    // SAFETY: the callback is a plain function that lives as long as the program
    // and does not unwind.
    let code = unsafe { (api.register_log_callback)(receive) };
    api.check(code, "register a log callback")
}

/// The parameters that were not used, as `"one", "other"`, if there were any.
pub(super) fn unused_parameters() -> Option<String> {
    UNUSED.with_borrow(Clone::clone)
}

/// Whether a GPU was asked for and the CPU was taken, as none was found.
pub(super) fn went_without_gpu() -> bool {
    WITHOUT_GPU.get()
}

extern "C" fn receive(line: *const c_char) {
    if line.is_null() {
        return;
    }
    // SAFETY: XGBoost hands over a C string that is valid during this call.
    let line = unsafe { CStr::from_ptr(line) }.to_string_lossy();
    if let Some(names) = unused_in(&line) {
        UNUSED.with(|unused| {
            if let Ok(mut unused) = unused.try_borrow_mut() {
                *unused = Some(names.to_owned());
            }
        });
        return;
    }
    if line.contains("changed from GPU to CPU") {
        WITHOUT_GPU.set(true);
    }
    tracing::debug!(line = essence(line.trim()), "xgboost");
}

fn unused_in(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("Parameters: {")?;
    let (names, rest) = rest.split_once('}')?;
    rest.contains("not used").then(|| names.trim())
}
