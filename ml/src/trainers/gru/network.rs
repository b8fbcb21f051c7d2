//! The network of the trainer `gru`: recurrent layers over a window, and a linear layer on the
//! last state.
use candle_core::{Device, Tensor};
use catalog::Result;

use crate::neural::{Gru, Linear, Params, Training, failed};
use crate::spec::Task;

/// Sizes of a network, and what it answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shape {
    pub(super) task: Task,
    /// Rows of a window.
    pub(super) length: usize,
    /// Numbers of a row.
    pub(super) columns: usize,
    /// Whether a column of its own says which numbers are missing.
    pub(super) flags: bool,
    pub(super) hidden: usize,
    pub(super) layers: usize,
    /// Numbers of an answer.
    pub(super) outputs: usize,
}

impl Shape {
    fn inputs(&self) -> usize {
        self.columns * if self.flags { 2 } else { 1 }
    }

    /// Windows as the network reads them: `length` x `columns` numbers each. What is missing or
    /// infinite becomes 0, which is the mean where features are scaled, and where the training
    /// rows had any such, a flag of 1 among `columns` more numbers says so.
    pub(super) fn input(&self, windows: &[f32], device: &Device) -> candle_core::Result<Tensor> {
        let mut values = Vec::with_capacity(windows.len() * self.inputs() / self.columns);
        for row in windows.chunks_exact(self.columns) {
            values.extend(row.iter().map(|v| if v.is_finite() { *v } else { 0.0 }));
            if self.flags {
                values.extend(row.iter().map(|v| f32::from(u8::from(!v.is_finite()))));
            }
        }
        Tensor::from_vec(values, ((), self.length, self.inputs()), device)
    }
}

/// One member: `gru.weight_ih_l0` and so on, `head.weight` and `head.bias`.
pub(super) struct Network {
    shape: Shape,
    gru: Gru,
    head: Linear,
    device: Device,
}

impl Network {
    /// The names of parameters start with `prefix`.
    pub(super) fn new(params: &mut Params, prefix: &str, shape: Shape) -> Result<Network> {
        let Shape { hidden, layers, .. } = shape;
        let gru = Gru::new(
            params,
            &format!("{prefix}gru"),
            shape.inputs(),
            hidden,
            layers,
        )?;
        let head = params.linear(&format!("{prefix}head"), hidden, shape.outputs)?;
        let device = params.device().clone();
        Ok(Network {
            shape,
            gru,
            head,
            device,
        })
    }

    /// What it answers to windows, before any softmax: windows x outputs.
    pub(super) fn forward(
        &self,
        windows: &[f32],
        training: Option<Training<'_>>,
    ) -> Result<Tensor> {
        let x = self.shape.input(windows, &self.device).map_err(failed)?;
        let states = self.gru.forward(&x, training)?;
        let last = states.narrow(1, self.shape.length - 1, 1);
        let last = last.and_then(|last| last.squeeze(1)?.contiguous());
        let answer = last.and_then(|last| self.head.forward(&last));
        answer.map_err(failed)
    }

    /// Answers in the units and order of `Predictions`.
    pub(super) fn answer(&self, windows: &[f32]) -> Result<Vec<f32>> {
        let answer = self.forward(windows, None)?;
        let values = match self.shape.task {
            Task::Binary => candle_nn::ops::softmax(&answer, 1).and_then(|p| p.narrow(1, 1, 1)),
            Task::Multiclass => candle_nn::ops::softmax(&answer, 1),
            Task::Regression | Task::Forecast | Task::Anomaly => Ok(answer),
        };
        let values = values.and_then(|values| values.flatten_all()?.to_vec1());
        values.map_err(failed)
    }

    /// Makes a network that was trained on (y - mean) / scale answer y.
    pub(super) fn unscale(
        &self,
        params: &Params,
        prefix: &str,
        mean: f64,
        scale: f64,
    ) -> Result<()> {
        let set = |name: &str, by: f64, plus: f64| {
            let var = &params.vars()[&format!("{prefix}head.{name}")];
            let value = var.as_tensor().affine(by, plus)?;
            var.set(&value)
        };
        let done = set("weight", scale, 0.0).and_then(|()| set("bias", scale, mean));
        done.map_err(failed)
    }
}

/// What a sample is learned to be.
pub(super) struct Target<'a> {
    /// Class numbers, values, or the values of futures.
    pub(super) values: &'a [f32],
    /// How much samples count; empty where all count alike.
    pub(super) weights: &'a [f32],
}

/// The mean loss of answers, samples x outputs: the cross entropy of classes, or the squared
/// error, of futures only where they are known.
pub(super) fn loss(
    task: Task,
    answers: &Tensor,
    target: &Target<'_>,
) -> candle_core::Result<Tensor> {
    let (samples, outputs) = answers.dims2()?;
    let device = answers.device();
    let each = match task {
        Task::Binary | Task::Multiclass => {
            let mut chosen = vec![0.0_f32; samples * outputs];
            for (row, class) in chosen.chunks_exact_mut(outputs).zip(target.values) {
                row[*class as usize] = -1.0;
            }
            let chosen = Tensor::from_vec(chosen, (samples, outputs), device)?;
            (candle_nn::ops::log_softmax(answers, 1)? * chosen)?.sum(1)?
        }
        Task::Regression | Task::Forecast | Task::Anomaly => {
            let known = |v: &f32| f32::from(u8::from(v.is_finite()));
            let mask: Vec<f32> = target.values.iter().map(known).collect();
            // Each sample's mean over what is known of it.
            let mask = Tensor::from_vec(mask, (samples, outputs), device)?;
            let count = mask.sum_keepdim(1)?.maximum(1.0)?;
            let values = target.values.iter();
            let values = values.map(|v| if v.is_finite() { *v } else { 0.0 });
            let values = Tensor::from_vec(values.collect::<Vec<_>>(), (samples, outputs), device)?;
            let squared = (answers - values)?.sqr()?;
            (squared * mask.broadcast_div(&count)?)?.sum(1)?
        }
    };
    match target.weights {
        [] => each.mean_all(),
        weights => (each * Tensor::from_slice(weights, samples, device)?)?.mean_all(),
    }
}
