//! The program `rarefy`.

fn main() {}
