//! The last answers of models, by the arrays they were asked about.
//!
//! A scan computes the columns it gives one by one: `predict(...)['prediction']` and
//! `predict(...)['score']` call twice for the same arrays of the same batch, although the
//! planner had made one call of them.
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::ArrayRef;

/// Answers remembered: a few for each partition that is read at the same time.
const MOST: usize = 16;

/// Answers by model and arguments.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<Known>>);

#[derive(Debug)]
struct Known {
    model: String,
    arguments: Vec<ArrayRef>,
    answer: ArrayRef,
}

impl Recent {
    /// What the model, named by its location, answered to these very arrays.
    pub(super) fn get(&self, model: &str, arguments: &[ArrayRef]) -> Option<ArrayRef> {
        let recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut recent = recent.iter();
        let found = recent.find(|it| it.model == model && same(&it.arguments, arguments));
        found.map(|known| Arc::clone(&known.answer))
    }

    /// Remembers an answer, in place of the oldest.
    pub(super) fn put(&self, model: &str, arguments: Vec<ArrayRef>, answer: &ArrayRef) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if recent.len() == MOST {
            recent.pop_front();
        }
        recent.push_back(Known {
            model: model.to_owned(),
            arguments,
            answer: Arc::clone(answer),
        });
    }
}

/// The arrays are held here, so that no other can be where they are.
fn same(these: &[ArrayRef], those: &[ArrayRef]) -> bool {
    let pairs = these.iter().zip(those);
    let alike = |(a, b): (&ArrayRef, &ArrayRef)| std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b));
    !these.is_empty() && these.len() == those.len() && pairs.into_iter().all(alike)
}

#[cfg(test)]
mod tests {
    use arrow::array::Int32Array;

    use super::*;

    fn array(value: i32) -> ArrayRef {
        Arc::new(Int32Array::from(vec![value]))
    }

    #[test]
    fn the_same_arrays_are_known_and_equal_ones_are_not() {
        let (recent, a, b) = (Recent::default(), array(1), array(2));
        recent.put("x", vec![Arc::clone(&a), Arc::clone(&b)], &array(7));
        let found = recent.get("x", &[Arc::clone(&a), Arc::clone(&b)]).unwrap();
        assert_eq!(found.as_ref(), array(7).as_ref());
        assert!(recent.get("x", &[Arc::clone(&b), Arc::clone(&a)]).is_none());
        assert!(recent.get("x", &[Arc::clone(&a)]).is_none());
        let of_other = recent.get("y", &[Arc::clone(&a), Arc::clone(&b)]);
        assert!(of_other.is_none());
        assert!(recent.get("x", &[Arc::clone(&a), array(2)]).is_none());
        assert!(recent.get("x", &[]).is_none());
        for value in 0..MOST {
            recent.put("x", vec![array(value as i32)], &array(0));
        }
        assert!(recent.get("x", &[a, b]).is_none());
    }
}
