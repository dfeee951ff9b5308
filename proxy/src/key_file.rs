//! Keys that the edge makes for itself: 32 random bytes in a file in the store's folder that only its owner may read.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads the key `name` from `folder`, or makes one there.
///
/// # Errors
/// When it can neither be read nor written.
pub(crate) fn open(folder: &Path, name: &str) -> io::Result<[u8; 32]> {
    match read(folder, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    std::fs::create_dir_all(folder)?;
    // Written whole under another name first: a crash in between leaves nothing half.
    let new = folder.join(format!("{name}.{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(&rand::random::<[u8; 32]>())?;
    file.sync_all()?;
    std::fs::rename(&new, folder.join(name))?;
    read(folder, name)
}

/// Reads the key that an edge has made in `folder`.
///
/// # Errors
/// When there is none, or it cannot be read.
pub(crate) fn read(folder: &Path, name: &str) -> io::Result<[u8; 32]> {
    let path = folder.join(name);
    let mut key = [0; 32];
    std::fs::File::open(&path)?.read_exact(&mut key).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => {
            io::Error::other(format!("{} is damaged: it should hold 32 bytes", path.display()))
        }
        _ => error,
    })?;
    Ok(key)
}
