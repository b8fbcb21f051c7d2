use candle_core::{Device, Var};
use rand::SeedableRng;
use serde::Deserialize;

use super::*;

/// A case of `tests/reference/gru.py`, whose first lines say how to write the file again.
#[derive(Deserialize)]
struct Case {
    batch: usize,
    steps: usize,
    inputs: usize,
    hidden: usize,
    layers: usize,
    states: Vec<f32>,
    input_gradient: Vec<f32>,
    gradients: std::collections::BTreeMap<String, Vec<f32>>,
}

/// The formula of the script.
fn values(count: usize, first: usize) -> Vec<f32> {
    let number = |i: usize| ((i * 7919 + first * 104_729) % 10_007) as f64 / 5003.5 - 1.0;
    (0..count).map(|i| number(i) as f32).collect()
}

fn scaled(count: usize, first: usize, scale: f32) -> Vec<f32> {
    values(count, first).iter().map(|v| v * scale).collect()
}

/// Layers whose parameters are the script's.
fn made(inputs: usize, hidden: usize, layers: usize) -> (Params, Gru) {
    let mut params = Params::seeded(0, &Device::Cpu);
    let gru = Gru::new(&mut params, "gru", inputs, hidden, layers).unwrap();
    for (number, var) in params.vars().values().enumerate() {
        let values = scaled(var.elem_count(), number + 1, 0.7);
        var.set(&Tensor::from_vec(values, var.shape(), &Device::Cpu).unwrap())
            .unwrap();
    }
    (params, gru)
}

fn flat(tensor: &Tensor) -> Vec<f32> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn assert_near(found: &[f32], wanted: &[f32], what: &str) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (i, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        let near = (found - wanted).abs() <= 1e-5 * wanted.abs().max(1.0);
        assert!(near, "{what}[{i}] is {found}, and {wanted} is right");
    }
}

/// Runs layers and takes the gradients of the sum of states times given slopes.
fn gradients(
    params: &Params,
    x: &Var,
    run: impl Fn(&Tensor) -> candle_core::Result<Tensor>,
) -> (Vec<f32>, Vec<(String, Vec<f32>)>) {
    let states = run(x.as_tensor()).unwrap();
    let slopes = values(states.elem_count(), 60);
    let slopes = Tensor::from_vec(slopes, states.shape(), &Device::Cpu).unwrap();
    let loss = (&states * slopes).unwrap().sum_all().unwrap();
    let found = loss.backward().unwrap();
    let mut gradients = vec![("input".to_owned(), flat(found.get(x).unwrap()))];
    for (name, var) in params.vars() {
        gradients.push((name.clone(), flat(found.get(var).unwrap())));
    }
    (flat(&states), gradients)
}

fn input(batch: usize, steps: usize, inputs: usize) -> Var {
    let x = scaled(batch * steps * inputs, 50, 1.5);
    Var::from_vec(x, (batch, steps, inputs), &Device::Cpu).unwrap()
}

fn train(gru: &Gru, x: &Tensor) -> candle_core::Result<Tensor> {
    let rng = &mut ChaCha8Rng::seed_from_u64(0);
    gru.run(x, Some(Training { dropout: 0.0, rng }))
}

#[test]
fn states_and_gradients_are_those_of_pytorch() {
    let cases = include_str!("../../../tests/reference/gru.json");
    let cases: Vec<Case> = serde_json::from_str(cases).unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let (params, gru) = made(case.inputs, case.hidden, case.layers);
        let x = input(case.batch, case.steps, case.inputs);
        let (states, found) = gradients(&params, &x, |x| train(&gru, x));
        assert_near(&states, &case.states, "state");
        assert_near(&found[0].1, &case.input_gradient, "the input's gradient");
        assert_eq!(found.len() - 1, case.gradients.len());
        for (name, gradient) in &found[1..] {
            let name = name.strip_prefix("gru.").unwrap();
            assert_near(gradient, &case.gradients[name], name);
        }
        let answer = gru.forward(x.as_tensor(), None).unwrap();
        assert_eq!(flat(&answer), states, "without gradients");
    }
}

#[test]
fn the_kernel_and_plain_operations_agree() {
    for (batch, steps, inputs, hidden) in [(5, 3, 2, 16), (33, 9, 4, 20), (2, 1, 1, 65)] {
        let (params, gru) = made(inputs, hidden, 1);
        let x = input(batch, steps, inputs);
        let layer = &gru.layers[0];
        let (kernel, by_kernel) = gradients(&params, &x, |x| layer.fused(x, true));
        let (plain, by_plain) = gradients(&params, &x, |x| layer.by_steps(x));
        assert_near(&kernel, &plain, "state");
        for ((name, kernel), (_, plain)) in by_kernel.iter().zip(&by_plain) {
            let most = plain.iter().fold(1.0_f32, |most, v| most.max(v.abs()));
            let part = |values: &[f32]| values.iter().map(|v| v / most).collect::<Vec<_>>();
            assert_near(&part(kernel), &part(plain), name);
        }
    }
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let (params, gru) = made(6, 40, 2);
    let x = input(37, 20, 6);
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        let pool = pool.build().unwrap();
        pool.install(|| gradients(&params, &x, |x| train(&gru, x)))
    };
    let one = run(1);
    assert_eq!(one, run(2));
    assert_eq!(one, run(5));
}

#[test]
fn dropout_is_between_layers_only_and_while_training_only() {
    let x = input(3, 4, 2);
    let answers = |layers, rate| {
        let (_params, gru) = made(2, 8, layers);
        let rng = &mut ChaCha8Rng::seed_from_u64(5);
        let training = Training { dropout: rate, rng };
        let trained = gru.forward(x.as_tensor(), Some(training)).unwrap();
        let used = gru.forward(x.as_tensor(), None).unwrap();
        (flat(&trained), flat(&used))
    };
    let (trained, used) = answers(1, 0.5);
    assert_eq!(trained, used);
    let (trained, used) = answers(2, 0.5);
    assert_ne!(trained, used);
    assert_eq!(used, answers(2, 0.0).0);
}

#[test]
fn a_missing_number_does_not_vanish() {
    let (_params, gru) = made(1, 3, 1);
    let x = Tensor::from_vec(vec![1.0, f32::NAN, 1.0], (1, 3, 1), &Device::Cpu).unwrap();
    let states = flat(&gru.forward(&x, None).unwrap());
    assert!(states[..3].iter().all(|v| v.is_finite()));
    assert!(states[3..].iter().all(|v| v.is_nan()));
}
