//! `plot features` and `plot curves`: pictures of a model and of a run.

use crate::common::{TestDir, text};

#[test]
fn features_and_curves_are_files_of_their_kind() {
    let dir = TestDir::new();
    dir.ok("train --rows 400 --latents 12 --steps 10 --out run -q");
    let told = dir.ok("plot features run --limit 9 --out f.png");
    assert_eq!(told, "f.png (9 features)\n");
    assert!(dir.read("f.png").starts_with(b"\x89PNG"));
    dir.ok("plot curves run --out c.svg");
    assert!(text(&dir.read("c.svg")).contains("reconstruction"));
    for (words, why) in [
        ("plot run", "`rarefy plot` takes the kind of plot first"),
        ("plot features run --out f.svg", "a file that ends in .png"),
        ("plot curves run/model --out c.svg", "expected a run folder"),
        (
            "plot features run --image-shape 3x3 --out f.png",
            "expected height x width of 64",
        ),
        ("report run --out page.txt", "a file that ends in .html"),
    ] {
        let failed = dir.run(words);
        assert!(
            !failed.status.success() && text(&failed.stderr).contains(why),
            "{words}: {}",
            text(&failed.stderr)
        );
    }
}
