//! Command `rarefy convert`: writes a model in another library's format.

use rarefy::Error;
use rarefy::formats::saelens;
use rarefy::model::Model;
use serde_json::json;

use crate::cli::ConvertArgs;
use crate::{output, output_path};

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
    let steps = model.rows().names().join(", ");
    let folded = !saelens::prepares_alike(&model);
    let model = if folded { model.folded()? } else { model };
    std::fs::create_dir_all(&args.out).map_err(Error::io(&args.out))?;
    saelens::save(&model, &args.out)?;
    let out = args.out.display().to_string();
    if args.json {
        let folded = folded.then_some(steps);
        let known_as = saelens::known_as(&model);
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
        "{} in SAELens's layout{note} -> {out}",
        model.info.name
    ))?;
    if saelens::known_as(&model).is_none() {
        let (name, io) = (model.info.name, model.io.name());
        output::note(&format!(
            "SAELens has no {name} {io} and cannot load this model; other programs can read the weights"
        ));
    }
    Ok(())
}
