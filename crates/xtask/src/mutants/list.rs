//! List of planted errors: errors of public code (docs/common-errors.md), and mistakes that a change of
//! this code could introduce.

/// Planted error: a line of the source and its replacement.
pub(super) struct Mutant {
    /// Description of the error.
    pub(super) name: &'static str,
    /// Path from the workspace's root.
    pub(super) file: &'static str,
    /// Text that occurs exactly once in the file (checked by tidy).
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

const KL: &str = "crates/rarefy/src/variants/kl.rs";
const KL_GRADIENT: &str = "crates/rarefy/src/variants/kl/gradient.rs";
const SATURATED: &str = "crates/rarefy/src/variants/kl/saturated.rs";
const ENCODER: &str = "crates/rarefy-kernels/src/encoder.rs";
const DECODER: &str = "crates/rarefy-kernels/src/decoder.rs";
const MATH: &str = "crates/rarefy-kernels/src/math.rs";
const PENALTY: &str = "crates/rarefy/src/penalty.rs";
const LBFGS: &str = "crates/rarefy/src/optim/lbfgs.rs";
const NAIVE: &str = "crates/rarefy-kernels/src/naive.rs";
const KEEP: &str = "crates/rarefy/src/engine/keep.rs";
const MODEL_VIEW: &str = "crates/rarefy/src/train/sparse/model_view.rs";
const BACKWARD: &str = "crates/rarefy/src/train/sparse/backward.rs";
const AUXILIARY: &str = "crates/rarefy/src/train/sparse/auxiliary.rs";
const RECONSTRUCTION: &str = "crates/rarefy/src/train/sparse/reconstruction.rs";
const PARAMETRISATION: &str = "crates/rarefy/src/train/sparse/parametrisation.rs";
const JUMP: &str = "crates/rarefy/src/objective/activate/jump.rs";
const UPDATE: &str = "crates/rarefy/src/train/sparse/update.rs";
const SPARSE_RUN: &str = "crates/rarefy/src/train/sparse.rs";
const TWIN: &str = "crates/rarefy/src/check/twin.rs";
pub(super) const STATE: &str = "crates/rarefy/src/train/state.rs";

/// Errors that tests catch on each machine.
pub(super) const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "the gradient's 1/m is dropped",
        file: KL_GRADIENT,
        from: "let scale = 1.0 / rows as f64;",
        to: "let scale = rows as f64 / rows as f64;",
    },
    Mutant {
        name: "the gradient through rho_hat is dropped (E7)",
        file: ENCODER,
        from: "(V::load(d, at, count) + push) * V::load(slopes, at, count)",
        to: "V::<L>::load(d, at, count) * V::load(slopes, at, count)",
    },
    Mutant {
        name: "the one-pass form forgets the penalty",
        file: KL,
        from: "add_deferred(&pushes, a, &mut gradient.params);",
        to: "let _ = (&pushes, a);",
    },
    Mutant {
        name: "rho_hat is a mean over latents, the wrong axis (E2)",
        file: ENCODER,
        from: "strip.add::<L>(on, count, sum_on);",
        to: "sum_on[0] += L::sums(on)[..count].iter().sum::<f64>();",
    },
    Mutant {
        name: "1 - h is computed as a difference, which is 0 if h rounds to 1 (E9)",
        file: ENCODER,
        from: "off = L::add_to_sums(off, rest.0);",
        to: "off = L::add_to_sums(off, (V::<L>::splat(1.0) - h).0);",
    },
    Mutant {
        name: "the bracket of the logarithm is misplaced (E6)",
        file: PENALTY,
        from: "rho * (rho.ln() - ln_on)",
        to: "rho * rho.ln() - ln_on",
    },
    Mutant {
        name: "the second Bernoulli term is missing (E5)",
        file: PENALTY,
        from: "*slope = (on - rho) / (on * off);",
        to: "*slope = -rho / on;",
    },
    Mutant {
        name: "weight decay applies to biases (E20)",
        file: KL_GRADIENT,
        from: "if block.name.starts_with('w') {",
        to: "if !block.name.is_empty() {",
    },
    Mutant {
        name: "saturated latents have no gradient (E10)",
        file: SATURATED,
        from: "d_b[at] += d;",
        to: "d_b[at] += 0.0 * d;",
    },
    Mutant {
        name: "the running mean has no bias correction (E15)",
        file: "crates/rarefy/src/train/moving.rs",
        from: "*sum = average / self.weight * rows;",
        to: "*sum = average * rows;",
    },
    Mutant {
        name: "the sigmoid's derivative is h^2",
        file: ENCODER,
        from: "(h * rest).store(slopes, at, count);",
        to: "(h * h).store(slopes, at, count);",
    },
    Mutant {
        name: "the output unit's derivative is forgotten",
        file: DECODER,
        from: "(V::splat(0.5) * d * d, d * (s * rest))",
        to: "(V::splat(0.5) * d * d, d)",
    },
    Mutant {
        name: "the squared error has no half",
        file: DECODER,
        from: "(V::splat(0.5) * d * d, d * (s * rest))",
        to: "(d * d, d * (s * rest))",
    },
    Mutant {
        name: "a coefficient of exp is off in the fifth digit",
        file: MATH,
        from: "c(0.166_665_2)",
        to: "c(0.166_675_2)",
    },
    Mutant {
        name: "the twin implements the lecture's last line literally: one x_i, no mean (E23)",
        file: NAIVE,
        from: "let d = d_pre(i, l, k);",
        to: "let m = problem.x.len() / d_in;\
             let d = if i + 1 == m { m as f64 * d_pre(i, l, k) } else { 0.0 };",
    },
    Mutant {
        name: "weights are stored without the transpose",
        file: "crates/rarefy/src/formats/saelens/weights.rs",
        from: "file.transposed(\"W_enc\", w_enc, d_sae, d_in);",
        to: "file.tensor(\"W_enc\", &[d_in, d_sae], w_enc);",
    },
    Mutant {
        name: "L-BFGS adds the correction where it should subtract",
        file: LBFGS,
        from: "(alpha - beta) as f32",
        to: "(alpha + beta) as f32",
    },
    Mutant {
        name: "a resumed L-BFGS has its pairs in the wrong order",
        file: LBFGS,
        from: "pairs: pairs.into(),",
        to: "pairs: pairs.into_iter().rev().collect(),",
    },
    Mutant {
        name: "a strip's last register is skipped",
        file: "crates/rarefy-kernels/src/strips.rs",
        from: "registers: length.min(periods - top),",
        to: "registers: length.min(periods - top) - 1,",
    },
    Mutant {
        name: "a trained BatchTopK selects over its batch",
        file: "crates/rarefy/src/objective/select/batch_k.rs",
        from: "encoder.encode_centred(rows, Selection::Above(above), codes);",
        to: "let _ = above; encoder.encode_centred(rows, Selection::Batch(self.threshold.k), codes);",
    },
    Mutant {
        name: "the encoder does not start as a copy of the decoder",
        file: "crates/rarefy/src/variants/sparse/start.rs",
        from: "params.get_mut(\"w_enc\").iter_mut().for_each(|w| *w *= scale);",
        to: "params.get_mut(\"w_enc\").iter_mut().for_each(|w| *w *= 0.0 * scale);",
    },
    Mutant {
        name: "the norm of a crosscoder's decoder row counts its first part only",
        file: "crates/rarefy/src/io_spec.rs",
        from: "self.decoder_parts(decoder_row)",
        to: "self.decoder_parts(decoder_row).take(1)",
    },
    Mutant {
        name: "a transcoder's target is the first columns of its rows",
        file: MODEL_VIEW,
        from: "&x[i * wide + start..(i + 1) * wide]",
        to: "&x[i * wide..(i + 1) * wide - start]",
    },
    Mutant {
        name: "W_skip gets the gradient of the widest level only",
        file: "crates/rarefy/src/train/sparse/backward.rs",
        from: ".flat_map(|levels| &levels[..d_out])",
        to: ".flat_map(|levels| &levels[levels.len() - d_out..])",
    },
    Mutant {
        name: "a skip transcoder's output lacks the skip",
        file: "crates/rarefy/src/model.rs",
        from: "engine::skip(self.params(), rows, &mut base);",
        to: "engine::skip(self.params(), &vec![0.0; rows.len()], &mut base);",
    },
    Mutant {
        name: "a resampled latent's encoder row has the mean norm of the other rows",
        file: "crates/rarefy/src/train/sparse/resample.rs",
        from: "const SHARE: f64 = 0.2;",
        to: "const SHARE: f64 = 1.0;",
    },
    Mutant {
        name: "a resampled latent keeps its optimiser state",
        file: "crates/rarefy/src/train/sparse/resample.rs",
        from: "blocks.w_enc[j * d_in..(j + 1) * d_in].fill(0.0);",
        to: "blocks.w_enc[j * d_in..j * d_in].fill(0.0);",
    },
    Mutant {
        name: "the average of weights has no bias correction",
        file: "crates/rarefy/src/train/sparse/average.rs",
        from: "((1.0 - decay) / (1.0 - decay.powi(t))) as f32",
        to: "(1.0 - decay + 0.0 * decay.powi(t)) as f32",
    },
    Mutant {
        name: "a resumed schedule-free run loses its averaged weights",
        file: STATE,
        from: "descent.averaged = values",
        to: "let _: [f64; 2] = values",
    },
    Mutant {
        name: "k is not annealed",
        file: "crates/rarefy/src/plan/schedules.rs",
        from: "self.k_start * (1.0 - at) + at",
        to: "self.k_start * (1.0 - at) + self.k_start * at",
    },
    Mutant {
        name: "the threshold is calibrated one entry too high",
        file: SPARSE_RUN,
        from: "(wanted + 1.5) / n",
        to: "(wanted + 0.5) / n",
    },
    Mutant {
        name: "the threshold is calibrated on training rows instead of held-out rows",
        file: "crates/rarefy/src/train/mod.rs",
        from: "Some(held_out) => (Some(held_out), \"held-out\"),",
        to: "Some(_) => (Some(data), \"held-out\"),",
    },
    Mutant {
        name: "a training row before the first gap is a held-out one",
        file: "crates/rarefy/src/data/holdout.rs",
        from: "((row + 1) * count).div_ceil(n - count)",
        to: "((row + 1) * count) / (n - count)",
    },
    Mutant {
        name: "a row equal to the current median is divided by its distance of 0",
        file: "crates/rarefy/src/variants/median.rs",
        from: "if away > 0.0 {",
        to: "if away >= 0.0 {",
    },
    Mutant {
        name: "the median stops at a step of a fixed length, whatever the scale of the rows",
        file: "crates/rarefy/src/variants/median.rs",
        from: "change <= CLOSE * away",
        to: "change <= CLOSE + 0.0 * away",
    },
    Mutant {
        name: "the last columns of a transposed matrix are written as wide as the others",
        file: "crates/rarefy/src/tensors.rs",
        from: "f32::write(&piece[..width * rows], out)?;",
        to: "f32::write(&piece, out)?;",
    },
    Mutant {
        name: "of many rows the first are taken, not evenly spaced ones",
        file: "crates/rarefy/src/data/spread.rs",
        from: "map(move |i| i * all / count)",
        to: "map(move |i| i + 0 * all)",
    },
    Mutant {
        name: "the auxiliary loss has twice its weight in the twin",
        file: "crates/rarefy/src/check/twin/auxiliary.rs",
        from: "aux.coefficient / unit",
        to: "2.0 * aux.coefficient / unit",
    },
    Mutant {
        name: "the decoder bias has no gradient through the encoder",
        file: TWIN,
        from: "x.zip(w.block(\"b_dec\")).map(|(x, b)| x - *b).collect()",
        to: "x.zip(w.block(\"b_dec\")).map(|(x, b)| x - b.value.into()).collect()",
    },
    Mutant {
        name: "a resumed run loses the silent rows of each latent",
        file: STATE,
        from: "state.since_fired = values;",
        to: "let _: Vec<u64> = values;",
    },
    Mutant {
        name: "a file's k is ignored and our default taken",
        file: "crates/rarefy/src/formats/saelens/config.rs",
        from: "options.insert(\"k\", k.to_string());",
        to: "let _ = k;",
    },
    Mutant {
        name: "the screening bound leaves out the quantisation error of the weights",
        file: "crates/rarefy-kernels/src/screen.rs",
        from: ".mul_add(sample.norm, with_own_error);",
        to: ".mul_add(V::splat(0.0), with_own_error);",
    },
    Mutant {
        name: "a row of NaN is quantised with an error of 0",
        file: "crates/rarefy-kernels/src/int8/mod.rs",
        from: "if x.iter().any(|x| x.is_nan()) {",
        to: "if x.iter().any(|x| x.is_infinite()) {",
    },
    Mutant {
        name: "a row's floor rises before it has k entries",
        file: KEEP,
        from: "if kept.len() >= self.keep.most {",
        to: "if kept.len() * 2 >= self.keep.most {",
    },
    Mutant {
        name: "of equal values the higher latent is kept",
        file: KEEP,
        from: "entry.latent <= last",
        to: "entry.latent >= last",
    },
    Mutant {
        name: "the dead latents' reconstruction has the decoder bias",
        file: AUXILIARY,
        from: "let zeros = vec![0.0; d_out];",
        to: "let zeros = params.get(\"b_dec\").to_vec(); let _ = d_out;",
    },
    Mutant {
        name: "the dead latents' loss is over the residual's square, not its variance",
        file: RECONSTRUCTION,
        from: "self.square - of_mean / n as f64",
        to: "self.square - 0.0 * of_mean / n as f64",
    },
    Mutant {
        name: "the squared error's derivative has no 2",
        file: "crates/rarefy/src/train/sparse/forward.rs",
        from: "self.main.scale = 2.0 / n;",
        to: "self.main.scale = 1.0 / n;",
    },
    Mutant {
        name: "a step's decoder bias has no gradient through the encoder",
        file: BACKWARD,
        from: "*sum -= f64::from(*t)",
        to: "*sum -= 0.0 * f64::from(*t)",
    },
    Mutant {
        name: "the decoder's gradient keeps its component along each row",
        file: PARAMETRISATION,
        from: "project_row(d_dec, w_dec)",
        to: "rarefy_kernels::vector::dot(d_dec, d_dec)",
    },
    Mutant {
        name: "the decoder's rows do not stay at length 1",
        file: PARAMETRISATION,
        from: ".for_each(normalise_row);",
        to: ".for_each(|_| ());",
    },
    Mutant {
        name: "an active latent does not reset its count of silent rows",
        file: AUXILIARY,
        from: "_ => 0,",
        to: "_ => *since,",
    },
    Mutant {
        name: "a latent without a gradient does not move by its momentum",
        file: UPDATE,
        from: "for ((((w, m), v), g), touched) in rows.zip(touched) {",
        to: "for ((((w, m), v), g), touched) in rows.zip(touched) { if !touched { continue; }",
    },
    Mutant {
        name: "a gradient is never clipped",
        file: "crates/rarefy/src/optim/descent.rs",
        from: "let scale = clipping(norm, clip);",
        to: "let scale = clipping(norm, clip.map(|_| f64::INFINITY));",
    },
    Mutant {
        name: "a jumprelu's threshold gets no gradient from the penalty",
        file: JUMP,
        from: "* (theta * d_f + of(d_step));",
        to: "* theta * d_f;",
    },
    Mutant {
        name: "the relu's penalty has no gradient for decoder norms",
        file: "crates/rarefy/src/objective/terms/l1_norm.rs",
        from: "sums.d_norm += d_u * f;",
        to: "sums.d_norm += 0.0 * d_u * f;",
    },
    Mutant {
        name: "the gate's bias gets the magnitude's gradient",
        file: "crates/rarefy/src/objective/activate/gate.rs",
        from: "sums.beside_bias += d_magnitude * scale;",
        to: "sums.beside_bias += 0.0 * d_magnitude * scale;",
    },
    Mutant {
        name: "a matryoshka's inner latents get the residual of their level only",
        file: RECONSTRUCTION,
        from: "*r = weight * *r + w)",
        to: "*r = weight * *r + 0.0 * w)",
    },
    Mutant {
        name: "a pursuit's entry gets the derivative of the last residual",
        file: "crates/rarefy/src/train/sparse/unroll.rs",
        from: "add_scaled(&mut d_x_hat, -slope, w);",
        to: "add_scaled(&mut d_x_hat, -0.0 * slope, w);",
    },
    Mutant {
        name: "a negative threshold is not clipped to 0",
        file: JUMP,
        from: "*theta = theta.max(0.0)",
        to: "*theta = theta.max(-1.0)",
    },
    Mutant {
        name: "the norm of a decoder row gets no gradient through rescaled pre-activations",
        file: "crates/rarefy/src/variants/sparse/rescale.rs",
        from: "add_scaled(d_dec, by_length as f32, w_dec);",
        to: "add_scaled(d_dec, 0.0 * by_length as f32, w_dec);",
    },
    Mutant {
        name: "a model is saved with its parameters before rescaling",
        file: "crates/rarefy/src/train/sparse/average.rs",
        from: "return Some(rescaled(averaged.as_ref().unwrap_or(&state.params)));",
        to: "let _ = rescaled;",
    },
    Mutant {
        name: "a coefficient published for scaled rows is not converted",
        file: "crates/rarefy/src/explain/units.rs",
        from: "self.scale.powf(degree - 2.0) / self.factor",
        to: "self.scale.powf(0.0 * degree) / self.factor",
    },
    Mutant {
        name: "a mean over inputs is explained as a sum",
        file: "crates/rarefy/src/explain/conventions.rs",
        from: "Loss::Mean => rows.map(|r| 1.0 / r.d_in as f64)?,",
        to: "Loss::Mean => rows.map(|_| 1.0)?,",
    },
    Mutant {
        name: "a loss is divided by the variance of unscaled rows",
        file: "crates/rarefy/src/explain/conventions.rs",
        from: "1.0 / (scale * scale * r.variance)",
        to: "1.0 / r.variance",
    },
    Mutant {
        name: "an explanation leaves out the auxiliary loss",
        file: "crates/rarefy/src/objective/mod.rs",
        from: "all.extend(self.aux_k.formulas(&self.levels, sizes));",
        to: "let _ = self.aux_k.formulas(&self.levels, sizes);",
    },
    Mutant {
        name: "the frequency penalty's derivative lacks its factor of 2",
        file: "crates/rarefy/src/objective/add_ons/frequency.rs",
        from: "let slope = 2.0 * weight * p / n;",
        to: "let slope = weight * p / n;",
    },
    Mutant {
        name: "the orthogonality penalty's gradient reaches one row of a pair alone",
        file: "crates/rarefy/src/objective/add_ons/orthogonality.rs",
        from: "for (one, other) in [(j, k), (k, j)] {",
        to: "for (one, other) in [(j, k)] {",
    },
    Mutant {
        name: "the wide reconstruction of Multi-TopK does not teach the encoder",
        file: "crates/rarefy/src/objective/add_ons/multi_topk.rs",
        from: "*d = through + entries.d_pre_reconstruction[at];",
        to: "*d = through + 0.0 * entries.d_pre_reconstruction[at];",
    },
    Mutant {
        name: "the cosine error's derivative is not perpendicular to the reconstruction",
        file: "crates/rarefy/src/objective/errors/cosine.rs",
        from: "(along * f64::from(*d) - towards * f64::from(*x))",
        to: "(0.0 * along * f64::from(*d) - towards * f64::from(*x))",
    },
];

/// Errors that only a machine with AVX-512 can notice.
pub(super) const ON_AVX512: &[Mutant] = &[Mutant {
    name: "AVX-512's reciprocal lacks its Newton step",
    file: "crates/rarefy-kernels/src/lanes/x86.rs",
    from: "_mm512_fmadd_ps(guess, rest, guess)",
    to: "{ let _ = rest; guess }",
}];
