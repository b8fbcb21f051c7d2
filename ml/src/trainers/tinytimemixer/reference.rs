//! The network beside the published checkpoint's tensors, and beside another implementation of
//! its forward pass: `tests/reference/tinytimemixer.py`.
use std::collections::BTreeMap;

use candle_core::{Device, Tensor, Var};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

use super::network::Network;
use super::windows::Windows;
use super::{Forecaster, channels};
use crate::neural::Params;
use crate::spec::TinyTimeMixerSpec;
use crate::trainers::Predictor;

/// The published 512-96 model's tensors: names with `{}` for each of the numbers behind, and the
/// shapes that go with these.
fn published() -> BTreeMap<String, Vec<usize>> {
    let mut tensors = BTreeMap::new();
    let mut linear = |name: &str, inputs: usize, outputs: usize| {
        tensors.insert(format!("{name}.weight"), vec![outputs, inputs]);
        tensors.insert(format!("{name}.bias"), vec![outputs]);
    };
    linear("backbone.encoder.patcher", 64, 192);
    linear("decoder.adapter", 192, 128);
    linear("head.base_forecast_block", 1024, 96);
    let encoder = "backbone.encoder.mlp_mixer_encoder.mixers";
    let mut layers = vec![
        ("decoder.decoder_block.mixers.0".to_owned(), 8, 128),
        ("decoder.decoder_block.mixers.1".to_owned(), 8, 128),
    ];
    for (level, patches, d_model) in [(0, 32, 48), (1, 16, 96), (2, 8, 192)] {
        for i in [0, 1] {
            layers.push((
                format!("{encoder}.{level}.mixer_layers.{i}"),
                patches,
                d_model,
            ));
        }
    }
    for (name, patches, d_model) in &layers {
        for (mixer, width) in [("patch_mixer", *patches), ("feature_mixer", *d_model)] {
            linear(&format!("{name}.{mixer}.mlp.fc1"), width, 2 * width);
            linear(&format!("{name}.{mixer}.mlp.fc2"), 2 * width, width);
            linear(
                &format!("{name}.{mixer}.gating_block.attn_layer"),
                width,
                width,
            );
        }
    }
    for (name, _, d_model) in layers {
        for mixer in ["patch_mixer", "feature_mixer"] {
            for value in ["weight", "bias"] {
                tensors.insert(format!("{name}.{mixer}.norm.norm.{value}"), vec![d_model]);
            }
        }
    }
    tensors
}

fn network(params: &mut Params, spec: &TinyTimeMixerSpec, case: &Case) -> Forecaster {
    let targets = case.targets.clone();
    let targets = targets.unwrap_or_else(|| (0..case.channels).collect());
    let rows = (case.context, case.horizon);
    let (channels, io) = channels(spec, rows, case.channels, &targets);
    let network = Network::new(params, spec, &io).unwrap();
    Forecaster {
        networks: vec![network],
        line: None,
        channels,
        io,
    }
}

#[test]
fn the_defaults_have_the_tensors_of_the_published_model() {
    let mut params = Params::seeded(0, &Device::Cpu);
    let case: Case =
        serde_json::from_str(r#"{"context": 512, "horizon": 96, "channels": 7}"#).unwrap();
    network(&mut params, &TinyTimeMixerSpec::default(), &case);
    let made = params.vars().iter();
    let made: BTreeMap<_, _> = made
        .map(|(n, var)| (n.clone(), var.dims().to_vec()))
        .collect();
    assert_eq!(made.len(), 134);
    assert_eq!(made, published());
    let count = |prefix: &str| {
        let of = params
            .vars()
            .iter()
            .filter(|(name, _)| name.starts_with(prefix));
        of.map(|(_, var)| var.elem_count()).sum::<usize>()
    };
    assert_eq!(count(""), 805_280);
    assert_eq!(count("decoder.") + count("head."), 289_696);
}

/// One case of `tinytimemixer.json`.
#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    name: String,
    context: usize,
    horizon: usize,
    channels: usize,
    windows: Option<usize>,
    targets: Option<Vec<usize>>,
    /// Of the end of each window.
    #[serde(default)]
    inputs: Vec<f32>,
    #[serde(default)]
    outputs: Vec<f32>,
    #[serde(flatten)]
    sizes: serde_json::Map<String, serde_json::Value>,
}

/// The numbers of the reference: in [-1, 1), by a tensor's name and the place in it.
fn numbers(name: &str, count: usize) -> impl Iterator<Item = f32> + use<> {
    let fnv = |seed: u32, byte: u8| (seed ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    let seed = name.bytes().fold(0x811c_9dc5, fnv);
    (0..count as u32).map(move |place| {
        let mixed = place.wrapping_mul(2_654_435_761).wrapping_add(seed);
        let mixed = (mixed ^ (mixed >> 15)).wrapping_mul(2_246_822_519);
        (f64::from(mixed >> 8) / f64::from(1 << 23) - 1.0) as f32
    })
}

fn fill(params: &Params) {
    for (name, var) in params.vars() {
        let dims = var.dims();
        let (factor, shift) = match (name.contains(".norm."), dims) {
            (true, _) if name.ends_with("weight") => (0.25, 1.0),
            (true, _) => (0.25, 0.0),
            (false, [_, inputs]) => (2.0 / (*inputs as f32).sqrt(), 0.0),
            (false, _) => (0.5, 0.0),
        };
        let values = numbers(name, var.elem_count()).map(|v| v * factor + shift);
        let values: Vec<f32> = values.collect();
        var.set(&Tensor::from_vec(values, dims, &Device::Cpu).unwrap())
            .unwrap();
    }
}

#[test]
fn the_forward_pass_equals_the_reference() {
    let cases: Vec<Case> =
        serde_json::from_str(include_str!("../../../tests/reference/tinytimemixer.json")).unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        let sizes = serde_json::Value::Object(case.sizes.clone());
        let spec: TinyTimeMixerSpec = serde_json::from_value(sizes).unwrap();
        let mut params = Params::seeded(0, &Device::Cpu);
        let forecaster = network(&mut params, &spec, &case);
        fill(&params);
        let count = case.windows.unwrap_or(1) * case.context * case.channels;
        let inputs = numbers("inputs", count).enumerate().map(|(place, noise)| {
            let channel = (place % case.channels + 1) as f32;
            let row = place / case.channels % case.context;
            noise * channel + (row as f32 / 3.0).sin() + 10.0 * channel
        });
        let inputs: Vec<f32> = inputs.collect();
        let ends = inputs.chunks_exact(case.context * case.channels);
        let ends = ends.flat_map(|window| &window[window.len() - 4 * case.channels..]);
        for (ours, theirs) in ends.zip(&case.inputs) {
            assert!(
                (ours - theirs).abs() < 1e-5,
                "{}: {ours} and {theirs}",
                case.name
            );
        }
        let answer = forecaster.predict(&inputs).unwrap();
        assert_eq!(answer.values.len(), case.outputs.len());
        for (ours, theirs) in answer.values.iter().zip(&case.outputs) {
            assert!(
                (ours - theirs).abs() < 1e-4,
                "{}: {ours} and {theirs}",
                case.name
            );
        }
    }
}

#[test]
fn every_variable_gets_a_gradient() {
    for text in [
        r#"{"patch": 4, "d_model": 8, "decoder_d_model": 6}"#,
        r#"{"patch": 4, "d_model": 8, "decoder_d_model": 8, "mix_channel": true,
            "decoder_mix_channel": true, "dropout": 0.1, "head_dropout": 0.1}"#,
    ] {
        let spec: TinyTimeMixerSpec = serde_json::from_str(text).unwrap();
        let case = r#"{"context": 16, "horizon": 3, "channels": 2}"#;
        let mut params = Params::seeded(5, &Device::Cpu);
        let Forecaster {
            networks,
            channels,
            io,
            ..
        } = network(&mut params, &spec, &serde_json::from_str(case).unwrap());
        let inputs: Vec<f32> = numbers("inputs", 4 * 32).collect();
        let windows = inputs.chunks_exact(32);
        let windows = Windows::gather(windows, &channels, &io, &Device::Cpu).unwrap();
        let gradients = |frozen| {
            let mut rng = ChaCha8Rng::seed_from_u64(1);
            let out = networks[0]
                .forward(&windows.scaled, frozen, Some(&mut rng))
                .unwrap();
            out.sqr().unwrap().mean_all().unwrap().backward().unwrap()
        };
        let all = gradients(false);
        let frozen = gradients(true);
        let size = |gradient: &Tensor| {
            let sum = gradient.abs().unwrap().sum_all().unwrap();
            sum.to_scalar::<f32>().unwrap()
        };
        let some = |found: Option<&Tensor>| found.is_some_and(|gradient| size(gradient) > 0.0);
        for (name, var) in params.vars() {
            let var: &Var = var;
            assert!(some(all.get(var)), "{name}");
            assert_eq!(
                some(frozen.get(var)),
                !name.starts_with("backbone."),
                "{name}"
            );
        }
    }
}
