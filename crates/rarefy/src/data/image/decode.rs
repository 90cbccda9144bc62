//! Choice of the decoder of a photograph, and errors for damaged files.

use std::path::Path;

use super::picture::Picture;
#[cfg(feature = "images")]
use super::picture::Refusal;
#[cfg(feature = "images")]
use super::{jpeg, png};
#[cfg(feature = "images")]
use crate::Error;
use crate::Result;

/// Decodes a PNG or JPEG file; the first bytes say which format the file has.
///
/// # Errors
/// [`Error::Format`] for another format, for a picture that is too large, and for a damaged file unless
/// `accept_damaged` is true and a part can be decoded.
#[cfg(feature = "images")]
pub(super) fn decode(path: &Path, accept_damaged: bool) -> Result<Picture> {
    let file = std::fs::read(path).map_err(Error::io(path))?;
    let (kind, decode): (_, fn(&[u8], bool) -> _) = if file.starts_with(b"\x89PNG") {
        ("PNG", png::decode)
    } else if file.starts_with(&[0xFF, 0xD8]) {
        ("JPEG", jpeg::decode)
    } else {
        let why = "not a PNG or JPEG image: expected the first bytes of one of the two formats";
        return Err(Error::format(path, why));
    };
    let decoded: std::result::Result<Picture, Refusal> = decode(&file, false);
    let why = match decoded {
        Ok(picture) => return Ok(picture),
        Err(Refusal::TooLarge(why)) => return Err(Error::format(path, why)),
        Err(Refusal::Damaged(why)) => why,
    };
    let damaged =
        |advice: &str| Error::format(path, format!("damaged {kind} image: {why}; {advice}"));
    if !accept_damaged {
        return Err(damaged(
            "`patches.accept_damaged` reads as much as can be decoded",
        ));
    }
    match decode(&file, true) {
        Ok(picture) => Ok(Picture {
            damage: Some(why),
            ..picture
        }),
        Err(_) => Err(damaged("no part of the picture can be decoded")),
    }
}

#[cfg(not(feature = "images"))]
pub(super) fn decode(path: &Path, _: bool) -> Result<Picture> {
    Err(crate::data::missing_feature(path, "images"))
}
