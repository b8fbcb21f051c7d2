//! A training step of TinyTimeMixer 512-96 beside PyTorch's, same shapes and threads.
use crate::python::Python;
use crate::report::median;
use crate::{Bench, Result};

/// Windows of a step, features of a window.
const SIZES: [[usize; 2]; 2] = [[16, 7], [64, 7]];

/// Steps of a round; the median counts.
const STEPS: usize = 5;

/// Prints both sides of each round.
pub(crate) fn measure(bench: &Bench) -> Result<()> {
    println!("## TinyTimeMixer training step\n");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let interpreter = std::env::var_os("BENCH_TORCH").unwrap_or("python3".into());
    let arguments = [threads.to_string()];
    let peer = Python::start_with(&interpreter, "tinytimemixer_peer.py", &arguments);
    let Ok((version, mut peer)) = peer.and_then(|mut peer| Ok((peer.hear()?, peer))) else {
        println!(
            "Not compared: `{}` has no PyTorch; `BENCH_TORCH` names another interpreter.\n",
            interpreter.display()
        );
        return Ok(());
    };
    println!(
        "{version}, {threads} threads on both sides. The published 512-96 network, 805,280 \
         parameters, dropout 0.2; a step is scaling, forward, backward, gradients cut to a norm \
         of 1, and AdamW. Median of {STEPS} steps a round, on `{}`.\n",
        ml::gru_device()
    );
    println!("| windows x features | round | PyTorch, ms | Pumphouse, ms | ratio |");
    println!("|---|---|---|---|---|");
    for [windows, features] in SIZES {
        for round in 0..=bench.rounds {
            let question = format!("{windows} {features} {STEPS}");
            let theirs: f64 = peer.ask(&question)?.parse()?;
            let ours = median(ml::tinytimemixer_step_seconds(windows, features, STEPS)?);
            // The first round warms both sides.
            if round > 0 {
                println!(
                    "| {windows} x {features} | {round} | {:.1} | {:.1} | {:.3} |",
                    theirs * 1e3,
                    ours * 1e3,
                    ours / theirs
                );
            }
        }
    }
    println!();
    Ok(())
}
