//! Dropout with masks of a seeded generator; candle's own cannot be seeded on the CPU.
use candle_core::{Result, Tensor};
use rand::RngCore;
use rand_chacha::ChaCha8Rng;

/// Sets the part `rate` of the values of `x` to 0, and scales the others up so that their mean
/// stays (Srivastava et al., 2014). `rate` is below 1.
pub(crate) fn dropout(x: &Tensor, rate: f64, rng: &mut ChaCha8Rng) -> Result<Tensor> {
    if rate <= 0.0 {
        return Ok(x.clone());
    }
    let dropped = (rate * 2_f64.powi(32)) as u32;
    let kept = (1.0 / (1.0 - rate)) as f32;
    let mask = (0..x.elem_count()).map(|_| if rng.next_u32() < dropped { 0.0 } else { kept });
    let mask = Tensor::from_vec(mask.collect::<Vec<f32>>(), x.shape(), x.device())?;
    x * mask
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn the_asked_part_is_dropped_the_mean_stays_and_the_seed_decides() {
        let x = Tensor::ones((100, 200), DType::F32, &Device::Cpu).unwrap();
        let drop = |rate, seed| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            let dropped = dropout(&x, rate, &mut rng).unwrap();
            dropped.flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let values = drop(0.3, 1);
        let zeros = values.iter().filter(|v| **v == 0.0).count();
        assert!((5_600..6_400).contains(&zeros), "{zeros}");
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
        assert_eq!(values, drop(0.3, 1));
        assert_ne!(values, drop(0.3, 2));
        assert_eq!(drop(0.0, 1), vec![1.0; 20_000]);
    }
}
