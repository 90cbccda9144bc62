//! KL sparsity penalty of the lecture: KL divergence between a target and each latent's mean activation.

/// KL sparsity penalty and its derivative by the mean activation of each latent.
///
/// ```text
/// Omega            = sum_l  rho ln(rho / on_l) + (1 - rho) ln((1 - rho) / off_l)
/// dOmega/drho_hat_l = -rho / on_l + (1 - rho) / off_l = (on_l - rho) / (on_l off_l)
/// ```
///
/// `on_l` is the lecture's `rho_hat_l`, the mean of latent l over all m examples. `off_l` is the mean of
/// `1 - h`. Both are arguments because the float difference `1 - rho_hat` is 0 for a saturated latent.
/// The single-fraction form of the slope has no cancellation. The logarithm is natural, and the penalty is
/// the sum (not the mean) over latents. Its minimum is 0, reached only where `on_l = rho`.
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
        "on, off and slopes must have one value for each latent"
    );
    assert!(rho > 0.0 && rho < 1.0, "rho must be in (0, 1), got {rho}");
    let mut omega = 0.0;
    for ((on, off), slope) in on.iter().zip(off).zip(slopes) {
        *slope = (on - rho) / (on * off);
        omega += not_below_zero(kl_from_logs(rho, on.ln(), off.ln()));
    }
    omega
}

/// Maximum of 0 and a KL divergence; NaN stays NaN. A KL divergence is never negative (E5), but rounding of
/// the logarithms can give -1e-17 on target.
pub(crate) fn not_below_zero(kl: f64) -> f64 {
    if kl < 0.0 { 0.0 } else { kl }
}

/// KL divergence of one latent, from the logarithms of `rho_hat` and `1 - rho_hat`. The result is finite
/// even if `rho_hat` is too small for an `f64`.
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
