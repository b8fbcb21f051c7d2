//! `[*.schedule]`: how a network is trained.
use catalog::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a network is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Schedule {
    /// Passes over the training samples, at most.
    pub epochs: u32,
    /// Samples of a step.
    pub batch: usize,
    /// Learning rate of AdamW (Loshchilov and Hutter, 2019).
    pub learning_rate: f64,
    /// The learning rate falls to this part of itself over the epochs, by a half cosine.
    pub final_rate: f64,
    /// Weight decay of AdamW.
    pub weight_decay: f64,
    /// The norm that gradients are cut to; 0 leaves them.
    pub clip: f64,
    /// Epochs without a better validation loss after which training ends, and the best epoch's
    /// values are taken; 0 runs all epochs and takes the last.
    pub patience: u32,
    /// Of initial values, shuffling and dropout.
    pub seed: u64,
}

impl Default for Schedule {
    fn default() -> Self {
        Schedule {
            epochs: 50,
            batch: 64,
            learning_rate: 1e-3,
            final_rate: 1.0,
            weight_decay: 0.0,
            clip: 1.0,
            patience: 8,
            seed: 0,
        }
    }
}

impl Schedule {
    /// # Errors
    /// `InvalidInput` for a number that nothing can be trained with, by its name.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |field: &str, value: f64, what: &str| {
            let message = format!("schedule.{field} is {value}; it must be {what}");
            Err(Error::invalid(message))
        };
        let not_negative = |value: f64| value.is_finite() && value >= 0.0;
        if self.epochs == 0 {
            return wrong("epochs", 0.0, "1 or more");
        }
        if self.batch == 0 {
            return wrong("batch", 0.0, "1 or more");
        }
        if !(self.learning_rate.is_finite() && self.learning_rate > 0.0) {
            return wrong(
                "learning_rate",
                self.learning_rate,
                "above 0, such as 0.001",
            );
        }
        if !(0.0..=1.0).contains(&self.final_rate) {
            return wrong("final_rate", self.final_rate, "between 0 and 1");
        }
        if !not_negative(self.weight_decay) {
            return wrong("weight_decay", self.weight_decay, "0 or more");
        }
        if !not_negative(self.clip) {
            return wrong("clip", self.clip, "0 or more");
        }
        Ok(())
    }

    /// The learning rate of an epoch, from 1.
    pub(super) fn rate(&self, epoch: u32) -> f64 {
        let done = f64::from(epoch - 1) / f64::from(self.epochs.max(2) - 1);
        let cosine = 0.5 * (1.0 + (std::f64::consts::PI * done).cos());
        self.learning_rate * (self.final_rate + (1.0 - self.final_rate) * cosine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_from_first_to_last_epoch() {
        let schedule = Schedule {
            epochs: 11,
            learning_rate: 0.5,
            final_rate: 0.1,
            ..Schedule::default()
        };
        let near = |a: f64, b: f64| (a - b).abs() < 1e-12;
        assert!(near(schedule.rate(1), 0.5));
        assert!(near(schedule.rate(6), 0.275));
        assert!(near(schedule.rate(11), 0.05));
        let one = Schedule {
            epochs: 1,
            ..schedule
        };
        assert!(near(one.rate(1), 0.5));
    }

    #[test]
    fn numbers_nothing_can_be_trained_with_are_named() {
        let read = |text: &str| toml::from_str::<Schedule>(text).unwrap();
        for (text, field) in [
            ("epochs = 0", "epochs"),
            ("batch = 0", "batch"),
            ("learning_rate = 0.0", "learning_rate"),
            ("learning_rate = nan", "learning_rate"),
            ("learning_rate = inf", "learning_rate"),
            ("final_rate = 1.5", "final_rate"),
            ("final_rate = nan", "final_rate"),
            ("weight_decay = -0.1", "weight_decay"),
            ("clip = nan", "clip"),
        ] {
            let error = read(text).check().unwrap_err();
            assert!(error.message().contains(field), "{text}: {error}");
        }
        read("").check().unwrap();
    }
}
