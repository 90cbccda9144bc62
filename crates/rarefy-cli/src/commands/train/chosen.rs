//! Settings of a run that follow from its data, in the program's words.

use rarefy::config::Config;
use rarefy::plan::Plan;

use crate::cli::TrainArgs;

/// Settings that the user left to the program, whose defaults depend on the data.
#[expect(clippy::struct_excessive_bools, reason = "each is a setting")]
pub struct Chosen {
    rows: usize,
    arch: bool,
    preprocess: bool,
    holdout: bool,
    latents: bool,
    /// Settings that the sample recommends.
    of_sample: Option<String>,
}

/// Options that a sample recommends and the configuration has, as a phrase.
fn of_sample(config: &Config) -> Option<String> {
    let path = &config.data.path;
    let defaults = rarefy::config::sample_defaults(path, &config.model.arch);
    let options = defaults.get("model")?.get("options")?.as_table()?.clone();
    let kept = options.into_iter();
    let kept = kept.filter(|(name, value)| config.model.options.get(name) == Some(value));
    let shown = kept.map(|(name, value)| {
        let flag = name.replace('_', "-");
        format!(
            "--{flag} {}",
            value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned)
        )
    });
    let shown: Vec<String> = shown.collect();
    (!shown.is_empty()).then(|| format!("{} from {path}", shown.join(" ")))
}

impl Chosen {
    /// Settings that a configuration leaves open, for `rows` rows.
    pub fn of(args: &TrainArgs, config: &Config, rows: usize) -> Self {
        let is_plain = args.config.is_none() && !args.resume;
        let is_new = is_plain && !args.data.is_empty();
        Self {
            rows,
            preprocess: args.preprocess.is_none() && is_new,
            // Without data and options, the lecture's model is what was asked for.
            arch: args.arch.is_none() && (is_new || (is_plain && config.model.arch != "kl")),
            of_sample: of_sample(config).filter(|_| is_plain),
            holdout: config.data.holdout.is_none(),
            latents: config.model.latents.is_none(),
        }
    }

    /// Sentence on the defaults that were chosen, with the flags that set others; `None` if there are none.
    pub fn told(&self, plan: &Plan) -> Option<String> {
        let held_out = plan.config().data.holdout.unwrap_or(0);
        let held_out = (self.holdout && held_out > 0)
            .then(|| format!("{held_out} held out to measure the model on (--holdout N)"));
        let rule = plan.info().defaults.latents_text;
        let given_k = plan.config().model.options.contains_key("k");
        let latents = self.latents.then(|| {
            // A given k asks for more latents than the rule.
            let rule = if rule.contains(' ') && !given_k {
                format!("{rule}; ")
            } else {
                String::new()
            };
            let active = plan.options().find("k");
            let active = active.map_or_else(String::new, |k| format!(", k {k} (--k N)"));
            let hidden = match plan.mask() {
                0.0 => String::new(),
                mask => format!(
                    ", {} % of the values of a row hidden from the encoder in each step, so that few rows are not learned by \
                     heart (--mask X)",
                    (1000.0 * mask).round() / 10.0
                ),
            };
            format!("{} latents ({rule}--latents N){active}{hidden}", plan.d_sae())
        });
        let arch = self.arch.then(|| {
            let name = plan.info().name;
            let other = if name == "kl" {
                "--arch topk for sparse codes"
            } else {
                "--arch kl for the lecture's model"
            };
            format!("{name} ({other})")
        });
        let data = &plan.config().data;
        let is_scaled = self.preprocess
            && data
                .preprocess
                .as_ref()
                .is_some_and(|steps| *steps == ["scale"])
            && !data.path.starts_with("sample:");
        let scaled = is_scaled.then(|| "bytes scaled to 0..1 (--preprocess none)".to_owned());
        let parts: Vec<String> = arch
            .into_iter()
            .chain(scaled)
            .chain(held_out)
            .chain(latents)
            .chain(self.of_sample.clone())
            .collect();
        (!parts.is_empty()).then(|| format!("{} rows: {}", self.rows, parts.join(", ")))
    }
}
