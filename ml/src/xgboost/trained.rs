//! A model that is only asked any more, by several threads at once.
use std::ffi::CStr;
use std::ptr;
use std::sync::{Mutex, PoisonError};

use catalog::{Error, Result};

use super::api::{Handle, Size};
use super::booster::copy;
use super::matrix::{Matrix, array_interface};
use super::{Booster, Library};
use crate::trainers::Predictions;

const CONFIG: &CStr = c"{\"type\": 0, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, \"strict_shape\": true, \"cache_id\": 0, \"missing\": NaN}";

/// A trained model.
///
/// Trees are asked in place: XGBoost reads the caller's memory instead of a matrix of its own,
/// takes no lock and keeps each thread's answer apart ("Prediction", section "Thread safety" of
/// its documentation; `XGBoosterPredictFromDense`). Linear models have no such way, so their
/// callers take turns.
#[derive(Debug)]
pub struct Trained {
    booster: Booster<'static>,
    library: &'static Library,
    columns: usize,
    turns: Option<Mutex<()>>,
}

// SAFETY: after `new` has made XGBoost set the model up, threads share it only by in-place
// prediction, which XGBoost promises for several threads, or else by turns.
unsafe impl Sync for Trained {}

impl Trained {
    /// The model of `bytes`, [`Booster::to_ubjson`]'s, over rows of `columns` numbers.
    ///
    /// # Errors
    /// `Corrupt` where the bytes are no model.
    pub fn new(library: &'static Library, bytes: &[u8], columns: usize) -> Result<Trained> {
        let booster = Booster::from_bytes(library, bytes)?;
        let mut model = Trained {
            booster,
            library,
            columns,
            turns: None,
        };
        // The first prediction sets the model up, which is not for several threads; and it
        // tells whether it can be asked in place.
        if model.in_place(&vec![f32::NAN; columns]).is_err() {
            model.turns = Some(Mutex::new(()));
            model.predict(&vec![0.0; columns])?;
        }
        Ok(model)
    }

    /// What the model answers to rows, one after the other; NaN is a missing value.
    pub fn predict(&self, rows: &[f32]) -> Result<Predictions> {
        if self.columns == 0 || !rows.len().is_multiple_of(self.columns) {
            return Err(Error::internal(format!(
                "{} values do not make rows of {} columns",
                rows.len(),
                self.columns
            )));
        }
        let Some(turns) = &self.turns else {
            return self.in_place(rows);
        };
        let rows = Matrix::new(self.library, rows, self.columns)?;
        let _turn = turns.lock().unwrap_or_else(PoisonError::into_inner);
        self.answer(|handle, shape, dimensions, values| {
            let predict = self.booster.api().booster_predict;
            // SAFETY: both handles are live, the places are valid.
            unsafe {
                predict(
                    handle,
                    rows.handle(),
                    CONFIG.as_ptr(),
                    shape,
                    dimensions,
                    values,
                )
            }
        })
    }

    fn in_place(&self, rows: &[f32]) -> Result<Predictions> {
        let interface = array_interface(rows, &[rows.len() / self.columns, self.columns])?;
        self.answer(|handle, shape, dimensions, values| {
            let predict = self.booster.api().booster_predict_dense;
            let (rows, none) = (interface.as_ptr(), ptr::null_mut());
            // SAFETY: the handle is live, the interface describes memory that outlives the
            // call, the places are valid.
            unsafe {
                predict(
                    handle,
                    rows,
                    CONFIG.as_ptr(),
                    none,
                    shape,
                    dimensions,
                    values,
                )
            }
        })
    }

    fn answer(
        &self,
        predict: impl FnOnce(Handle, *mut *const Size, *mut Size, *mut *const f32) -> i32,
    ) -> Result<Predictions> {
        let (mut shape, mut dimensions, mut values) = (ptr::null(), 0, ptr::null());
        let code = predict(
            self.booster.handle(),
            &mut shape,
            &mut dimensions,
            &mut values,
        );
        self.booster.api().check(code, "predict")?;
        // SAFETY: shape and values are this thread's of this model, have the lengths XGBoost
        // says, and are copied before the next call on this thread.
        let (shape, values) = unsafe {
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
