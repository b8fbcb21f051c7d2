//! A training step of the recurrent network beside PyTorch's, same shapes and threads.
use ml::{GruSize, gru_step_seconds};

use crate::python::Python;
use crate::report::{Goals, median};
use crate::{Bench, Result};

/// Batch, steps, inputs, hidden: the second is small and long.
const SIZES: [[usize; 4]; 2] = [[64, 50, 14, 64], [256, 100, 14, 32]];

/// Steps of a round; the median counts.
const STEPS: usize = 15;

/// Prints both sides of each round.
pub(crate) fn measure(bench: &Bench, goals: &mut Goals) -> Result<()> {
    println!("## GRU training step\n");
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let arguments = [threads.to_string()];
    let interpreter = std::env::var_os("BENCH_TORCH").unwrap_or("python3".into());
    let peer = Python::start_with(&interpreter, "gru_peer.py", &arguments);
    let mut peer = match peer.and_then(|mut peer| Ok((peer.hear()?, peer))) {
        Ok((version, peer)) => {
            println!("{version}, {threads} threads on both sides.\n");
            peer
        }
        Err(_) => {
            println!(
                "Not compared: `{}` has no PyTorch. Debian's is `apt install python3-torch \
                 libopenblas0`; `BENCH_TORCH` names another interpreter.\n",
                interpreter.display()
            );
            return Ok(());
        }
    };
    println!(
        "A step is forward, backward, gradients cut to a norm of 1, and AdamW, on one layer \
         and a linear head with a squared error. Median of {STEPS} steps a round, on `{}`.\n",
        ml::gru_device()
    );
    println!("| batch x steps x inputs, hidden | round | PyTorch, ms | Pumphouse, ms | ratio |");
    println!("|---|---|---|---|---|");
    for [batch, steps, inputs, hidden] in SIZES {
        let size = GruSize {
            batch,
            steps,
            inputs,
            hidden,
        };
        let name = format!("{batch} x {steps} x {inputs}, {hidden}");
        let mut ratios = Vec::new();
        for round in 0..=bench.rounds {
            let question = format!("{batch} {steps} {inputs} {hidden} {STEPS}");
            let theirs: f64 = peer.ask(&question)?.parse()?;
            let ours = median(gru_step_seconds(size, STEPS)?);
            // The first round warms both sides.
            if round > 0 {
                let ratio = ours / theirs;
                println!(
                    "| {name} | {round} | {:.2} | {:.2} | {ratio:.3} |",
                    theirs * 1e3,
                    ours * 1e3
                );
                ratios.push(ratio);
            }
        }
        let ratio = median(ratios);
        goals.at_most(
            &format!("GRU training step over PyTorch, {name}"),
            1.5,
            ratio,
        );
    }
    println!();
    Ok(())
}
