//! Files that the configuration names, read whole but not without bound.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use zeroize::Zeroizing;

/// Certificates, keys and secrets are far smaller; what is larger is the wrong file.
const BYTES_MAX: usize = 1 << 20;

/// The bytes of a file. The message of an error does not repeat the path.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut bytes = Zeroizing::new(Vec::new());
    let result =
        File::open(path).and_then(|file| file.take(BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    match result {
        Ok(_) if bytes.len() > BYTES_MAX => {
            Err("is larger than 1 MiB; check that it is the right file".to_owned())
        }
        Ok(_) => Ok(bytes),
        Err(error) => Err(format!("cannot be read ({error}); check the path and its permissions")),
    }
}

/// Whether every user of the machine may read a file. Those below /run are somebody else's doing: Docker's secrets and the
/// like, which nobody but the program sees.
pub(super) fn is_open(path: &Path) -> bool {
    let path = path.canonicalize().unwrap_or_default();
    let metadata = path.metadata();
    !path.starts_with("/run")
        && metadata.is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o004 != 0)
}

/// The text of a file.
pub(super) fn read_text(path: &Path) -> Result<Zeroizing<String>, String> {
    let bytes = read(path)?;
    let text =
        str::from_utf8(&bytes).map_err(|_| "is not UTF-8 text; check that it is the right file")?;
    Ok(Zeroizing::new(text.to_owned()))
}
