use candle_core::{Device, Tensor};
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::neural::{Linear, check, dropout};

/// y = 3 x1 - 2 x2 + 1, learned by one linear layer; the last 20 samples validate.
struct Line {
    params: Params,
    layer: Linear,
    x: Tensor,
    y: Tensor,
    frozen: &'static str,
    dropout: f64,
}

const SAMPLES: usize = 100;

impl Line {
    fn new(seed: u64, scale: f32) -> Line {
        let mut params = Params::seeded(seed, &Device::Cpu);
        let layer = params.linear("line", 2, 1).unwrap();
        let value = |i: usize| ((i * 37 % 101) as f32 / 50.0 - 1.0) * scale;
        let x: Vec<f32> = (0..(SAMPLES + 20) * 2).map(value).collect();
        let y = x.chunks(2).map(|x| 3.0 * x[0] - 2.0 * x[1] + 1.0);
        let y = Tensor::from_vec(y.collect::<Vec<_>>(), (SAMPLES + 20, 1), &Device::Cpu).unwrap();
        Line {
            params,
            layer,
            x: Tensor::from_vec(x, (SAMPLES + 20, 2), &Device::Cpu).unwrap(),
            y,
            frozen: "",
            dropout: 0.0,
        }
    }

    fn error(&self, x: &Tensor, which: &[u32]) -> candle_core::Result<Tensor> {
        let which = Tensor::from_slice(which, which.len(), &Device::Cpu)?;
        let answer = self.layer.forward(&x.index_select(&which, 0)?)?;
        (answer - self.y.index_select(&which, 0)?)?
            .sqr()?
            .mean_all()
    }
}

impl Problem for Line {
    fn params(&self) -> &Params {
        &self.params
    }

    fn loss(&self, batch: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let which: Vec<u32> = batch.iter().map(|i| *i as u32).collect();
        let x = dropout(&self.x, self.dropout, rng).map_err(failed)?;
        self.error(&x, &which).map_err(failed)
    }

    fn validate(&self) -> Result<Option<f64>> {
        let which: Vec<u32> = (100..120).collect();
        let loss = self.error(&self.x, &which).map_err(failed)?;
        Ok(Some(loss.to_scalar::<f32>().map_err(failed)?.into()))
    }

    fn trains(&self, name: &str) -> bool {
        name != self.frozen
    }
}

fn schedule() -> Schedule {
    Schedule {
        epochs: 200,
        batch: 16,
        learning_rate: 0.05,
        final_rate: 0.05,
        patience: 0,
        ..Schedule::default()
    }
}

fn values(line: &Line, name: &str) -> Vec<f32> {
    let var = line.params.vars()[name].as_tensor();
    var.flatten_all().unwrap().to_vec1().unwrap()
}

#[test]
fn a_line_is_found() {
    let line = Line::new(1, 1.0);
    let mut losses = Vec::new();
    let learned = learn(&line, &schedule(), SAMPLES, &mut |p| {
        assert_eq!((p.rounds, p.metric.as_str()), (200, "loss"));
        // A busy machine can make an epoch long enough for a word in between.
        if p.share == 1.0 {
            losses.push((p.train, p.test));
        }
        true
    });
    assert_eq!(learned.unwrap().unwrap().epoch, 200);
    assert_eq!(losses.len(), 200);
    assert!(
        losses[199].0 < 1e-4 && losses[199].1 < 1e-4,
        "{:?}",
        losses[199]
    );
    for (value, truth) in values(&line, "line.weight").iter().zip([3.0, -2.0]) {
        assert!((value - truth).abs() < 0.02, "{value}");
    }
    assert!((values(&line, "line.bias")[0] - 1.0).abs() < 0.02);
}

#[test]
fn the_seed_decides_every_bit() {
    let bytes = |seed| {
        let mut line = Line::new(seed, 1.0);
        line.dropout = 0.2;
        let schedule = Schedule {
            epochs: 5,
            seed,
            ..schedule()
        };
        learn(&line, &schedule, SAMPLES, &mut |_| true).unwrap();
        line.params.to_bytes().unwrap()
    };
    assert_eq!(bytes(3), bytes(3));
    assert_ne!(bytes(3), bytes(4));
}

#[test]
fn the_best_epoch_is_taken_and_patience_ends_the_rest() {
    // A rate this high finds the line, then jumps about it.
    let rough = Schedule {
        learning_rate: 0.8,
        final_rate: 1.0,
        patience: 4,
        ..schedule()
    };
    let line = Line::new(1, 1.0);
    let mut losses = Vec::new();
    let learned = learn(&line, &rough, SAMPLES, &mut |p| {
        if p.share == 1.0 {
            losses.push(p.test);
        }
        true
    });
    let learned = learned.unwrap().unwrap();
    let least = losses.iter().copied().fold(f64::INFINITY, f64::min);
    assert_eq!(losses[learned.epoch as usize - 1], least);
    assert_eq!(losses.len(), learned.epoch as usize + 4);
    assert_eq!(line.validate().unwrap(), Some(least));
}

#[test]
fn a_parameter_that_is_not_trained_stays() {
    let mut line = Line::new(1, 1.0);
    line.frozen = "line.bias";
    let (weight, bias) = (values(&line, "line.weight"), values(&line, "line.bias"));
    learn(&line, &schedule(), SAMPLES, &mut |_| true).unwrap();
    assert_eq!(values(&line, "line.bias"), bias);
    assert_ne!(values(&line, "line.weight"), weight);
}

#[test]
fn a_loss_that_is_no_number_is_an_error() {
    let line = Line::new(1, f32::INFINITY);
    let error = learn(&line, &schedule(), SAMPLES, &mut |_| true).unwrap_err();
    assert_eq!(error.kind(), catalog::ErrorKind::InvalidInput);
    assert!(
        error.message().contains("training part is NaN in epoch 1"),
        "{error}"
    );
    // Of the validation part alone, too: it must not count as the best epoch.
    let mut line = Line::new(1, 1.0);
    let holes = (0..120).map(|i| if i < 100 { 1.0 } else { f32::NAN });
    line.y = Tensor::from_vec(holes.collect::<Vec<f32>>(), (120, 1), &Device::Cpu).unwrap();
    let error = learn(&line, &schedule(), SAMPLES, &mut |_| true).unwrap_err();
    assert!(
        error.message().contains("validation part is NaN"),
        "{error}"
    );
}

#[test]
fn nothing_to_learn_from_is_an_error() {
    let error = learn(&Line::new(1, 1.0), &schedule(), 0, &mut |_| true).unwrap_err();
    assert!(error.message().contains("no samples"), "{error}");
    let none = Schedule {
        batch: 0,
        ..schedule()
    };
    assert!(learn(&Line::new(1, 1.0), &none, SAMPLES, &mut |_| true).is_err());
}

#[test]
fn training_ends_when_watch_says_so() {
    let mut epochs = 0;
    let stopped = learn(&Line::new(1, 1.0), &schedule(), SAMPLES, &mut |p| {
        epochs = p.round;
        epochs < 3
    });
    assert!(stopped.unwrap().is_none());
    assert_eq!(epochs, 3);
}

#[test]
fn a_long_epoch_tells_how_far_it_is_and_can_be_ended() {
    let line = Line::new(1, 1.0);
    let mut heard = None;
    let endless = Endless(line);
    let stopped = learn(&endless, &schedule(), 3_000_000, &mut |p| {
        heard = Some(p);
        false
    });
    assert!(stopped.unwrap().is_none());
    let heard = heard.unwrap();
    assert_eq!(heard.round, 1);
    assert!(heard.share > 0.0 && heard.share < 1.0, "{heard:?}");
    assert!(heard.train.is_finite() && heard.test.is_nan());
}

/// The line again and again.
struct Endless(Line);

impl Problem for Endless {
    fn params(&self) -> &Params {
        &self.0.params
    }

    fn loss(&self, batch: &[usize], rng: &mut ChaCha8Rng) -> Result<Tensor> {
        let batch: Vec<usize> = batch.iter().map(|i| i % SAMPLES).collect();
        self.0.loss(&batch, rng)
    }

    fn validate(&self) -> Result<Option<f64>> {
        Ok(None)
    }
}

#[test]
fn gradients_are_cut_to_their_common_norm() {
    let line = Line::new(1, 1.0);
    let vars: Vec<Var> = line.params.vars().values().cloned().collect();
    let loss = line
        .loss(&[0, 1, 2, 3], &mut ChaCha8Rng::seed_from_u64(0))
        .unwrap();
    let all = |gradients: &GradStore| -> Vec<f32> {
        let flat = |var| gradients.get(var).unwrap().flatten_all().unwrap();
        vars.iter()
            .flat_map(|var| flat(var).to_vec1::<f32>().unwrap())
            .collect()
    };
    let norm = |values: &[f32]| values.iter().map(|v| v * v).sum::<f32>().sqrt();
    let whole = all(&loss.backward().unwrap());
    for most in [0.0, 0.5, 1000.0] {
        let mut gradients = loss.backward().unwrap();
        clip(&mut gradients, &vars, most).unwrap();
        let cut = all(&gradients);
        let scale = if most == 0.5 { 0.5 / norm(&whole) } else { 1.0 };
        for (cut, whole) in cut.iter().zip(&whole) {
            assert!(
                (cut - whole * scale).abs() < 1e-5,
                "{cut} of {whole} at {most}"
            );
        }
    }
    assert!(norm(&whole) > 0.5);
}

#[test]
fn the_checks_of_networks_see_a_parameter_that_is_cut_off() {
    let mut line = Line::new(1, 1.0);
    assert!(check::without_gradient(&line, &[0, 1, 2]).is_empty());
    assert!(check::worst_slope(&line, &[0, 1, 2]) < 0.01);
    line.params.constant("idle", &[2], 1.0).unwrap();
    assert_eq!(check::without_gradient(&line, &[0, 1, 2]), ["idle"]);
}
