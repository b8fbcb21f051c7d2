//! What every network is tested for: that no trained parameter is cut off from the loss, and
//! that gradients are slopes.
use candle_core::{Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::Problem;

/// The trained parameters that get no gradient, or one of zeros or not numbers, from the loss of
/// `batch`: none, in a network whose parts are all connected.
pub(crate) fn without_gradient(problem: &dyn Problem, batch: &[usize]) -> Vec<String> {
    let gradients = loss(problem, batch).backward().unwrap();
    let silent = |var: &Var| match gradients.get(var) {
        None => true,
        Some(gradient) => {
            let sum = gradient.abs().unwrap().sum_all().unwrap();
            let sum = sum.to_scalar::<f32>().unwrap();
            !(sum.is_finite() && sum > 0.0)
        }
    };
    let vars = problem.params().vars().iter();
    vars.filter(|(name, var)| problem.trains(name) && silent(var))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Compares gradients with central differences of the loss, at some values of each trained
/// parameter, and returns the largest distance over 1 + the slope's size. Exact gradients in
/// single precision stay below about 0.01.
pub(crate) fn worst_slope(problem: &dyn Problem, batch: &[usize]) -> f32 {
    const STEP: f32 = 1e-2;
    let gradients = loss(problem, batch).backward().unwrap();
    let mut worst: f32 = 0.0;
    for (name, var) in problem.params().vars() {
        if !problem.trains(name) {
            continue;
        }
        let values = flat(var.as_tensor());
        let gradient = flat(gradients.get(var).expect("a gradient"));
        let at = |position: usize, by: f32| {
            let mut moved = values.clone();
            moved[position] += by;
            let moved = Tensor::from_vec(moved, var.shape(), var.device()).unwrap();
            var.set(&moved).unwrap();
            loss(problem, batch).to_scalar::<f32>().unwrap()
        };
        for position in (0..values.len()).step_by(values.len() / 7 + 1) {
            let slope = (at(position, STEP) - at(position, -STEP)) / (2.0 * STEP);
            let distance = (slope - gradient[position]).abs() / (1.0 + slope.abs());
            worst = worst.max(distance);
        }
        at(0, 0.0);
    }
    worst
}

/// The loss with the same dropout each time.
fn loss(problem: &dyn Problem, batch: &[usize]) -> Tensor {
    problem
        .loss(batch, &mut ChaCha8Rng::seed_from_u64(0))
        .unwrap()
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}
