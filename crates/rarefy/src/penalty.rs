//! The lecture's sparsity penalty: KL divergence between a target and each latent's mean activation.

/// Value and slope of the KL penalty of every latent.
///
/// ```text
/// Omega            = sum_l  rho ln(rho / on_l) + (1 - rho) ln((1 - rho) / off_l)
/// dOmega/drho_hat_l = -rho / on_l + (1 - rho) / off_l = (on_l - rho) / (on_l off_l)
/// ```
///
/// `on_l` is the lecture's `rho_hat_l`, the mean of latent l over all m examples, and `off_l` the
/// mean of `1 - h`. They are two arguments because `1 - rho_hat` must never be a difference of
/// floats: for a saturated latent it would be 0. The single-fraction form of the slope has no
/// cancellation. Natural logarithm, sum (not mean) over latents; the minimum is 0, reached only
/// where `on_l = rho`.
///
/// # Shapes
/// `on`, `off`, `slopes`: `[d_sae]`; `slopes` is overwritten with `dOmega/drho_hat`.
/// # Units
/// The value is in nats.
/// # Panics
/// If the lengths differ or rho is outside (0, 1).
/// # Source
/// The lecture's Omega; Ng, *Sparse autoencoder* (CS294A lecture notes).
/// # Example
/// ```
/// # use rarefy::penalty::kl_sparsity;
/// let mut slopes = [0.0; 2];
/// let omega = kl_sparsity(0.2, &[0.2, 0.5], &[0.8, 0.5], &mut slopes);
/// assert!((omega - 0.192745).abs() < 1e-6); // the first latent is on target and costs nothing
/// assert!((slopes[1] - 1.2).abs() < 1e-12); // (0.5 - 0.2) / 0.25
/// ```
pub fn kl_sparsity(rho: f64, on: &[f64], off: &[f64], slopes: &mut [f64]) -> f64 {
    assert!(
        on.len() == off.len() && on.len() == slopes.len(),
        "one mean, one rest and one slope a latent"
    );
    assert!(rho > 0.0 && rho < 1.0, "rho must be in (0, 1), got {rho}");
    let mut omega = 0.0;
    for ((on, off), slope) in on.iter().zip(off).zip(slopes) {
        *slope = (on - rho) / (on * off);
        omega += not_below_zero(kl_from_logs(rho, on.ln(), off.ln()));
    }
    omega
}

/// KL is never negative (E5), but the logarithms' rounding can say -1e-17 on target. A NaN stays one.
pub(crate) fn not_below_zero(kl: f64) -> f64 {
    if kl < 0.0 { 0.0 } else { kl }
}

/// KL divergence of one latent from the logarithms of `rho_hat` and `1 - rho_hat`, so that a mean
/// too small for any float still has a value.
///
/// # Example
/// ```
/// // rho_hat = e^-1000: every example's latent is off, far below the smallest f64.
/// let kl = rarefy::penalty::kl_from_logs(0.05, -1000.0, 0.0);
/// assert!((kl - (0.05 * (0.05f64.ln() + 1000.0) + 0.95 * 0.95f64.ln())).abs() < 1e-12);
/// ```
pub fn kl_from_logs(rho: f64, ln_on: f64, ln_off: f64) -> f64 {
    rho * (rho.ln() - ln_on) + (1.0 - rho) * ((-rho).ln_1p() - ln_off)
}
