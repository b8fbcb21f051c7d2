//! A model being trained or used.
use std::ffi::{CStr, CString, c_int};
use std::{ptr, slice};

use catalog::{Error, ErrorKind, Result};

use super::Library;
use super::api::{Api, Handle, Size};
use super::matrix::Matrix;
use crate::trainers::Predictions;

/// An XGBoost model. Not to be used by two threads at once; moving it is fine.
#[derive(Debug)]
pub struct Booster<'lib> {
    api: &'lib Api,
    handle: Handle,
}

// SAFETY: the handle is owned by this value alone; what XGBoost keeps per thread
// are result buffers, which are copied before a call returns.
unsafe impl Send for Booster<'_> {}

impl<'lib> Booster<'lib> {
    /// An untrained model that will see these matrices.
    pub fn new(library: &'lib Library, matrices: &[&Matrix<'lib>]) -> Result<Booster<'lib>> {
        let handles: Vec<Handle> = matrices.iter().map(|m| m.handle()).collect();
        let mut handle = ptr::null_mut();
        // SAFETY: the handles are live during the call; XGBoost shares ownership of
        // the matrices it keeps.
        let code = unsafe {
            (library.api.booster_create)(handles.as_ptr(), handles.len() as Size, &mut handle)
        };
        library.api.check(code, "make a model")?;
        Ok(Booster {
            api: &library.api,
            handle,
        })
    }

    /// A trained model from the bytes of [`Booster::to_ubjson`].
    pub fn from_bytes(library: &'lib Library, bytes: &[u8]) -> Result<Booster<'lib>> {
        let booster = Booster::new(library, &[])?;
        // SAFETY: the handle is live and the buffer is as long as said.
        let code = unsafe {
            (booster.api.booster_load)(booster.handle, bytes.as_ptr().cast(), bytes.len() as Size)
        };
        booster
            .api
            .check(code, "read the model")
            .map_err(|e| Error::new(ErrorKind::Corrupt, e.message()))?;
        Ok(booster)
    }

    /// Sets a parameter. XGBoost looks at most of them only when training begins.
    pub fn set(&mut self, name: &str, value: &str) -> Result<()> {
        let (c_name, c_value) = (c_string(name)?, c_string(value)?);
        // SAFETY: the handle is live and both strings end with a zero byte.
        let code =
            unsafe { (self.api.booster_set_param)(self.handle, c_name.as_ptr(), c_value.as_ptr()) };
        self.api.check(code, &format!("take {name} = {value}"))
    }

    /// Trains one round on `train`; rounds count from 0.
    pub fn update(&mut self, round: u32, train: &Matrix<'lib>) -> Result<()> {
        // SAFETY: both handles are live.
        let code =
            unsafe { (self.api.booster_update)(self.handle, c_round(round)?, train.handle()) };
        self.api.check(code, "train")
    }

    /// The metrics of the model on named matrices, as XGBoost writes them:
    /// `[0]\ttrain-rmse:0.5\ttest-rmse:0.6`.
    pub fn evaluate(&mut self, round: u32, on: &[(&CStr, &Matrix<'lib>)]) -> Result<String> {
        let mut handles: Vec<Handle> = on.iter().map(|(_, m)| m.handle()).collect();
        let mut names: Vec<_> = on.iter().map(|(name, _)| name.as_ptr()).collect();
        let mut text = ptr::null();
        // SAFETY: the handles are live, both arrays are as long as said, and the
        // answer is copied before the next call on this thread.
        unsafe {
            let code = (self.api.booster_eval)(
                self.handle,
                c_round(round)?,
                handles.as_mut_ptr(),
                names.as_mut_ptr(),
                on.len() as Size,
                &mut text,
            );
            self.api.check(code, "compute the metric of a round")?;
            Ok(CStr::from_ptr(text).to_string_lossy().into_owned())
        }
    }

    /// The model as XGBoost's UBJSON: the same bytes for the same model.
    pub fn to_ubjson(&self) -> Result<Vec<u8>> {
        let (mut length, mut bytes) = (0, ptr::null());
        // SAFETY: the handle is live; the buffer belongs to the model and is copied
        // before the next call on this thread.
        unsafe {
            let config = c"{\"format\": \"ubj\"}".as_ptr();
            let code = (self.api.booster_save)(self.handle, config, &mut length, &mut bytes);
            self.api.check(code, "write the model")?;
            Ok(copy(bytes.cast(), length as usize))
        }
    }

    /// What the model answers for each row.
    pub fn predict(&self, rows: &Matrix<'lib>) -> Result<Predictions> {
        const CONFIG: &CStr = c"{\"type\": 0, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, \"strict_shape\": true}";
        let (mut shape, mut dimensions, mut values) = (ptr::null(), 0, ptr::null());
        // SAFETY: both handles are live; shape and values belong to the model, have
        // the lengths XGBoost says, and are copied before the next call on this thread.
        let (shape, values) = unsafe {
            let code = (self.api.booster_predict)(
                self.handle,
                rows.handle(),
                CONFIG.as_ptr(),
                &mut shape,
                &mut dimensions,
                &mut values,
            );
            self.api.check(code, "predict")?;
            let shape = copy(shape, dimensions as usize);
            let length = shape.iter().product::<Size>() as usize;
            (shape, copy(values, length))
        };
        Ok(Predictions {
            values,
            outputs: shape.iter().skip(1).product::<Size>() as usize,
        })
    }
}

impl Drop for Booster<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle is live and used by nobody after this.
        unsafe { (self.api.booster_free)(self.handle) };
    }
}

/// Copies a C array, which may be null where it is empty.
///
/// # Safety
/// `start` points at `length` values, or `length` is 0.
unsafe fn copy<T: Copy>(start: *const T, length: usize) -> Vec<T> {
    if start.is_null() || length == 0 {
        return Vec::new();
    }
    // SAFETY: as this function demands of its caller.
    unsafe { slice::from_raw_parts(start, length) }.to_vec()
}

fn c_string(text: &str) -> Result<CString> {
    CString::new(text).map_err(|_| Error::invalid(format!("{text:?} holds a zero byte")))
}

fn c_round(round: u32) -> Result<c_int> {
    c_int::try_from(round).map_err(|_| Error::invalid(format!("round {round} is out of range")))
}
