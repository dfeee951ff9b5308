//! stub
/// stub
pub fn main() -> std::process::ExitCode { crate::server::run(std::path::Path::new(&std::env::args().nth(3).unwrap_or_default()), false) }
