//! Command `rarefy convert`: writes a model in another library's format.

use rarefy::formats;
use rarefy::model::Model;
use rarefy::{Error, atomic};
use rarefy_run::output_path;
use serde_json::json;

use crate::cli::ConvertArgs;
use crate::output;

pub fn run(args: &ConvertArgs) -> anyhow::Result<()> {
    output_path::check_folder(&args.out)?;
    let mut entries = std::fs::read_dir(&args.out).into_iter().flatten();
    if entries.next().is_some() {
        let why = format!(
            "{} holds other files; give a new or empty folder with --out",
            args.out.display()
        );
        return Err(Error::Conflict(why).into());
    }
    let model = Model::load(&args.path)?;
    let steps = model.row_pipeline().names().join(", ");
    let format = formats::find(&args.to)?;
    let folded = !(format.compatibility)(model.description())?.preprocessing;
    let model = if folded { model.folded()? } else { model };
    // Weights without their configuration would look like a model.
    atomic::write_folder(&args.out, |folder| {
        (format.save)(model.description(), folder)
    })?;
    let known_as = (format.compatibility)(model.description())?.architecture;
    let out = args.out.display().to_string();
    if args.json {
        let folded = folded.then_some(steps);
        return output::json(
            &json!({"out": out, "format": args.to, "folded": folded, "known_as": known_as}),
        );
    }
    let note = if folded {
        format!(", {steps} folded into the weights")
    } else {
        String::new()
    };
    output::print(&format!(
        "{} in {}'s layout{note} -> {out}",
        model.info().name,
        format.program
    ))?;
    if known_as.is_none() {
        let (name, io) = (model.info().name, model.io_spec().name());
        output::note(&format!(
            "{} has no {name} {io} and cannot load this model; other programs can read the weights",
            format.program
        ));
    }
    Ok(())
}
