//! What survives a restart: one JSON file, replaced as a whole.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The file. One writes at a time.
#[derive(Debug, Clone)]
pub struct StateFile(Arc<Mutex<PathBuf>>);

impl StateFile {
    /// In this folder, which is made if there is none; only its owner may look into it.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn in_folder(folder: &Path) -> io::Result<StateFile> {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        Ok(StateFile(Arc::new(Mutex::new(folder.join("state.json")))))
    }

    /// What was written last; nothing when there is no such file. One that makes no sense is moved aside, and said.
    ///
    /// # Errors
    /// When there is a file that cannot be read.
    pub fn read<T: DeserializeOwned>(&self) -> io::Result<Result<Option<T>, PathBuf>> {
        let path = self.lock();
        let text = match std::fs::read(&*path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Ok(None)),
            Err(error) => return Err(error),
        };
        if let Ok(state) = serde_json::from_slice(&text) {
            return Ok(Ok(Some(state)));
        }
        let aside = path.with_extension("json-damaged");
        std::fs::rename(&*path, &aside)?;
        Ok(Err(aside))
    }

    /// Writes the state as it is when its turn comes. What is there afterwards is the old one or the new one, whole.
    ///
    /// # Errors
    /// When it may be the old one.
    pub fn write<T: Serialize>(&self, state: impl FnOnce() -> T) -> io::Result<()> {
        let path = self.lock();
        let text = serde_json::to_vec(&state())?;
        let new = path.with_extension("json-new");
        let mut options = OpenOptions::new();
        let mut file = options.write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(&text)?;
        file.sync_all()?;
        std::fs::rename(&new, &*path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        File::open(folder)?.sync_all()
    }

    fn lock(&self) -> MutexGuard<'_, PathBuf> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("wxedge-{name}-{}", std::process::id()));
        let _none = std::fs::remove_dir_all(&folder);
        folder
    }

    #[test]
    fn what_was_written_is_read_and_nobody_else_reads_it() {
        let folder = folder("state");
        let file = StateFile::in_folder(&folder).unwrap();
        assert_eq!(file.read::<Vec<u32>>().unwrap(), Ok(None));
        file.write(|| vec![1]).unwrap();
        file.write(|| vec![1, 2]).unwrap();
        assert_eq!(file.read().unwrap(), Ok(Some(vec![1, 2])));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&folder), mode(&folder.join("state.json"))), (0o700, 0o600));
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_file_that_makes_no_sense_is_moved_aside() {
        let folder = folder("state-damaged");
        let file = StateFile::in_folder(&folder).unwrap();
        std::fs::write(folder.join("state.json"), "[1, 2").unwrap();
        let aside = folder.join("state.json-damaged");
        assert_eq!(file.read::<Vec<u32>>().unwrap(), Err(aside.clone()));
        assert_eq!(std::fs::read_to_string(aside).unwrap(), "[1, 2");
        assert_eq!(file.read::<Vec<u32>>().unwrap(), Ok(None));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
