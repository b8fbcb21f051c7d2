//! A matrix in XGBoost's own form.
use std::ffi::{CStr, CString};
use std::fmt::Write;
use std::ptr;

use catalog::{Error, Result};

use super::Library;
use super::api::{Api, Handle};

/// A dense matrix of single-precision numbers, NaN where a value is missing.
#[derive(Debug)]
pub struct Matrix<'lib> {
    api: &'lib Api,
    handle: Handle,
    rows: usize,
}

// SAFETY: the handle is owned by this value alone, and XGBoost ties no matrix to
// the thread that made it.
unsafe impl Send for Matrix<'_> {}

impl<'lib> Matrix<'lib> {
    /// Copies `values`, one row after the other with `columns` values each.
    pub fn new(library: &'lib Library, values: &[f32], columns: usize) -> Result<Matrix<'lib>> {
        if columns == 0 || !values.len().is_multiple_of(columns) {
            return Err(Error::internal(format!(
                "{} values do not make rows of {columns} columns",
                values.len()
            )));
        }
        let rows = values.len() / columns;
        let interface = array_interface(values, &[rows, columns])?;
        let mut handle = ptr::null_mut();
        // SAFETY: the interface describes `values`, which outlives the call; XGBoost
        // copies what it needs before it returns.
        let code = unsafe {
            (library.api.matrix_from_dense)(
                interface.as_ptr(),
                c"{\"missing\": NaN}".as_ptr(),
                &mut handle,
            )
        };
        library.api.check(code, "take the rows")?;
        Ok(Matrix {
            api: &library.api,
            handle,
            rows,
        })
    }

    /// The same with the value to learn of each row.
    pub fn with_labels(self, labels: &[f32]) -> Result<Matrix<'lib>> {
        self.with(c"label", labels)
    }

    /// The same with how much each row counts.
    pub fn with_weights(self, weights: &[f32]) -> Result<Matrix<'lib>> {
        self.with(c"weight", weights)
    }

    fn with(self, what: &CStr, values: &[f32]) -> Result<Matrix<'lib>> {
        let name = what.to_string_lossy();
        if values.len() != self.rows {
            return Err(Error::internal(format!(
                "{} values as {name} do not fit {} rows",
                values.len(),
                self.rows
            )));
        }
        let interface = array_interface(values, &[self.rows])?;
        // SAFETY: the handle is live, the interface describes `values`, which
        // outlives the call and is copied by it.
        let code =
            unsafe { (self.api.matrix_set_info)(self.handle, what.as_ptr(), interface.as_ptr()) };
        self.api
            .check(code, &format!("take the {name} of each row"))?;
        Ok(self)
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle
    }
}

impl Drop for Matrix<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is live and used by nobody after this.
        unsafe { (self.api.matrix_free)(self.handle) };
    }
}

/// The JSON form of NumPy's `__array_interface__`, by which XGBoost takes arrays.
pub(super) fn array_interface(values: &[f32], shape: &[usize]) -> Result<CString> {
    let mut text = String::new();
    write!(
        text,
        r#"{{"data": [{}, true], "shape": {shape:?}, "typestr": "{}f4", "version": 3}}"#,
        values.as_ptr() as usize,
        if cfg!(target_endian = "little") {
            '<'
        } else {
            '>'
        },
    )
    .map_err(|e| Error::internal("an array could not be described").with_source(e))?;
    CString::new(text)
        .map_err(|e| Error::internal("an array could not be described").with_source(e))
}
