//! A model being trained or used.
use std::ffi::{CStr, CString, c_int};
use std::{ptr, slice};

use catalog::{Error, ErrorKind, Result};

use super::Library;
use super::api::{Api, Handle, Size};
use super::matrix::Matrix;

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

    /// The model of its first `rounds` rounds.
    ///
    /// # Errors
    /// `InvalidInput` for linear models, which have no rounds to leave out.
    pub fn first(&self, rounds: u32) -> Result<Booster<'lib>> {
        let mut handle = ptr::null_mut();
        // SAFETY: the handle is live; the new one belongs to the caller.
        let code =
            unsafe { (self.api.booster_slice)(self.handle, 0, c_round(rounds)?, 1, &mut handle) };
        self.api.check(code, "cut the model to its best round")?;
        Ok(Booster {
            api: self.api,
            handle,
        })
    }

    /// The part each of `columns` features has in what the splits of all trees gained; sums to
    /// 1 where there are splits at all.
    pub fn gains(&self, columns: usize) -> Result<Vec<f64>> {
        const CONFIG: &CStr = c"{\"importance_type\": \"total_gain\"}";
        let (mut count, mut names, mut dimensions) = (0, ptr::null(), 0);
        let (mut shape, mut scores) = (ptr::null(), ptr::null());
        // SAFETY: the handle is live; names and scores belong to the model, are as many as
        // XGBoost says, and are copied before the next call on this thread.
        let found: Vec<(String, f32)> = unsafe {
            let code = (self.api.booster_score)(
                self.handle,
                CONFIG.as_ptr(),
                &mut count,
                &mut names,
                &mut dimensions,
                &mut shape,
                &mut scores,
            );
            self.api.check(code, "tell what features count")?;
            let names = copy(names, count as usize).into_iter();
            let names = names.map(|name| CStr::from_ptr(name).to_string_lossy().into_owned());
            names.zip(copy(scores, count as usize)).collect()
        };
        let mut gains = vec![0.0; columns];
        for (name, score) in found {
            let position = name.strip_prefix('f').and_then(|n| n.parse::<usize>().ok());
            let gain = position.and_then(|position| gains.get_mut(position));
            let gain = gain.ok_or_else(|| {
                Error::internal(format!(
                    "XGBoost names a feature {name:?} that it was not given"
                ))
            })?;
            *gain += f64::from(score);
        }
        let sum: f64 = gains.iter().sum();
        if sum > 0.0 {
            gains.iter_mut().for_each(|gain| *gain /= sum);
        }
        Ok(gains)
    }

    pub(super) fn api(&self) -> &'lib Api {
        self.api
    }

    pub(super) fn handle(&self) -> Handle {
        self.handle
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
pub(super) unsafe fn copy<T: Copy>(start: *const T, length: usize) -> Vec<T> {
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
