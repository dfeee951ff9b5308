//! Keys that the edge makes for itself: 32 random bytes in a file in the store's folder that only its owner may read.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads the key `name` from `folder`, or makes one there. One that is damaged is put aside and replaced: openids are
/// hashed differently then, and callers fetch new tokens, but the edge starts.
///
/// # Errors
/// When it can neither be read nor written.
pub(crate) fn open(folder: &Path, name: &str) -> io::Result<[u8; 32]> {
    match read(folder, name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            log::warn!("{error}; it is kept as {name}.damaged, and a new key takes its place");
            std::fs::rename(folder.join(name), folder.join(format!("{name}.damaged")))?;
        }
        read => return read,
    }
    std::fs::create_dir_all(folder)?;
    // Written whole under another name first: a crash in between leaves nothing half.
    let new = folder.join(format!("{name}.{}", std::process::id()));
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&rand::random::<[u8; 32]>())?;
    file.sync_all()?;
    std::fs::rename(&new, folder.join(name))?;
    read(folder, name)
}

/// Reads the key that an edge has made in `folder`.
///
/// # Errors
/// When there is none, or it cannot be read; [`io::ErrorKind::InvalidData`] when it is damaged.
pub(crate) fn read(folder: &Path, name: &str) -> io::Result<[u8; 32]> {
    let path = folder.join(name);
    let mut key = Vec::new();
    // One more byte shows that there are too many.
    std::fs::File::open(&path)?.take(33).read_to_end(&mut key)?;
    key.try_into().map_err(|_| {
        let text = format!("{} is damaged: it should hold 32 bytes", path.display());
        io::Error::new(io::ErrorKind::InvalidData, text)
    })
}

#[cfg(test)]
mod tests {
    use super::{open, read};
    use wxedge_tests::folder::Folder;

    #[test]
    fn a_key_is_made_once() {
        let folder = Folder::new();
        let key = open(folder.path(), "a.key").unwrap();
        assert_eq!(open(folder.path(), "a.key").unwrap(), key);
        assert_ne!(open(folder.path(), "b.key").unwrap(), key);
    }

    #[test]
    fn a_damaged_key_is_put_aside_and_another_made() {
        for damaged in [vec![], vec![1; 31], vec![1; 33]] {
            let folder = Folder::new();
            folder.write("a.key", &damaged);
            let error = read(folder.path(), "a.key").unwrap_err();
            assert!(error.to_string().ends_with("is damaged: it should hold 32 bytes"), "{error}");
            let key = open(folder.path(), "a.key").unwrap();
            assert_eq!(read(folder.path(), "a.key").unwrap(), key);
            assert_eq!(std::fs::read(folder.path().join("a.key.damaged")).unwrap(), damaged);
        }
    }
}
