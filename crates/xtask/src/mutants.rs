//! Planted errors: each is put into a copy of the tree alone, and some test must fail.
//!
//! The list holds the errors that public code of this model really has (docs/common-errors.md), and
//! slips that a change to the kernels could make.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::root;

struct Mutant {
    /// What is wrong with it.
    name: &'static str,
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const KL: &str = "crates/rarefy/src/variants/kl.rs";
const SATURATED: &str = "crates/rarefy/src/variants/kl/saturated.rs";
const ENCODER: &str = "crates/rarefy-kernels/src/encoder.rs";
const DECODER: &str = "crates/rarefy-kernels/src/decoder.rs";
const MATH: &str = "crates/rarefy-kernels/src/math.rs";
const PENALTY: &str = "crates/rarefy/src/penalty.rs";
const NAIVE: &str = "crates/rarefy-kernels/src/naive.rs";

const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "the gradient's 1/m is dropped",
        file: KL,
        from: "let scale = 1.0 / rows as f64;",
        to: "let scale = rows as f64 / rows as f64;",
    },
    Mutant {
        name: "the gradient through rho_hat is dropped (E7)",
        file: ENCODER,
        from: "let value = (d[l] + push[l]) * slopes[l];",
        to: "let value = d[l] * slopes[l];",
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
        from: "sum_on[l] += f64::from(h);",
        to: "sum_on[0] += f64::from(h);",
    },
    Mutant {
        name: "1 - h is a difference and vanishes where h rounds to 1 (E9)",
        file: ENCODER,
        from: "sum_off[l] += f64::from(rest);",
        to: "sum_off[l] += f64::from(1.0 - h);",
    },
    Mutant {
        name: "the logarithm's bracket slips (E6)",
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
        name: "the decay reaches the biases (E20)",
        file: KL,
        from: "if block.name.starts_with('w') {",
        to: "if !block.name.is_empty() {",
    },
    Mutant {
        name: "saturated latents are left without a gradient (E10)",
        file: SATURATED,
        from: "d_b[at] += d;",
        to: "d_b[at] += 0.0 * d;",
    },
    Mutant {
        name: "the running mean is not corrected for its start (E15)",
        file: "crates/rarefy/src/train/moving.rs",
        from: "*sum = average / self.weight * rows;",
        to: "*sum = average * rows;",
    },
    Mutant {
        name: "the sigmoid's derivative is h^2",
        file: ENCODER,
        from: "slopes[l] = h * rest;",
        to: "slopes[l] = h * h;",
    },
    Mutant {
        name: "the output unit's derivative is forgotten",
        file: DECODER,
        from: "(0.5 * d * d, d * (large * small))",
        to: "(0.5 * d * d, d)",
    },
    Mutant {
        name: "the squared error has no half",
        file: DECODER,
        from: "(0.5 * d * d, d * (large * small))",
        to: "(d * d, d * (large * small))",
    },
    Mutant {
        name: "a coefficient of exp is off in the fifth digit",
        file: MATH,
        from: "1.0 / 720.0",
        to: "1.0 / 720.01",
    },
    Mutant {
        name: "the twin takes the lecture's last line literally: one x_i (E23)",
        file: NAIVE,
        from: "encoder_gradient(problem, &d_pre, &mut gradient);",
        to: "let last = Problem { x: &problem.x[problem.x.len() - problem.d_in..], ..*problem };\
             encoder_gradient(&last, &d_pre, &mut gradient);",
    },
    Mutant {
        name: "weights are stored without the transpose",
        file: "crates/rarefy/src/formats/saelens.rs",
        from: "bytes(&transpose(w_enc, d_sae, d_in))",
        to: "bytes(w_enc)",
    },
    Mutant {
        name: "L-BFGS adds the correction where it should subtract",
        file: "crates/rarefy/src/optim/lbfgs.rs",
        from: "(alpha - beta) as f32",
        to: "(alpha + beta) as f32",
    },
];

pub fn run() -> Result<()> {
    let tree = root().join("target/mutants/tree");
    copy_tree(&tree)?;
    if !tests_pass(&tree)? {
        bail!("the tests fail before any error is planted");
    }
    let mut survivors = 0;
    for mutant in MUTANTS {
        let path = tree.join(mutant.file);
        let sound = fs::read_to_string(&path)?;
        if !sound.contains(mutant.from) {
            bail!(
                "{}: expected `{}` for the mutant: {}",
                mutant.file,
                mutant.from,
                mutant.name
            );
        }
        fs::write(&path, sound.replace(mutant.from, mutant.to))?;
        let survived = tests_pass(&tree);
        fs::write(&path, sound)?;
        let survived = survived?;
        println!(
            "{}  {}",
            if survived { "SURVIVED" } else { "caught  " },
            mutant.name
        );
        survivors += usize::from(survived);
    }
    println!(
        "{} errors planted, {} caught",
        MUTANTS.len(),
        MUTANTS.len() - survivors
    );
    if survivors > 0 {
        bail!("{survivors} planted errors survived the tests");
    }
    Ok(())
}

/// The tracked files as they are now, in a folder of their own.
fn copy_tree(tree: &Path) -> Result<()> {
    let listed = Command::new("git")
        .args(["ls-files", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()?;
    for name in String::from_utf8(listed.stdout)?.lines() {
        let (from, to) = (root().join(name), tree.join(name));
        let Ok(content) = fs::read(&from) else {
            continue;
        };
        // An equal file keeps its time, so that cargo does not build it again.
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::write(&to, content)?;
    }
    Ok(())
}

/// Whether every test of the kernels and the library passes; a tree that does not build passes none,
/// and is an error, because then nothing was tested.
fn tests_pass(tree: &Path) -> Result<bool> {
    let cargo = |arguments: &[&str]| {
        Command::new(env!("CARGO"))
            .args(arguments)
            .args([
                "--package",
                "rarefy-kernels",
                "--package",
                "rarefy",
                "--lib",
                "--tests",
                "--quiet",
            ])
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", tree.with_file_name("build"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
    };
    if !cargo(&["test", "--no-run"])?.success() {
        bail!("the tree does not build; see {}", tree.display());
    }
    Ok(cargo(&["test", "--no-fail-fast"])?.success())
}
