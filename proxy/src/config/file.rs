//! Files that the configuration names, read whole but not without bound.

use std::fs::File;
use std::io::Read;
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

/// The text of a file.
pub(super) fn read_text(path: &Path) -> Result<Zeroizing<String>, String> {
    let bytes = read(path)?;
    let text =
        str::from_utf8(&bytes).map_err(|_| "is not UTF-8 text; check that it is the right file")?;
    Ok(Zeroizing::new(text.to_owned()))
}
