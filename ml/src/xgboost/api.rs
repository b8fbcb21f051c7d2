//! The C functions that are used, as function pointers that live as long as the library.
use std::ffi::{CStr, c_char, c_float, c_int, c_void};
use std::path::Path;

use catalog::{Error, Result};
use libloading::Library;

/// A `DMatrixHandle` or `BoosterHandle`.
pub(super) type Handle = *mut c_void;
/// `bst_ulong`.
pub(super) type Size = u64;
pub(super) type LogCallback = extern "C" fn(*const c_char);

/// Declares the table of functions and its loading from one list, so that a
/// name and its type are written once.
macro_rules! functions {
    ($($field:ident = $symbol:literal: fn($($argument:ty),*) $(-> $result:ty)?;)*) => {
        /// The functions of one loaded library.
        #[derive(Debug)]
        pub(super) struct Api {
            $(pub(super) $field: unsafe extern "C" fn($($argument),*) $(-> $result)?,)*
            // Keeps the library, and with it the functions above, in memory.
            _library: Library,
        }

        impl Api {
            /// Loads the library and finds every function in it.
            pub(super) fn load(path: &Path) -> Result<Api, libloading::Error> {
                // SAFETY: the initialisers of a shared library run here; the user chose
                // this file as the XGBoost library, or it lies where only that is put.
                let library = unsafe { Library::new(path) }?;
                Ok(Api {
                    // SAFETY: the types are those of XGBoost's c_api.h, which keeps them
                    // from release to release.
                    $($field: unsafe { *library.get($symbol)? },)*
                    _library: library,
                })
            }
        }
    };
}

functions! {
    version = "XGBoostVersion": fn(*mut c_int, *mut c_int, *mut c_int);
    build_info = "XGBuildInfo": fn(*mut *const c_char) -> c_int;
    last_error = "XGBGetLastError": fn() -> *const c_char;
    register_log_callback = "XGBRegisterLogCallback": fn(LogCallback) -> c_int;
    matrix_from_dense = "XGDMatrixCreateFromDense":
        fn(*const c_char, *const c_char, *mut Handle) -> c_int;
    matrix_set_info = "XGDMatrixSetInfoFromInterface":
        fn(Handle, *const c_char, *const c_char) -> c_int;
    matrix_free = "XGDMatrixFree": fn(Handle) -> c_int;
    booster_create = "XGBoosterCreate": fn(*const Handle, Size, *mut Handle) -> c_int;
    booster_set_param = "XGBoosterSetParam": fn(Handle, *const c_char, *const c_char) -> c_int;
    booster_update = "XGBoosterUpdateOneIter": fn(Handle, c_int, Handle) -> c_int;
    booster_eval = "XGBoosterEvalOneIter":
        fn(Handle, c_int, *mut Handle, *mut *const c_char, Size, *mut *const c_char) -> c_int;
    booster_save = "XGBoosterSaveModelToBuffer":
        fn(Handle, *const c_char, *mut Size, *mut *const c_char) -> c_int;
    booster_load = "XGBoosterLoadModelFromBuffer": fn(Handle, *const c_void, Size) -> c_int;
    booster_predict = "XGBoosterPredictFromDMatrix":
        fn(
            Handle,
            Handle,
            *const c_char,
            *mut *const Size,
            *mut Size,
            *mut *const c_float
        ) -> c_int;
    booster_predict_dense = "XGBoosterPredictFromDense":
        fn(
            Handle,
            *const c_char,
            *const c_char,
            Handle,
            *mut *const Size,
            *mut Size,
            *mut *const c_float
        ) -> c_int;
    booster_slice = "XGBoosterSlice": fn(Handle, c_int, c_int, c_int, *mut Handle) -> c_int;
    booster_score = "XGBoosterFeatureScore":
        fn(
            Handle,
            *const c_char,
            *mut Size,
            *mut *const *const c_char,
            *mut Size,
            *mut *const Size,
            *mut *const c_float
        ) -> c_int;
    booster_free = "XGBoosterFree": fn(Handle) -> c_int;
}

impl Api {
    pub(super) fn library_version(&self) -> (u32, u32, u32) {
        let (mut major, mut minor, mut patch) = (0, 0, 0);
        // SAFETY: three valid, distinct places for an int each.
        unsafe { (self.version)(&mut major, &mut minor, &mut patch) };
        (
            major.unsigned_abs(),
            minor.unsigned_abs(),
            patch.unsigned_abs(),
        )
    }

    /// Turns a function's return code into its error; to be called on the thread
    /// that made the call. `doing` completes "XGBoost cannot ...".
    pub(super) fn check(&self, code: c_int, doing: &str) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the library answers with a C string that stays valid until the
        // next failing call on this thread; it is copied before that.
        let message = unsafe { CStr::from_ptr((self.last_error)()) }.to_string_lossy();
        Err(Error::invalid(format!(
            "XGBoost cannot {doing}: {}",
            essence(&message)
        )))
    }
}

/// What of XGBoost's message is for the user: without the time, the place in
/// its source and the stack trace.
pub(super) fn essence(message: &str) -> &str {
    let message = message.split("\nStack trace").next().unwrap_or(message);
    let message = match (message.starts_with('['), message.split_once("] ")) {
        (true, Some((_, rest))) => rest,
        _ => message,
    };
    let message = match message.split_once(": ") {
        Some((place, rest)) if place.contains(".cc:") || place.contains(".h:") => rest,
        _ => message,
    };
    message.trim()
}

#[cfg(test)]
mod tests {
    use super::essence;

    #[test]
    fn messages_lose_time_place_and_stack() {
        let message = "[10:20:30] /build/src/learner.cc:790: bad value\nStack trace:\n  [bt] (0) x";
        assert_eq!(essence(message), "bad value");
        assert_eq!(essence("plain: text"), "plain: text");
    }
}
